"""Divide samples into training, validation and test parts, so that no part knows of another.

Three ways: stratified (every class keeps its share in every part), by groups (whole groups, such as all
pictures of one patient), in time (the past trains, the future tests). Deterministic by the seed, and
independent of any global random state.
"""

from __future__ import annotations

import numpy as np

from fitwell.data.contract import Samples
from fitwell.errors import DataError
from fitwell.plan import DataPlan

AUTO_SHARE = 0.15
AUTO_VALIDATION = 5_000  # the standard error of an accuracy near 98 % is then 0.2 %
AUTO_TEST = 10_000
AUTO_SMALLEST = 20  # with fewer samples a part of 15 % would be one or two: all of them train

Parts = tuple[np.ndarray, np.ndarray, np.ndarray]


def split(samples: Samples, plan: DataPlan, seed: int, stratify: np.ndarray | None) -> Parts:
    """The indices of the training, validation and test samples: int64, ascending, empty where absent.

    A test part that the source sets apart is taken as it is when ``plan.test`` is ``"auto"``, and left out
    of everything when ``plan.test`` is 0; any other size divides all samples anew. ``"auto"`` is 15 % of
    the samples to be divided, at most 5,000 for validation and 10,000 for the test, and nothing when there
    are fewer than 20. Groups and times outrank classes.

    Args:
        samples: what a kind read.
        plan: the sizes: a share of the samples to be divided, or a number of samples.
        seed: of the only random generator used (PCG64).
        stratify: the class of each sample (N,), any integers; None for other targets.

    Raises:
        DataError: the parts are larger than the data, leave no training part or fewer training samples
            than classes, or can't be made of whole groups or different times.
    """
    _check_columns(samples, plan)
    pool, apart = _pool(samples, plan)
    classes = 0 if stratify is None else len(np.unique(stratify[pool]))
    test = 0 if apart is not None else _size(plan.test, len(pool), AUTO_TEST, classes)
    validation = _size(plan.validation, len(pool), AUTO_VALIDATION, classes)
    _check_sizes(len(pool), validation, test, classes)
    if samples.groups is not None:
        part = _by_group(samples.groups[pool], validation, test, seed)
    elif samples.times is not None:
        part = _by_time(samples.times[pool], validation, test)
    else:
        codes = np.zeros(len(pool), np.int64) if stratify is None else stratify[pool]
        part = _by_class(codes, validation, test, seed)
    tested = pool[part == _TEST] if apart is None else apart
    return pool[part == _TRAIN], pool[part == _VALIDATION], tested


_TRAIN, _VALIDATION, _TEST = 0, 1, 2


def _pool(samples: Samples, plan: DataPlan) -> tuple[np.ndarray, np.ndarray | None]:
    """The samples to be divided, and the test part if the source decides it."""
    if samples.test is None or plan.test not in ("auto", 0):
        return np.arange(samples.count, dtype=np.int64), None
    given = np.zeros(samples.count, bool)
    given[samples.test] = True
    apart = np.flatnonzero(given).astype(np.int64)
    pool = np.flatnonzero(~given).astype(np.int64)
    if samples.groups is not None:
        shared = np.intersect1d(samples.groups[apart], samples.groups[pool])
        if len(shared):
            raise DataError(
                f"group {shared[0]!r} is inside and outside of the test part that the source sets apart",
                "each group in one part",
                "divide the data anew, for example with test=0.15",
            )
    return pool, apart if plan.test == "auto" else apart[:0]


def _size(wanted: float | str, count: int, limit: int, classes: int) -> int:
    """How many samples a part gets."""
    if wanted == "auto":
        if count < AUTO_SMALLEST:
            return 0
        return min(round(AUTO_SHARE * count), limit, (count - classes) // 2)
    return wanted if isinstance(wanted, int) else round(float(wanted) * count)


def _check_columns(samples: Samples, plan: DataPlan) -> None:
    for setting, values in (("group", samples.groups), ("time", samples.times)):
        name = getattr(plan, setting)
        if name is not None and values is None:
            raise DataError(
                f"{setting} = {name!r}: {plan.source} has no such column",
                "data with named columns",
                f"leave {setting} out, or give a table",
            )
    if samples.groups is not None and samples.times is not None:
        raise DataError("both group and time are given", "one of them", "leave out group or time")


def _check_sizes(count: int, validation: int, test: int, classes: int) -> None:
    sizes = f"{validation:,} validation and {test:,} test samples"
    if count == 0:
        raise DataError("there are no samples to train on", "at least one sample", "check the data")
    if validation + test > count:
        raise DataError(f"{sizes} are asked of {count:,}", "parts within the data", "ask for smaller parts")
    if validation + test == count:
        raise DataError(
            f"{sizes} leave nothing of {count:,} to train on", "a training part", "ask for smaller parts"
        )
    if count - validation - test < classes:
        raise DataError(
            f"there are {classes:,} classes, but {count - validation - test:,} samples to train on",
            "at least one training sample a class",
            "add data, merge rare classes, ask for smaller parts, or set task='number'",
        )


def _by_class(labels: np.ndarray, validation: int, test: int, seed: int) -> np.ndarray:
    """Each class in its share; one sample of every class at least goes to training."""
    random = np.random.Generator(np.random.PCG64(seed))
    _, codes = np.unique(labels, return_inverse=True)
    counts = np.bincount(codes)
    tested = _largest_remainder(counts, test, random)
    validated = _largest_remainder(counts - tested, validation, random)
    shuffled = random.permutation(len(codes))
    by_class = shuffled[np.argsort(codes[shuffled], kind="stable")]
    of = codes[by_class]
    rank = np.arange(len(codes)) - (np.cumsum(counts) - counts)[of]  # 0, 1, 2 ... within each class
    part = np.empty(len(codes), np.int64)
    part[by_class] = np.where(
        rank < tested[of], _TEST, np.where(rank < (tested + validated)[of], _VALIDATION, _TRAIN)
    )
    return part


def _largest_remainder(counts: np.ndarray, size: int, random: np.random.Generator) -> np.ndarray:
    """Divide ``size`` among classes by their counts (Hamilton's method), leaving each at least one.

    Equal remainders are drawn by lot, so that no class is favoured by its place.
    """
    quota = size * counts / counts.sum()
    most = counts - 1
    taken: np.ndarray = np.minimum(np.floor(quota).astype(np.int64), most)
    lots = random.random(len(counts))
    while missing := size - int(taken.sum()):
        order = np.lexsort((lots, taken - quota))
        order = order[taken[order] < most[order]]
        taken[order[:missing]] += 1
    return taken


def _by_group(groups: np.ndarray, validation: int, test: int, seed: int) -> np.ndarray:
    """Whole groups in random order, each taken if that brings the part nearer to its size."""
    random = np.random.Generator(np.random.PCG64(seed))
    names, codes = np.unique(groups, return_inverse=True)
    wanted = [(p, size) for p, size in ((_TEST, test), (_VALIDATION, validation)) if size]
    if len(names) <= len(wanted):
        raise DataError(
            f"there are {len(names)} groups for {len(wanted) + 1} parts",
            "at least one group a part",
            "group by another column, or set validation or test to 0",
        )
    counts = np.bincount(codes)
    group_part = np.full(len(names), _TRAIN)
    free = list(random.permutation(len(names)))
    for later, (part, size) in zip(range(len(wanted), 0, -1), wanted, strict=True):
        chosen = _near(counts, free, size, most=len(free) - later)
        group_part[chosen] = part
        free = [g for g in free if group_part[g] == _TRAIN]
    part_of: np.ndarray = group_part[codes]
    return part_of


def _near(counts: np.ndarray, free: list[int], size: int, most: int) -> list[int]:
    """At least one and at most ``most`` groups with about ``size`` samples together."""
    chosen: list[int] = []
    left = size
    for group in free:
        if abs(left - counts[group]) < left and len(chosen) < most:
            chosen.append(group)
            left -= counts[group]
    return chosen or [min(free, key=lambda group: counts[group])]


def _by_time(times: np.ndarray, validation: int, test: int) -> np.ndarray:
    """Oldest samples train, then validation, the newest test; each cut lies between different times."""
    unknown = np.flatnonzero(times != times)  # noqa: PLR0124 - NaN and NaT differ from themselves
    if len(unknown):
        raise DataError(
            f"sample {unknown[0]} has no time", "a time for every sample", "fill in the time, or drop the row"
        )
    order = np.argsort(times, kind="stable")
    ordered = times[order]
    cuts = np.flatnonzero(ordered[1:] != ordered[:-1]) + 1
    parts = [(p, size) for p, size in ((_TEST, test), (_VALIDATION, validation)) if size]
    if len(cuts) < len(parts):
        raise DataError(
            f"there are {len(cuts) + 1} different times for {len(parts) + 1} parts",
            "at least one time a part, for equal times stay together",
            "choose a finer time, or set validation or test to 0",
        )
    part = np.full(len(times), _TRAIN)
    end = len(times)
    for later, (which, size) in zip(range(len(parts) - 1, -1, -1), parts, strict=True):
        possible = cuts[later:][cuts[later:] < end]
        cut = possible[np.argmin(np.abs(possible - (end - size)))]
        part[order[cut:end]] = which
        end = cut
    return part
