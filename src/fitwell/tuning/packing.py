"""Which trainings form populations, and how large these are: what is fastest on this machine, and fits into memory."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol

from fitwell.models import parameter_count
from fitwell.training.forecast import forecast
from fitwell.training.threads import threads
from fitwell.tuning.members import Form, Member, form, obstacle
from fitwell.tuning.population import Population
from fitwell.tuning.solo import Solo
from fitwell.tuning.stacking import Unstackable

SIZES = (1, 2, 4, 8, 16, 32)
GAIN = 0.95  # a larger population must take less than this share of the time a member
TRIES = 3
STEPS = 3  # side by side, in each try
CLEARLY = 0.9  # of the time, for OpenMP suffers more from whatever else comes
PADDED = 2.0  # the largest member of a population has at most so many times the weights of the smallest
COPIES = 8  # of each weight: weight, gradient, two moments, scratch, best, mask, and the member's first own
SHARE = 0.5  # of the free memory that populations may take
UNKNOWN_MEMORY = 2 * 2**30

Say = Callable[[str], None]


class Trainer(Protocol):
    """A population, or a training by itself."""

    members: list[Member]

    def epoch(self) -> list[dict[str, float]]:
        """Train all members for one epoch; their figures in the order of ``members``."""


def best_size(make: Callable[[], Member], threads: int = 1) -> tuple[int, dict[int, float]]:
    """How many members of a kind train fastest together on one thread, a member's step being counted.

    Args:
        make: a fresh member that is not used otherwise.
        threads: that train a population each, and share the memory.

    Returns:
        The size, and the seconds of a member's step by size. 1 where they can't be stacked.
    """
    if obstacle(make().job) is not None:
        return 1, {}
    most, best, seconds = most_members(make()) // threads, 1, {}
    for size in SIZES:
        if size > max(1, most):
            break
        try:
            population = Population([make() for _ in range(size)])
        except Unstackable:
            break
        seconds[size] = min(_step_seconds(population) for _ in range(TRIES)) / size
        if seconds[size] < GAIN * seconds[best]:
            best = size
        elif size >= 4 * best:
            break
    return best, seconds


def faster_one_by_one(make: Callable[[], Member], size: int, cores: int) -> bool:
    """Whether a population with all cores by OpenMP is faster than one on each core, together as large.

    Threads of Python wait for each other between operations, OpenMP's within them: what is worse depends on the model
    and on what else the machine has to do.

    Args:
        make: a fresh member that is not used otherwise.
        size: of all together.
        cores: of the machine.
    """
    sides = [Population([make() for _ in range(size // cores)]) for _ in range(cores)]
    with threads(1), ThreadPoolExecutor(cores) as pool:
        apart = min(_side_by_side(pool, sides) for _ in range(TRIES))
    whole = Population([make() for _ in range(size)])
    with threads(cores):
        together = min(_step_seconds(whole) for _ in range(TRIES))
    return together < CLEARLY * apart


def _side_by_side(pool: ThreadPoolExecutor, sides: Sequence[Population]) -> float:
    start = time.perf_counter()
    list(pool.map(lambda side: [side.try_step() for _ in range(STEPS)], sides))
    return (time.perf_counter() - start) / STEPS


def _step_seconds(population: Population) -> float:
    start = time.perf_counter()
    population.try_step()
    return time.perf_counter() - start


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


def arrange(members: Sequence[Member], size: int, threads: int, say: Say) -> list[Trainer]:
    """Members as populations of one form each, which ``threads`` threads can share evenly.

    Args:
        members: each between two epochs.
        size: of a population, at most.
        threads: that train side by side.
        say: is told why members can't be stacked.
    """
    forms: dict[Form, list[Member]] = {}
    trainers: list[Trainer] = []
    for member in members:
        reason = obstacle(member.job)
        if reason is not None:
            say(f"trained alone: {reason}")
            trainers.append(Solo(member))
        else:
            forms.setdefault(form(member.job), []).append(member)
    for alike in forms.values():
        for group in alike_in_size(alike):
            trainers += _stacked(group, size, threads, say)
    # The longest first: then the others fill the time until it is done.
    return sorted(trainers, key=lambda trainer: -sum(_work(member) for member in trainer.members))


def _stacked(group: Sequence[Member], size: int, threads: int, say: Say) -> list[Trainer]:
    count = min(len(group), max(threads, -(-len(group) // size)))
    made: list[Trainer] = []
    for chunk in (group[start::count] for start in range(count)):
        try:
            made.append(Population(chunk))
        except Unstackable as reason:
            say(f"trained alone: {reason}")
            made += [Solo(member) for member in chunk]
    return made


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


def _work(member: Member) -> int:
    return parameter_count(member.job.model) * len(member.job.data.train)
