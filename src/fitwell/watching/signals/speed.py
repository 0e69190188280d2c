"""How long a step takes, how much of that is waiting for data, and how many samples pass in a second."""

from __future__ import annotations

import time
from collections import deque

from torch import Tensor

from fitwell.watching.moments import Backward, Batch, LossCall, Step
from fitwell.watching.signal import Signal

MOST = 1_000  # batches of one step that are counted


class _Speed:
    """A step that something was evaluated in is left out.

    Measuring makes a step longer. The mean over all steps since the last look may be longer too, if something
    was evaluated meanwhile; the shorter of both is the better bound.
    """

    def __init__(self) -> None:
        self._waited: deque[tuple[float, float]] = deque(maxlen=MOST)  # when a batch came, seconds it took
        self._used: deque[tuple[float, int]] = deque(
            maxlen=MOST
        )  # when `backward` ran, samples of its losses
        self._samples = 0
        self._steps: dict[
            str, tuple[float, int]
        ] = {}  # when each thread stepped last, and which step that was
        self._evaluated = 0.0
        self._stepping = 0.0

    def on_batch(self, batch: Batch) -> None:
        now = time.perf_counter()
        if batch.part == "train":
            self._waited.append((now, batch.waited))
        else:
            self._evaluated = now

    def on_loss(self, call: LossCall) -> None:
        now = time.perf_counter()
        if call.part != "train":
            self._evaluated = now
        elif isinstance(call.input, Tensor) and call.input.dim():
            # Two losses of one batch are not two batches.
            self._samples = max(self._samples, call.input.shape[0])

    def on_backward(self, _: Backward) -> None:
        self._used.append((time.perf_counter(), self._samples))
        self._samples = 0

    def before_step(self, _: Step) -> None:
        self._stepping = time.perf_counter()

    def after_step(self, step: Step) -> None:
        now = time.perf_counter()
        before, number = self._steps.get(step.thread, (0.0, step.number))
        self._steps[step.thread] = now, step.number
        used, stepping = list(self._used), self._stepping or now
        self._used.clear()
        self._stepping = 0.0
        # Measuring after a step takes time as well: counted from before it, the window is sure to hold all.
        begin = stepping - (step.seconds or 0.0)
        if not step.seconds or self._evaluated > begin:
            return
        seconds = step.seconds
        if step.number > number:
            seconds = min(seconds, (now - before) / (step.number - number))
        step.record("time/step", seconds)
        waited = [each for at, each in self._waited if at > begin]
        if waited:
            step.record("time/data_share", min(1.0, sum(waited) / seconds))
        samples = sum(count for at, count in used if at > begin)
        if samples:
            step.record("throughput", samples / seconds)


SIGNAL = Signal(
    units={"time/step": "s", "time/data_share": "share", "throughput": "samples/s"},
    cost="constant",
    start=_Speed,
    parts=("train", "held-out"),
)
