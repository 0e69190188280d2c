"""Parameters that an optimizer holds and that have no gradient when it steps, or one that is all zero."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from fitwell.watching.moments import Step
from fitwell.watching.signal import Signal
from fitwell.watching.tensors import sums

MOST_THREADS = 20
MOST_NAMES = 30


@dataclass
class _Always:
    """Which parameters were without gradient at every look at a thread, and which had one of zeros."""

    names: list[tuple[str, str]]  # of layer and parameter
    missing: list[bool]
    zero: Tensor  # (T,) of bool
    looks: int = 1


class _MissingGradients:
    def __init__(self) -> None:
        self._always: dict[str, _Always] = {}

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
        self._remember(step.thread, _Always([(each.layer, each.name) for each, _ in held], missing, zero_T))

    def _remember(self, thread: str, now: _Always) -> None:
        before = self._always.get(thread)
        if before is not None and before.names == now.names:
            before.missing = [a and b for a, b in zip(before.missing, now.missing, strict=True)]
            before.zero &= now.zero
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
    }


def _some(names: list[tuple[str, str]], chosen: list[bool]) -> dict[str, Any]:
    found = [".".join(name) for name, so in zip(names, chosen, strict=True) if so]
    return {"count": len(found), "names": found[:MOST_NAMES]}


SIGNAL = Signal(
    units={"gradient/missing": "share", "gradient/zero": "share"},
    cost="parameters",
    start=_MissingGradients,
)
