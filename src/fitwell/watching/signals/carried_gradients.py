"""Gradients that a step used, and that nobody has cleared when the next step uses what was added to them.

A loop that never clears its gradients adds up those of all steps. One that accumulates over several batches
clears them once a step, and carries none. Where the gradients of one model flow into another one (a GAN) they
may be cleared later, but before the backward pass that counts: they are not carried either.
"""

from __future__ import annotations

import weakref
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from fitwell.watching.moments import Backward, Step
from fitwell.watching.signal import Signal
from fitwell.watching.source import Where
from fitwell.watching.tensors import keep, sums

MOST_THREADS = 50


@dataclass
class _Used:
    """The gradients (T) that a step used: equal sums of absolute values mean equal gradients."""

    step: int
    parameters: list[weakref.ref[Tensor]]
    sums: Tensor
    left: Tensor | None = None  # which were there at each backward pass since; None before the first
    where: Where | None = None  # the last backward pass

    def gone(self) -> bool:
        """Whether none can be left; another device is not asked, that would mean waiting."""
        return self.left is not None and self.left.device.type == "cpu" and not self.left.any()


@dataclass
class _Counts:
    """Looks at a thread: all, and those at which gradients had been carried."""

    looks: int
    carried: int | Tensor
    where: Where | None


class _CarriedGradients:
    def __init__(self) -> None:
        self._used: dict[str, _Used] = {}
        self._counts: dict[str, _Counts] = {}

    def on_backward(self, backward: Backward) -> None:
        for used in self._used.values():
            if used.gone():
                continue
            alive = [parameter() for parameter in used.parameters]
            # Of a tensor that was computed torch would warn: it has no gradient to ask for.
            left = [p.grad if p is not None and p.is_leaf else None for p in alive]
            sums_T = sums(left, used.sums.device)
            if used.left is None:
                used.left = sums_T == used.sums
            used.left &= sums_T > 0
            used.where = backward.where

    def after_step(self, step: Step) -> None:
        if not step.parameters:
            return
        used = self._used.get(step.thread)
        if used is not None and used.left is not None and used.step == step.number - 1:
            share = 0.0 if used.gone() else used.left.sum() / (used.sums > 0).sum().clamp_min(1)
            step.record("gradient/carried", share)
            self._count(step.thread, share > 0, used.where)
        parameters = [weakref.ref(each.tensor) for each in step.parameters]
        sums_T = sums(step.gradients, step.parameters[0].tensor.device)
        keep(self._used, step.thread, _Used(step.number, parameters, sums_T))

    def _count(self, thread: str, carried: bool | Tensor, where: Where | None) -> None:
        counts = self._counts.get(thread)
        if counts is not None:
            counts.looks, counts.carried = counts.looks + 1, counts.carried + carried
        elif len(self._counts) < MOST_THREADS:
            self._counts[thread] = _Counts(1, 0 + carried, where)

    def facts(self) -> dict[str, Any]:
        return {
            thread: {
                "looks": counts.looks,
                "carried": int(counts.carried),
                "where": counts.where and counts.where.plain(),
            }
            for thread, counts in self._counts.items()
        }


SIGNAL = Signal(units={"gradient/carried": "share"}, cost="parameters", start=_CarriedGradients)
