"""A team: members that train side by side, epoch by epoch, in this process or in some of their own."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Protocol

from fitwell.tuning.populations.apart import Worker
from fitwell.tuning.populations.members import Member
from fitwell.tuning.populations.packing import Say, Trainer, arrange, trainers, work
from fitwell.tuning.trials import FAILURES, Row, reason


class Team(Protocol):
    """Members that train side by side.

    ``members`` know their figures, and whether they have failed, after each epoch; their weights and all else that a
    checkpoint holds are theirs once they were brought.
    """

    members: list[Member]

    def epoch(self) -> Sequence[Row]:
        """Train each member for one epoch; their figures in the order of ``members``."""

    def bring(self) -> None:
        """Let the members be as they were trained, with weights and all."""

    def dismiss(self) -> None:
        """End what trains; what was not brought is lost."""


class Here:
    """A team in this process: one population after another.

    Args:
        groups: of members; see ``packing.arrange``.
        say: is told why members can't be stacked.
    """

    def __init__(self, groups: Sequence[Sequence[Member]], say: Say) -> None:
        self.trainers = [trainer for group in groups for trainer in trainers(group, say)]
        self.members = [member for trainer in self.trainers for member in trainer.members]

    def epoch(self) -> list[dict[str, float]]:
        """See ``Team``."""
        return [row for trainer in self.trainers for row in _trained(trainer)]

    def bring(self) -> None:
        """They are here."""

    def dismiss(self) -> None:
        """Nothing was begun."""


class Apart:
    """A team in processes of its own, a population or more in each.

    Args:
        groups: of members, the longest first.
        workers: processes, at most.
        say: is told why members can't be stacked.

    Raises:
        OSError: there is no memory or no process left.
    """

    def __init__(self, groups: Sequence[Sequence[Member]], workers: int, say: Say) -> None:
        self.say, self.workers = say, list[Worker]()
        try:
            for share in shares(groups, workers):
                members = [member for group in share for member in group]
                self.workers.append(Worker(partial(Here, share), members))
        except OSError:
            self.dismiss()
            raise
        self.members = [member for worker in self.workers for member in worker.members]

    def epoch(self) -> list[Row]:
        """See ``Team``."""
        for worker in self.workers:
            worker.begin_epoch()
        ended = [worker.end_epoch(self.say) for worker in self.workers]
        return [row for rows in ended for row in rows]

    def bring(self) -> None:
        """See ``Team``."""
        for worker in self.workers:
            worker.bring()

    def dismiss(self) -> None:
        """See ``Team``."""
        for worker in self.workers:
            worker.end()


def team(members: Sequence[Member], size: int, workers: int, say: Say) -> Team:
    """A team of members.

    Args:
        members: each between two epochs.
        size: of a population, at most.
        workers: processes that train side by side; 1 for this one.
        say: is told what a person should know.
    """
    groups = arrange(members, size, workers)
    if workers > 1:
        try:
            return Apart(groups, workers, say)
        except OSError as error:
            say(f"trained one after another, for there is no further process: {error}")
    return Here(groups, say)


def shares(groups: Sequence[Sequence[Member]], workers: int) -> list[list[Sequence[Member]]]:
    """Groups shared out among workers: each to the one that has least to do (Graham 1969's longest first).

    Args:
        groups: the longest first.
        workers: at most so many shares; none is empty.
    """
    shares: list[list[Sequence[Member]]] = [[] for _ in range(min(workers, len(groups)))]
    load = [0] * len(shares)
    for group in groups:
        least = load.index(min(load))
        shares[least].append(group)
        load[least] += work(group)
    return shares


def _trained(trainer: Trainer) -> list[dict[str, float]]:
    """An epoch of a trainer. What goes wrong in a training by itself is the end of that one alone."""
    try:
        return trainer.epoch()
    except FAILURES as error:
        if len(trainer.members) > 1:
            raise
        trainer.members[0].failed = reason(error)
        return [{}]
