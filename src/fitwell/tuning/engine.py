"""The engine: trains trials side by side, replaces those that end in flight, and stops when the time is over."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from fitwell.errors import Preempted
from fitwell.training.interrupts import noted
from fitwell.tuning.halving import RUNGS, Halving
from fitwell.tuning.keeping import Keeper
from fitwell.tuning.populations.members import Member
from fitwell.tuning.populations.packing import Say
from fitwell.tuning.populations.team import Here, Team, team
from fitwell.tuning.trials import DEFAULT, Row, Trial

GRACE = 0.1  # of the time, beyond its end, for trials that are nearly through
CAREFUL = 1.5  # times what was measured by one worker alone, before all are at work
GIVEN_UP = 0.5  # of the epochs of many trials are trained, where the worse ones are given up
More = Callable[[int], list[Trial]]
ENDED = Callable[[Trial], None]


class Trains(Protocol):
    """Trains trials, in this process or elsewhere."""

    @property
    def hands(self) -> int:
        """Trials that can train at the same time without sharing a core (or GPU)."""

    def run(self, more: More, ended: ENDED, going_on: list[Trial] | None = None) -> None:
        """See ``Engine.run``."""


MakeEngine = Callable[..., Trains]  # is given what ``Engine`` is


class Engine:
    """Trains trials side by side.

    Args:
        size: members of one population, at most.
        workers: processes, each with a population; 1 for this one.
        keeper: records them.
        halving: gives up the worse ones early; None trains all to their end.
        until: when nothing more is trained, on the monotonic clock.
        begin_until: when no further trial begins, and those side by side should be through.
        say: is told what a person should know.
        pace: seconds that an epoch of a member takes, as far as it is known; it is measured again with each epoch.
    """

    def __init__(  # noqa: PLR0913 - what many trainings need
        self, size: int, workers: int, keeper: Keeper, halving: Halving | None = None,
        until: float = math.inf, say: Say = lambda _text: None, *, begin_until: float = math.inf, pace: float = 0.0,
    ) -> None:  # fmt: skip
        self.size, self.workers, self.keeper, self.halving = size, workers, keeper, halving
        self.until, self.begin_until, self.told, self._say = until, begin_until, set[str](), say
        self.running: list[Trial] = []
        self.waiting: list[Trial] = []  # that were asked for, and may begin when there is time
        self.team: Team = Here([], say)
        self.began = time.monotonic()
        self.pace, self.measured = CAREFUL * pace, False
        self.width = size * workers  # members of a trial, as the last one had; the first is asked for alone

    @property
    def hands(self) -> int:
        """See ``Trains``."""
        return self.workers

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
        try:
            with noted() as interrupts:
                while True:
                    if interrupts.received:
                        self._save()
                        raise preempted(self.keeper, interrupts.received)
                    if self._take(more, ended) or not self.team.members:
                        self._gather()
                    if not self.team.members:
                        return
                    self._train()
                    self._let_go(ended)
                    if self.keeper.due:
                        self._save()
        finally:
            self.team.dismiss()

    def _gather(self) -> None:
        """All that is active becomes one team."""
        self._disband()
        active = [member for trial in self.running for member in trial.active]
        self.team = team(active, self.size, self.workers, self.say)

    def _disband(self) -> None:
        self.team.bring()
        self.team.dismiss()
        self.team = Here([], self.say)

    def _train(self) -> None:
        """An epoch of the team."""
        start = time.monotonic()
        self._end_epoch(self.team.members, self.team.epoch())
        # Of an epoch with all workers at work: fewer members than workers leave some idle.
        taken = (time.monotonic() - start) / max(len(self.team.members), self.workers)
        self.pace = (self.pace + taken) / 2 if self.measured else taken
        self.measured = True

    def _save(self) -> None:
        self.team.bring()
        self.keeper.save(self.running)

    def _take(self, more: More, ended: ENDED) -> bool:
        """Begin as many trials as there is room for; whether there are new ones."""
        room = self.size * self.workers - sum(len(trial.active) for trial in self.running)
        taken: list[Trial] = []
        while room > 0 and time.monotonic() < min(self.until, self.begin_until):
            self.waiting = self.waiting or more(max(1, room // self.width))
            if not self.waiting or not self._can_end(self.waiting[0]):
                break
            trial = self.waiting.pop(0)
            self.width = max(1, len(trial.parts))
            self._begin(trial)
            if not self._refused(trial, ended):
                taken.append(trial)
                self.running.append(trial)
                room -= len(trial.members)
        return bool(taken)

    def _can_end(self, trial: Trial) -> bool:
        """Whether the time will be enough for it and for all that runs, as far as the last epochs tell.

        Of what runs at the same time the last one is to be through by ``begin_until``, for others come after it.
        """
        if trial.stage == DEFAULT:
            return True
        end = time.monotonic() + self._needed(trial)
        if end > self.until:
            self.say("there is no time for another trial")
        return end <= (min(self.until, self.begin_until) if self.running else self.until)

    def _needed(self, *more: Trial) -> float:
        """Seconds that what runs, and more, will take; of what may still be given up, half."""
        epochs = 0.0
        longest = 0
        for trial in (*self.running, *more):
            if trial.stopped or trial.failed:
                continue
            whole, width = int(trial.plan.stopping.epochs), len(trial.active) or len(trial.parts)
            left = whole - trial.epochs
            sure = self.halving is None or trial.stage == DEFAULT or trial.epochs >= max(RUNGS) * whole
            epochs += left * width * (1.0 if sure else GIVEN_UP)
            longest = max(longest, left)
        # The last one has a worker of its own, but not the others' company.
        return self.pace * max(epochs, longest * self.workers)

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

    def _end_epoch(self, members: Sequence[Member], rows: Sequence[Row]) -> None:
        """Hand the figures to the trials, and give up the worse ones."""
        figures = {id(member): row for member, row in zip(members, rows, strict=True)}
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

    def _let_go(self, ended: ENDED) -> None:
        """Record the trials that have ended; then, or when a member has, whoever is left forms a new team."""
        over = [trial for trial in self.running if not trial.active]
        if over or any(member.finished for member in self.team.members):
            self._disband()
        for trial in over:
            self.running.remove(trial)
            self.keeper.end(trial)
            ended(trial)


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
