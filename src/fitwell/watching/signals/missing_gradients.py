"""Parameters that an optimizer holds and that have no gradient when it steps, or one that is all zero."""

from __future__ import annotations

import weakref
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from fitwell.watching.moments import Backward, Step
from fitwell.watching.signal import Signal
from fitwell.watching.source import Where
from fitwell.watching.tensors import sums

MOST_THREADS = 20
MOST_NAMES = 30


@dataclass
class _Always:
    """Which parameters were without gradient at every look at a thread, and which had one of zeros."""

    names: list[tuple[str, str]]  # of layer and parameter
    missing: list[bool]
    zero: Tensor  # (T,) of bool
    parameters: list[weakref.ref[Tensor]]
    looks: int = 1
    filled: bool | Tensor = False  # whether a backward pass since the last step left any gradient
    lost: int | Tensor = 0  # looks at which it was gone when the optimizer stepped
    where: Where | None = None  # the last backward pass


class _MissingGradients:
    def __init__(self) -> None:
        self._always: dict[str, _Always] = {}

    def after_backward(self, backward: Backward) -> None:
        for always in self._always.values():
            alive = [parameter() for parameter in always.parameters]
            gradients = [p.grad if p is not None and p.is_leaf else None for p in alive]
            if any(gradient is not None for gradient in gradients):
                always.filled = always.filled | (sums(gradients, always.zero.device) > 0).any()
                always.where = backward.where

    def after_step(self, step: Step) -> None:
        pairs = zip(step.parameters, step.gradients, strict=True)
        held = [(each, gradient) for each, gradient in pairs if each.tensor.numel()]
        if not held:
            return
        device = held[0][0].tensor.device
        missing = [gradient is None for _, gradient in held]
        zero_T = sums([gradient for _, gradient in held], device) == 0
        if any(missing):
            zero_T &= ~torch.tensor(missing, device=device)
        step.record("gradient/missing", sum(missing) / len(missing))
        step.record("gradient/zero", zero_T.sum() / len(missing))
        names = [(each.layer, each.name) for each, _ in held]
        parameters = [weakref.ref(each.tensor) for each, _ in held]
        self._remember(step.thread, _Always(names, missing, zero_T, parameters))

    def _remember(self, thread: str, now: _Always) -> None:
        before = self._always.get(thread)
        if before is not None and before.names == now.names:
            before.missing = [a and b for a, b in zip(before.missing, now.missing, strict=True)]
            gone = (now.zero | torch.tensor(now.missing, device=now.zero.device)).all()
            before.lost = before.lost + (gone & before.filled)
            before.zero &= now.zero
            before.filled, before.parameters = False, now.parameters
            before.looks += 1
        elif before is not None or len(self._always) < MOST_THREADS:
            self._always[thread] = now  # also when parameters were frozen or thawed: counted anew

    def facts(self) -> dict[str, Any]:
        return {thread: _plain(always) for thread, always in self._always.items()}


def _plain(always: _Always) -> dict[str, Any]:
    return {
        "looks": always.looks,
        "parameters": len(always.names),
        "always_missing": _some(always.names, always.missing),
        "always_zero": _some(always.names, always.zero.tolist()),
        "lost": int(always.lost),
        "where": always.where and always.where.plain(),
    }


def _some(names: list[tuple[str, str]], chosen: list[bool]) -> dict[str, Any]:
    found = [".".join(name) for name, so in zip(names, chosen, strict=True) if so]
    return {"count": len(found), "names": found[:MOST_NAMES]}


SIGNAL = Signal(
    units={"gradient/missing": "share", "gradient/zero": "share"},
    cost="parameters",
    start=_MissingGradients,
)
