"""The engine: trains trials as populations, replaces those that end in flight, and stops when the time is over."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Protocol

import torch

from fitwell.errors import Preempted
from fitwell.training.interrupts import noted
from fitwell.training.threads import threads as using_threads
from fitwell.tuning.halving import Halving
from fitwell.tuning.keeping import Keeper
from fitwell.tuning.packing import Say, Trainer, arrange
from fitwell.tuning.trials import DEFAULT, FAILURES, Trial, reason

GRACE = 0.1  # of the time, beyond its end, for trials that are nearly through
CAREFUL = 1.5  # times what was measured on one thread alone, before all are at work
HINDERED = 3.0  # times the fastest epoch that all cores together took: somebody else needs one of them
GIVEN_UP = 0.5  # of the epochs of many trials are trained, where the worse ones are given up
More = Callable[[int], list[Trial]]
ENDED = Callable[[Trial], None]


class Trains(Protocol):
    """Trains trials, in this process or elsewhere."""

    def run(self, more: More, ended: ENDED, going_on: list[Trial] | None = None) -> None:
        """See ``Engine.run``."""


MakeEngine = Callable[..., Trains]  # is given what ``Engine`` is


class Engine:
    """Trains trials side by side.

    Args:
        size: members of one population, at most.
        threads: of Python, each with a population: OpenMP's threads wait for each other at every operation, which on a
            busy machine takes many times as long.
        keeper: records them.
        halving: gives up the worse ones early; None trains all to their end.
        until: when nothing more is trained, on the monotonic clock.
        begin_until: when no further trial begins.
        say: is told what a person should know.
        pace: seconds that an epoch of a member takes, as far as it is known; it is measured again with each epoch.
        cores: of each population, by OpenMP, where one after another with all cores was measured to be faster.
    """

    def __init__(  # noqa: PLR0913 - what many trainings need
        self, size: int, threads: int, keeper: Keeper, halving: Halving | None = None,
        until: float = math.inf, say: Say = lambda _text: None, *, begin_until: float = math.inf, pace: float = 0.0,
        cores: int = 1,
    ) -> None:  # fmt: skip
        self.size, self.threads, self.keeper, self.halving = size, threads, keeper, halving
        self.until, self.begin_until, self.told, self._say = until, begin_until, set[str](), say
        self.running: list[Trial] = []
        self.began, self.cores, self.fastest = time.monotonic(), cores, math.inf
        self.pace, self.measured = CAREFUL * pace, False
        self.width = (
            size * threads
        )  # members of a trial, as the last one had; the first one is asked for alone

    def say(self, text: str) -> None:
        """Say a thing once."""
        if text not in self.told:
            self.told.add(text)
            self._say(text)

    def run(self, more: More, ended: ENDED, going_on: list[Trial] | None = None) -> None:
        """Train until there are no more trials, or the time is over.

        Args:
            more: gives up to so many new trials, none when there are no more.
            ended: is told of each trial that has ended and is recorded.
            going_on: trials that were interrupted, with members as their checkpoints left them.

        Raises:
            Preempted: a signal came; the epoch under way was ended, and everything saved.
        """
        self.running = [trial for trial in going_on or [] if not self._refused(trial, ended)]
        trainers: list[Trainer] = []
        workers = self.threads * self.cores
        with using_threads(self.cores), _pool(workers) as pool, noted() as interrupts:
            while True:
                if interrupts.received:
                    self.keeper.save(self.running, now=True)
                    raise preempted(self.keeper, interrupts.received)
                if self._take(more, ended) or not trainers:
                    active = [member for trial in self.running for member in trial.active]
                    trainers = arrange(active, self.size, self.threads, self.say)
                if not trainers:
                    return
                start, trained = time.monotonic(), sum(len(trainer.members) for trainer in trainers)
                rows = self._trained(pool, trainers)
                self._end_epoch(trainers, rows)
                if self._let_go(trainers, ended):
                    trainers = []
                self.keeper.save(self.running)
                taken = (time.monotonic() - start) / trained
                self.pace = (self.pace + taken) / 2 if self.measured else taken
                self.measured = True
                if self._hindered(taken):
                    trainers = []

    def _trained(self, pool: ThreadPoolExecutor, trainers: list[Trainer]) -> list[list[dict[str, float]]]:
        """An epoch of each trainer: side by side, or one after another if each has all cores."""
        if self.cores > 1:
            return [_epoch(trainer) for trainer in trainers]
        return list(pool.map(_epoch, trainers))

    def _hindered(self, taken: float) -> bool:
        """Whether all cores for each population, which was faster once, have become a hindrance: then side by side."""
        self.fastest = min(self.fastest, taken)
        if self.cores == 1 or taken < HINDERED * self.fastest:
            return False
        self.size, self.threads, self.cores = -(-self.size // self.cores), self.threads * self.cores, 1
        torch.set_num_threads(1)
        self.say("the machine has become busy: populations go on with one core each")
        return True

    def _take(self, more: More, ended: ENDED) -> bool:
        """Begin as many trials as there is room for; whether there are new ones."""
        room = self.size * self.threads - sum(len(trial.active) for trial in self.running)
        taken: list[Trial] = []
        while room > 0 and time.monotonic() < min(self.until, self.begin_until):
            new = more(max(1, room // self.width))
            if not new:
                break
            for trial in new:
                self.width = max(1, len(trial.parts))
                if not self._can_end(trial):
                    self.say("there is no time for another trial")
                    return bool(taken)
                self._begin(trial)
                if not self._refused(trial, ended):
                    taken.append(trial)
                    self.running.append(trial)
                    room -= len(trial.members)
        return bool(taken)

    def _can_end(self, trial: Trial) -> bool:
        """Whether the time will be enough for it and for all that runs, as far as the last epochs tell."""
        return trial.stage == DEFAULT or time.monotonic() + self._needed(trial) <= self.until

    def _needed(self, *more: Trial) -> float:
        """Seconds that what runs, and more, will take; of what may be given up before it is half through, half."""
        epochs = 0.0
        longest = 0
        for trial in (*self.running, *more):
            if trial.stopped or trial.failed:
                continue
            whole, width = int(trial.plan.stopping.epochs), len(trial.active) or len(trial.parts)
            left = whole - trial.epochs
            sure = self.halving is None or trial.stage == DEFAULT or trial.epochs >= whole / 2
            epochs += left * width * (1.0 if sure else GIVEN_UP)
            longest = max(longest, left)
        # The last one has a thread of its own, but not the others' company.
        return self.pace * max(epochs, longest * self.threads)

    def _hurry(self) -> None:
        """Give up the worst trials if there is no time for all: some that end are worth more than many that don't."""
        while time.monotonic() + self._needed() > self.until:
            others = [trial for trial in self.running if trial.active and trial.stage != DEFAULT]
            if len(others) < 2:
                return
            worst = max(others, key=lambda trial: trial.latest)
            worst.stopped = (
                f"after {worst.epochs} of {worst.plan.stopping.epochs} epochs: the time is not enough for all, and "
                f"{len(others) - 1} others were better"
            )

    def _begin(self, trial: Trial) -> None:
        trial.begin()
        self.keeper.begin(trial)

    def _refused(self, trial: Trial, ended: ENDED) -> bool:
        """Whether it can't be trained; then it has ended."""
        if trial.failed:
            self.keeper.end(trial)
            ended(trial)
        return bool(trial.failed)

    def _end_epoch(self, trainers: list[Trainer], rows: list[list[dict[str, float]]]) -> None:
        """Hand the figures to the trials, and give up the worse ones."""
        figures: dict[int, dict[str, float]] = {}
        for trainer, own in zip(trainers, rows, strict=True):
            figures |= {id(member): row for member, row in zip(trainer.members, own, strict=True)}
        trained: list[Trial] = []
        for trial in self.running:
            own = [figures[id(member)] for member in trial.members if id(member) in figures]
            if own:
                trial.add(own)
                self.keeper.epoch(trial)
                trained.append(trial)
        if self.halving is not None:
            self.halving.give_up(trained)
        self._hurry()
        if time.monotonic() >= self.until + GRACE * (self.until - self.began):
            for trial in self.running:
                if trial.active:
                    whole = trial.plan.stopping.epochs
                    trial.late = True
                    trial.stopped = f"after {trial.epochs} of {whole} epochs: the time was over"

    def _let_go(self, trainers: list[Trainer], ended: ENDED) -> bool:
        """Record the trials that have ended; whether there are any, or trainers with members that have."""
        over = [trial for trial in self.running if not trial.active]
        for trial in over:
            self.running.remove(trial)
            self.keeper.end(trial)
            ended(trial)
        return bool(over) or any(member.finished for trainer in trainers for member in trainer.members)


def _epoch(trainer: Trainer) -> list[dict[str, float]]:
    """An epoch of a trainer. What goes wrong in a training by itself is the end of that one alone."""
    try:
        return trainer.epoch()
    except FAILURES as error:
        if len(trainer.members) > 1:
            raise
        trainer.members[0].failed = reason(error)
        return [{}]


def preempted(keeper: Keeper, number: int) -> Preempted:
    """What is raised where a signal stopped a study, with all saved."""
    study = keeper.study
    error = Preempted(
        f"stopped by signal {number} after an epoch; everything is saved in {study.path}",
        "to go on later",
        f"fitwell resume {study.name}",
    )
    error.signal = number
    return error


@contextmanager
def _pool(threads: int) -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(threads, thread_name_prefix="population", initializer=_one_core) as pool:
        yield pool


def _one_core() -> None:
    torch.set_num_threads(1)
