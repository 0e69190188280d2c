"""Which trainings form populations, and how large these are: what is fastest on this machine, and fits into memory."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from fitwell.models import parameter_count
from fitwell.training.forecast import forecast
from fitwell.tuning.populations.members import Form, Member, form, obstacle
from fitwell.tuning.populations.population import Population
from fitwell.tuning.populations.solo import Solo
from fitwell.tuning.populations.stacking import Unstackable

SIZES = (1, 2, 4, 8, 16, 32)
GAIN = 0.95  # a larger population must take less than this share of the time a member
PADDED = 2.0  # the largest member of a population has at most so many times the weights of the smallest
COPIES = 8  # of each weight: weight, gradient, two moments, scratch, best, mask, and the member's first own
SHARE = 0.5  # of the free memory that populations may take
UNKNOWN_MEMORY = 2 * 2**30

Say = Callable[[str], None]


class Trainer(Protocol):
    """A population, a training by itself, or several of these."""

    members: list[Member]

    def epoch(self) -> list[dict[str, float]]:
        """Train all members for one epoch; their figures in the order of ``members``."""


def best_size(make: Callable[[], Member], workers: int = 1) -> tuple[int, dict[int, float]]:
    """How many members of a kind train fastest together, a member's step being counted.

    Args:
        make: a fresh member that is not used otherwise.
        workers: that train a population each, and share the memory.

    Returns:
        The size, and the seconds of a member's step by size. 1 where they can't be stacked.
    """
    if obstacle(make().job) is not None:
        return 1, {}
    most, best, seconds = most_members(make()) // workers, 1, {}
    for size in SIZES:
        if size > max(1, most):
            break
        try:
            population = Population([make() for _ in range(size)])
        except Unstackable:
            break
        seconds[size] = population.step_seconds() / size
        if seconds[size] < GAIN * seconds[best]:
            best = size
        elif size >= 4 * best:
            break
    return best, seconds


def most_members(member: Member) -> int:
    """How many members like this one fit into half of the memory that is free."""
    foreseen = forecast(member.job)
    weights = 4 * foreseen.parameters
    data = sum(values.nbytes for values in member.job.data.train.fields.values())
    own = COPIES * weights + max(0, foreseen.memory - data - 4 * weights)
    return max(1, int(SHARE * free_memory() / max(own, 1)))


def free_memory() -> int:
    """Bytes that programs may still take, as far as the system tells."""
    meminfo = Path("/proc/meminfo")
    if meminfo.exists():
        line = next(line for line in meminfo.read_text().splitlines() if line.startswith("MemAvailable"))
        return int(line.split()[1]) * 1024
    if hasattr(os, "sysconf") and "SC_AVPHYS_PAGES" in os.sysconf_names:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return UNKNOWN_MEMORY


def arrange(members: Sequence[Member], size: int, workers: int) -> list[list[Member]]:
    """Members in groups of one form, each a population, which so many workers can share evenly; the longest first.

    Args:
        members: each between two epochs.
        size: of a population, at most.
        workers: that train side by side.
    """
    forms: dict[Form, list[Member]] = {}
    groups: list[list[Member]] = []
    for member in members:
        if obstacle(member.job) is None:
            forms.setdefault(form(member.job), []).append(member)
        else:
            groups.append([member])
    for alike in (group for every in forms.values() for group in alike_in_size(every)):
        count = min(len(alike), max(workers, -(-len(alike) // size)))
        groups += [alike[start::count] for start in range(count)]
    return sorted(groups, key=lambda group: -work(group))


def trainers(group: Sequence[Member], say: Say) -> list[Trainer]:
    """What trains a group: a population, or each by itself.

    Args:
        group: see ``arrange``.
        say: is told why members can't be stacked.
    """
    reason = obstacle(group[0].job)
    if reason is None:
        try:
            return [Population(group)]
        except Unstackable as error:
            reason = str(error)
    say(f"trained alone: {reason}")
    return [Solo(member) for member in group]


def alike_in_size(members: Sequence[Member]) -> list[list[Member]]:
    """Members of one form in groups whose padding costs little, the largest first."""
    ordered = sorted(members, key=lambda one: -parameter_count(one.job.model))
    groups: list[list[Member]] = []
    for member in ordered:
        weights = parameter_count(member.job.model)
        if groups and parameter_count(groups[-1][0].job.model) <= PADDED * weights:
            groups[-1].append(member)
        else:
            groups.append([member])
    return groups


def work(group: Sequence[Member]) -> int:
    """What a group has to do in an epoch, beside others: weights times samples."""
    return sum(parameter_count(one.job.model) * len(one.job.data.train) for one in group)
