"""Record a training in its run directory: events, checkpoints, and what an observer is shown."""

from __future__ import annotations

import math
import time
from typing import Any

from fitwell.errors import Preempted
from fitwell.run import Run
from fitwell.run.events import EventLog
from fitwell.training import checkpoint
from fitwell.training.interrupts import Interrupts
from fitwell.training.job import Job
from fitwell.training.observer import Observer
from fitwell.watching.watcher import Watcher

WATCHING = 0.02  # share of the time that watching the steps may take
TICK = 0.1  # seconds between two looks at the clock's consequences
SAVE_SECONDS = 5.0  # at least, between two checkpoints
SAVE_SHARE = 50  # ... and this many times what the last one took, so that saving costs at most 2 %


class RunRecorder:
    """Writes what happens to a job into its run.

    Args:
        run: where.
        job: the training, as a checkpoint left it.
        observer: is shown the progress.
        state: the checkpoint that the job comes from, if any.
        preparing: seconds that reading and measuring took before.
    """

    def __init__(
        self,
        run: Run,
        job: Job,
        observer: Observer,
        state: checkpoint.State | None,
        preparing: float = 0.0,
    ) -> None:
        self.run, self.observer = run, observer
        self.interrupts = Interrupts()  # tells of signals: see interrupts.noted
        self.log = EventLog(run.events_path, size=state.events_size if state else 0)
        self.steps_per_epoch = job.schedule.steps // job.epochs
        self.samples_per_step = len(job.data.train) / self.steps_per_epoch
        self.started = time.monotonic() - preparing - (state.seconds if state else 0.0)
        self.next_tick = self.next_save = 0.0
        self.ticked = (time.monotonic(), job.step)
        self.epoch_started, self.epoch_step = time.monotonic(), job.step

    @property
    def seconds(self) -> float:
        """Time spent on the run, over all sittings."""
        return time.monotonic() - self.started

    def step(self, job: Job) -> None:
        """Save when it is time; stop when a signal came. The watcher records what a step was like."""
        now = time.monotonic()
        if now >= self.next_tick:
            self._tick(job, now)
        if self.interrupts.received:
            self.save(job)
            self.stop_if_told()

    def stop_if_told(self) -> None:
        """Raise Preempted if a signal came; the job must have been saved."""
        if self.interrupts.received:
            raise _preempted(self.run, self.interrupts.received)

    def epoch(self, job: Job, row: dict[str, float]) -> None:
        """Record the figures of an epoch."""
        seconds = time.monotonic() - self.epoch_started
        self.epoch_started = time.monotonic()
        samples = (job.step - self.epoch_step) * self.samples_per_step
        self.epoch_step = job.step
        signals = row | {"throughput": samples / max(seconds, 1e-9)}
        self.log.append(job.step, float(job.epoch), signals)
        shown: dict[str, Any] = {"epoch": job.epoch, "epochs": job.epochs, "seconds": seconds}
        self.observer.epoch(shown | row | {"best": job.best_epoch == job.epoch})
        self.next_tick = 0.0

    def diverged(self, job: Job) -> None:
        """Record that a loss of the epoch was not finite, for only some of its steps were looked at."""
        self.log.append(job.step, float(job.epoch), {"loss/batch": math.nan})
        self.log.flush()

    def watcher(self, job: Job) -> Watcher:
        """What looks at the steps, within a budget, and writes into the run's log."""

        def clock() -> tuple[float, int]:
            step = job.step + 1  # it is counted after the optimizer stepped
            return step / self.steps_per_epoch, step

        return Watcher(self.run.path, WATCHING, self.log, clock)

    def save(self, job: Job) -> None:
        """Save a checkpoint, and the events up to it."""
        start = time.monotonic()
        checkpoint.save(job, self.run.path / "checkpoints", self.log.flush(), self.seconds)
        now = time.monotonic()
        self.next_save = now + max(SAVE_SECONDS, SAVE_SHARE * (now - start))

    def _tick(self, job: Job, now: float) -> None:
        (before, step), self.ticked = self.ticked, (now, job.step)
        rate = (job.step - step) * self.samples_per_step / max(now - before, 1e-9)
        self.observer.step(job.step, job.schedule.steps, rate)
        self.next_tick = now + TICK
        if not self.next_save:
            self.next_save = now + SAVE_SECONDS
        elif now >= self.next_save:
            self.save(job)


class Follower:
    """The recorder of a process that is not the first: it writes nothing, and stops when all of them do.

    Args:
        run: what the first process writes.
    """

    def __init__(self, run: Run) -> None:
        self.run, self.interrupts = run, Interrupts()

    def step(self, job: Job) -> None:  # noqa: ARG002 - a Recorder's
        """Stop when a signal came."""
        self.stop_if_told()

    def epoch(self, job: Job, row: dict[str, float]) -> None:
        """Nothing."""

    def stop_if_told(self) -> None:
        """Raise Preempted if a signal came."""
        if self.interrupts.received:
            raise _preempted(self.run, self.interrupts.received)


def _preempted(run: Run, number: int) -> Preempted:
    error = Preempted(
        f"stopped by signal {number} at a safe point; everything is saved in {run.path}",
        "to go on later",
        f"fitwell resume {run.name}",
    )
    error.signal = number
    return error
