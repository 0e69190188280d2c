"""In which mode each model is when its weights are updated: whether dropout and batch norm do what training needs."""

from __future__ import annotations

import weakref
from dataclasses import dataclass
from typing import Any

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd

from fitwell.watching.moments import Call, ModuleCall, Step
from fitwell.watching.signal import Signal

MOST_MODELS = 50


@dataclass(slots=True)
class _Thread:
    """How the models of a thread were found at its steps."""

    looks: int = 0
    in_evaluation_mode: int = 0
    latest: int = 0  # steps in a row, up to the last one
    where: dict[str, Any] | None = None  # the last call of ``eval``

    def plain(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "looks": self.looks,
            "in_evaluation_mode": self.in_evaluation_mode,
            "latest_in_evaluation_mode": self.latest,
            "where": self.where,
        }


class _Modes:
    def __init__(self) -> None:
        self._models: dict[int, weakref.ref[nn.Module]] = {}  # that the program calls to train them
        self._threads: dict[str, _Thread] = {}
        self._eval: dict[str, Any] | None = None

    def on_module(self, call: ModuleCall) -> None:
        if not call.depth and len(self._models) < MOST_MODELS:
            self._models[id(call.module)] = weakref.ref(call.module)

    def on_call(self, call: Call) -> None:
        if call.what == "eval" and call.where is not None:
            self._eval = call.where.plain()

    def after_step(self, step: Step) -> None:
        models = [m for key, ref in self._models.items() if key in step.modules and (m := ref()) is not None]
        if not any(_has_modes(model) for model in models):
            return
        thread = self._threads.setdefault(step.thread, _Thread())
        thread.looks += 1
        if all(not part.training for model in models for part in model.modules()):
            thread.in_evaluation_mode += 1
            thread.latest += 1
            thread.where = self._eval
        else:
            thread.latest = 0

    def facts(self) -> dict[str, Any]:
        """By thread with dropout or batch norm: the steps seen, and those with everything in evaluation mode."""
        return {"threads": {name: thread.plain() for name, thread in self._threads.items()}}


def _has_modes(model: nn.Module) -> bool:
    """Whether it has a layer that does something else while training."""
    return any(
        isinstance(layer, _BatchNorm)
        or (isinstance(layer, _DropoutNd) and layer.p > 0)
        or (isinstance(layer, nn.RNNBase) and layer.dropout > 0)
        for layer in model.modules()
    )


SIGNAL = Signal(units={}, cost="constant", start=_Modes)
