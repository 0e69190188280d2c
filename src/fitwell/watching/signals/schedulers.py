"""Schedulers of the learning rate: what each was planned for, and how often it was called by the end."""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from fitwell.watching.moments import Call, Step
from fitwell.watching.signal import Signal
from fitwell.watching.source import Where

PLANS = ("total_steps", "T_max", "total_iters")  # attributes that say for how many calls a scheduler is made
END = 0.02  # of the first rate: below it a schedule is over
MOST = 100


@dataclass
class _Scheduler:
    reference: weakref.ref[Any]
    where: Where | None
    kind: str
    calls: int = 0
    steps: int | None = None  # of its thread when the calls were counted; None at the end
    planned: int | None = None
    ends_at: int | None = None
    optimizer: int | None = None
    thread: str | None = None

    def read(self) -> bool:
        """Ask it how often it was called; tell whether it could be asked."""
        alive = self.reference()
        calls = getattr(alive, "last_epoch", None)
        if not isinstance(calls, int):
            return False
        held = getattr(alive, "optimizer", None)
        self.calls, self.planned, self.ends_at = calls, _planned(alive), _ends_at(alive)
        self.optimizer = id(held) if isinstance(held, Optimizer) else None
        return True

    def plain(self) -> dict[str, Any]:
        """As JSON: as it is now; if it is gone, as it was when its steps were counted."""
        now = replace(self)  # calls that are counted now do not belong to the steps of the last look
        alive = now.read()
        return {
            "kind": self.kind,
            "planned": now.planned,
            "ends_at": now.ends_at,
            "calls": now.calls,
            "steps": None if alive else self.steps,
            "where": self.where and self.where.plain(),
        }


class _Schedulers:
    def __init__(self) -> None:
        self._known: dict[int, _Scheduler] = {}

    def on_call(self, call: Call) -> None:
        if not isinstance(call.on, LRScheduler) or getattr(call.on, "_is_initial", False):
            return
        known = self._known.get(id(call.on))
        if known is not None and known.reference() is call.on:
            known.where = call.where if call.what == "scheduler" else known.where
        elif len(self._known) < MOST:
            kind = type(call.on).__name__
            self._known[id(call.on)] = _Scheduler(weakref.ref(call.on), call.where, kind)

    def after_step(self, step: Step) -> None:
        for each in self._known.values():
            if each.read() and step.optimizer is not None and each.optimizer == id(step.optimizer):
                each.thread, each.steps = step.thread, step.number

    def facts(self) -> dict[str, Any]:
        threads: dict[str, list[dict[str, Any]]] = {}
        for each in self._known.values():
            if each.thread is not None:
                threads.setdefault(each.thread, []).append(each.plain())
        return {"threads": threads} if threads else {}


def _planned(scheduler: Any) -> int | None:
    """The number of calls that a scheduler is made for, if it says so."""
    plans = [getattr(scheduler, name, None) for name in PLANS]
    return next((plan for plan in plans if isinstance(plan, int) and plan > 0), None)


def _ends_at(scheduler: Any) -> int | None:
    """After how many calls the rate is next to nothing for good, as its kind computes it; None if it never is."""
    formula = _FORMULAS.get(type(scheduler).__name__)
    try:
        return formula(scheduler) if formula is not None else None
    except (
        ArithmeticError,
        AttributeError,
        TypeError,
        ValueError,
    ):  # a class of that name with other settings
        return None


def _factors(gamma: float) -> int | None:
    """How many factors of gamma it takes."""
    return math.ceil(math.log(END) / math.log(gamma)) if 0 < gamma < 1 else None


def _exponential(scheduler: Any) -> int | None:
    return _factors(scheduler.gamma)


def _step(scheduler: Any) -> int | None:
    factors = _factors(scheduler.gamma)
    return None if factors is None else factors * int(scheduler.step_size)


def _multi_step(scheduler: Any) -> int | None:
    factors, milestones = _factors(scheduler.gamma), sorted(scheduler.milestones.elements())
    return int(milestones[factors - 1]) if factors is not None and len(milestones) >= factors else None


def _linear(scheduler: Any) -> int | None:
    return int(scheduler.total_iters) if scheduler.end_factor <= END * scheduler.start_factor else None


def _polynomial(scheduler: Any) -> int:
    return int(scheduler.total_iters)


_FORMULAS: dict[str, Callable[[Any], int | None]] = {
    "ExponentialLR": _exponential,
    "StepLR": _step,
    "MultiStepLR": _multi_step,
    "LinearLR": _linear,
    "PolynomialLR": _polynomial,
}
SIGNAL = Signal(units={}, cost="constant", start=_Schedulers)
