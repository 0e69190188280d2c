"""The loss of a step; its means over passes, and over windows of some steps, are recorded as those end."""

from __future__ import annotations

from fitwell.watching.moments import Step
from fitwell.watching.signal import Signal


class _Loss:
    def after_step(self, step: Step) -> None:
        if step.loss is not None:
            step.record("loss/batch", step.loss)


SIGNAL = Signal(
    units={
        "loss/batch": "",
        "loss/window": "",
        "loss/train": "",
        "loss/val": "",
        "loss/optimized": "",
        "accuracy/train": "share",
        "accuracy/val": "share",
    },
    cost="constant",
    start=_Loss,
)
