"""Schedules: how the learning rate changes, as pure functions of the share of the training that is done."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch

from fitwell.plan import SchedulePlan

ONE_CYCLE_START = 1 / 25  # Smith and Topin 2018: the rate starts at 1/25 of its peak
ONE_CYCLE_END = 1e-3  # ... and ends far below its start


def constant(_done: float, _decay: float) -> float:
    """Always the full rate."""
    return 1.0


def step(done: float, decay: float) -> float:
    """Times ``decay`` after each third of the training."""
    return decay ** math.floor(min(done, 1 - 1e-9) * 3)


def exponential(done: float, decay: float) -> float:
    """Times ``decay`` over each third of the training, smoothly."""
    return float(decay ** (done * 3))


def cosine(done: float, _decay: float) -> float:
    """Half a cosine from 1 to 0 (Loshchilov and Hutter 2017, equation 5, without restarts)."""
    return 0.5 * (1 + math.cos(math.pi * done))


def one_cycle(done: float, _decay: float) -> float:
    """After its warm-up, half a cosine from the peak to a thousandth (Smith and Topin 2018)."""
    return ONE_CYCLE_END + (1 - ONE_CYCLE_END) * 0.5 * (1 + math.cos(math.pi * done))


SHAPES: dict[str, Callable[[float, float], float]] = {
    "constant": constant, "step": step, "exponential": exponential, "cosine": cosine,
    "one-cycle": one_cycle, "plateau": constant,
}  # fmt: skip


def curve(plan: SchedulePlan, steps: int) -> Callable[[int], float]:
    """The share of the peak rate by the optimizer steps done: a warm-up, then the shape over what remains.

    Args:
        plan: a schedule whose warm-up is decided.
        steps: optimizer steps in all.
    """
    shape, decay, warmup = SHAPES[plan.shape], plan.decay, float(plan.warmup) * steps
    start = ONE_CYCLE_START if plan.shape == "one-cycle" else 1 / (warmup + 1)
    rest = max(steps - warmup, 1)

    def share(done: int) -> float:
        if done < warmup:
            return start + (1 - start) * done / warmup
        return shape(min((done - warmup) / rest, 1.0), decay)

    return share


class Schedule:
    """Sets the rates of an optimizer's groups after each step; keeps the state that ``plateau`` needs.

    Args:
        plan: the schedule, its warm-up decided.
        optimizer: its groups' rates at this moment are the peaks.
        steps: optimizer steps in all.
    """

    def __init__(self, plan: SchedulePlan, optimizer: torch.optim.Optimizer, steps: int) -> None:
        self.plan, self.optimizer, self.steps = plan, optimizer, steps
        self._share = curve(plan, steps)
        self.peaks: list[float] = [float(group["lr"]) for group in optimizer.param_groups]
        self.done = 0
        self.scale, self.best, self.waited = 1.0, math.inf, 0
        self._apply()

    def step(self) -> None:
        """Count one optimizer step and set the rates for the next."""
        self.done += 1
        self._apply()

    def ahead(self, steps: int) -> list[float]:
        """The shares of the peaks in so many steps from now on, before what ``plateau`` makes of them."""
        return [self._share(self.done + step) for step in range(steps)]

    def skip(self, steps: int) -> None:
        """Count so many optimizer steps that were taken at the rates ``ahead``."""
        self.done += steps
        self._apply()

    def end_epoch(self, loss: float) -> None:
        """Tell ``plateau`` the monitored loss: it lowers the rate when that no longer falls."""
        if self.plan.shape != "plateau":
            return
        if loss < self.best * (1 - 1e-4):
            self.best, self.waited = loss, 0
        else:
            self.waited += 1
        if self.waited > self.plan.plateau_patience:
            self.scale, self.waited = self.scale * self.plan.decay, 0
        self._apply()

    @property
    def lr(self) -> float:
        """The rate of the first group."""
        return float(self.optimizer.param_groups[0]["lr"])

    def _apply(self) -> None:
        share = self.scale * self._share(self.done)
        for group, peak in zip(self.optimizer.param_groups, self.peaks, strict=True):
            group["lr"] = peak * share

    def state_dict(self) -> dict[str, float | int | list[float]]:
        """What a checkpoint keeps."""
        return {"done": self.done, "scale": self.scale, "best": self.best, "waited": self.waited,
                "peaks": self.peaks}  # fmt: skip

    def load_state_dict(self, state: dict[str, float | int | list[float]]) -> None:
        """Go on from a checkpoint."""
        for name, value in state.items():
            setattr(self, name, value)
        self._apply()
