"""Training mode where a model is trained, evaluation mode where it is evaluated, whatever the program sets.

Evaluated is what is called without gradients. Trained is what a ``backward`` has come from: a call in evaluation mode
with gradients may be an evaluation that did not turn them off, and so the first one is left as it is.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.dropout import _DropoutNd
from torch.utils._pytree import tree_leaves

from fitwell.treating.changing.graph import Node, roots, uses
from fitwell.treating.changing.live import Intervention, Live
from fitwell.treating.changing.running import is_model
from fitwell.watching.source import user_frame

_PENDING = 16  # calls that may wait for their backward; they hold the graph


class _Modes:
    def __init__(self, live: Live) -> None:
        self._running = live.running
        self._before: list[tuple[nn.Module, bool]] = []  # the modes that are put back
        self._trained: set[Any] = set()  # lines that call what is trained
        self._line: Any = None
        self._pending: deque[tuple[Node, Any]] = deque(maxlen=_PENDING)
        live.calls(self.begins, self.ended)
        for name in ("backward", "grad"):
            live.replace(torch.autograd, name, self.reading)

    def begins(self, model: nn.Module, _: tuple[Any, ...]) -> None:
        self._line = None
        if not torch.is_grad_enabled():
            if any(part.training for part in model.modules()):
                self._set(dict.fromkeys(model.modules(), False))
        elif not model.training and is_model(model) and _has_modes(model):
            frame = user_frame()
            self._line = None if frame is None else (frame.f_code, frame.f_lineno)
            if self._line in self._trained:
                self._set({part: not _frozen(part) for part in model.modules()})

    def ended(self, _model: nn.Module, _: tuple[Any, ...]) -> None:
        for part, mode in self._before:
            part.training = mode
        self._before = []
        if self._line is not None and self._line not in self._trained:
            leaves = [each for each in tree_leaves(self._running.output) if isinstance(each, Tensor)]
            self._pending.extend((each.grad_fn, self._line) for each in leaves if each.grad_fn is not None)

    def reading(self, old: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            if self._pending and not torch.compiler.is_compiling():
                graph = uses(roots(args, kwargs), ())
                self._trained.update(line for node, line in self._pending if node in graph)
                self._pending.clear()
            return old(*args, **kwargs)

        return call

    def _set(self, modes: dict[nn.Module, bool]) -> None:
        """Give modules a mode for the length of this call, past ``train()``, which a program may have changed."""
        self._before = [(part, part.training) for part in modes]
        for part, mode in modes.items():
            part.training = mode


def _has_modes(model: nn.Module) -> bool:
    """Whether it behaves differently in training and has something to train."""
    differs = any(isinstance(part, (_NormBase, _DropoutNd)) or _drops(part) for part in model.modules())
    return differs and any(parameter.requires_grad for parameter in model.parameters())


def _drops(part: nn.Module) -> bool:
    share = getattr(part, "dropout", None)  # of recurrent layers and attention
    return isinstance(share, float) and share > 0


def _frozen(part: nn.Module) -> bool:
    """Whether it has parameters, and none of them is trained."""
    own = list(part.parameters())
    return bool(own) and not any(parameter.requires_grad for parameter in own)


def _apply(live: Live) -> None:
    _Modes(live)


INTERVENTION = Intervention(
    says="training mode in training, evaluation mode in evaluation",
    apply=_apply,
    comparable=False,
)
