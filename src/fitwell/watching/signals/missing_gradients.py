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
    """Which parameters (T) were without gradient at every look at a thread, and which had one of zeros."""

    names: list[tuple[str, str]]  # of layer and parameter
    missing: Tensor
    zero: Tensor
    looks: int = 1


class _MissingGradients:
    def __init__(self) -> None:
        self._always: dict[str, _Always] = {}

    def after_step(self, step: Step) -> None:
        pairs = zip(step.parameters, step.gradients, strict=True)
        held = [(each, gradient) for each, gradient in pairs if each.tensor.numel()]
        if not held:
            return
        missing_T = torch.tensor([gradient is None for _, gradient in held])
        sums_T = sums([gradient for _, gradient in held], held[0][0].tensor.device)
        zero_T = (sums_T == 0) & ~missing_T.to(sums_T.device)
        step.record("gradient/missing", missing_T.double().mean())
        step.record("gradient/zero", zero_T.double().mean())
        self._remember(step.thread, _Always([(each.layer, each.name) for each, _ in held], missing_T, zero_T))

    def _remember(self, thread: str, now: _Always) -> None:
        before = self._always.get(thread)
        if before is not None and before.names == now.names:
            before.missing &= now.missing
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
        "always_zero": _some(always.names, always.zero),
    }


def _some(names: list[tuple[str, str]], chosen_T: Tensor) -> dict[str, Any]:
    found = [".".join(name) for name, chosen in zip(names, chosen_T.tolist(), strict=True) if chosen]
    return {"count": len(found), "names": found[:MOST_NAMES]}


SIGNAL = Signal(
    units={"gradient/missing": "share", "gradient/zero": "share"},
    cost="parameters",
    start=_MissingGradients,
)
