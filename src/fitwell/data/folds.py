"""Many divisions of one data set: cross-validation, smaller training parts, bootstrap resamples.

A fold is a whole ``Data``: what was learned from its training part (means, categories, what replaces a missing
value, mean and deviation of the target) knows nothing of its validation part.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np
import torch

from fitwell.data import Described, assemble, describe
from fitwell.data.contract import Data, Split
from fitwell.data.splitting import split
from fitwell.errors import DataError, PlanError
from fitwell.plan import DataPlan

Division = tuple[np.ndarray, np.ndarray]  # indices of the training and of the validation samples


def folds(plan: DataPlan, count: int, seed: int, supervised: bool = True) -> list[Data]:
    """The data of each fold of a cross-validation: the fold is its validation part, all the rest trains.

    Every class keeps its share in every fold. Samples of one group stay in one fold where ``plan.group`` is set.
    Where ``plan.time`` is set, the window expands: the samples in the order of time are cut into ``count`` + 1
    pieces, equal times together, and fold i is validated on piece i + 1 and trained on all pieces before it, so its
    future is in no part.

    The test part is the same in all folds: what the source sets apart, or what ``plan.test`` asks for, drawn as
    ``load`` draws it. With ``test="auto"`` nothing is held out beyond what the source sets apart: each sample is
    validated on once, which needs no further part. ``plan.validation`` does not matter.

    The source is read once. Tensors that are equal in all folds, such as images, are one copy in memory; standardised
    numbers and tables are a copy each.

    Args:
        plan: where the data is.
        count: of folds.
        seed: of the division; time needs none.
        supervised: False leaves the target out, for families that need none.

    Raises:
        PlanError: fewer than two folds.
        DataError: the data can't be read or learned from, or has fewer samples, groups or times than it takes.
    """
    if count < 2:
        raise PlanError(f"{count} folds are asked for", "at least 2", "ask for 5 or 10 folds")
    described = describe(plan, supervised)
    pool, test = _pool(described, seed)
    made: list[Data] = []
    for train, validation in _divisions(described, pool, count, seed):
        rows = (pool[train], pool[validation], test)
        made.append(assemble(described, rows, like=made[0] if made else None))
    return made


def _pool(described: Described, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The samples that the folds divide, and the test part."""
    plan, samples = dataclasses.replace(described.plan, validation=0), described.samples
    if plan.test == "auto" and samples.test is None:
        plan = dataclasses.replace(plan, test=0)
    pool, _, test = split(samples, plan, seed, described.codes)
    return pool, test


def _divisions(described: Described, pool: np.ndarray, count: int, seed: int) -> Iterator[Division]:
    """Training and validation part of each fold, as places in the pool, ascending."""
    samples, codes = described.samples, described.codes
    _require(len(pool), count, "samples", "folds")
    if samples.times is not None:
        yield from _expanding(samples.times[pool], count)
        return
    classes = (
        np.zeros(len(pool), np.int64) if codes is None else np.unique(codes[pool], return_inverse=True)[1]
    )
    random = np.random.Generator(np.random.PCG64(seed))
    if samples.groups is not None:
        fold = _grouped(samples.groups[pool], classes, count, random)
    else:
        fold = _dealt(classes, count, random)
    for number in range(count):
        yield np.flatnonzero(fold != number), np.flatnonzero(fold == number)


def _require(found: int, count: int, what: str, pieces: str) -> None:
    if found < count:
        raise DataError(
            f"there are {found:,} {what} for {count:,} {pieces}",
            f"at least one of the {what} for each",
            "ask for fewer folds, or add data",
        )


def _dealt(classes: np.ndarray, count: int, random: np.random.Generator) -> np.ndarray:
    """The fold of each sample: sorted by class, in random order within each, they are dealt like cards.

    Folds differ by one sample at most, and by one of each class. It is how scikit-learn's StratifiedKFold
    shares a class out, and that refuses classes with fewer samples than folds, or warns of them.
    """
    shuffled = random.permutation(len(classes))
    order = shuffled[np.argsort(classes[shuffled], kind="stable")]
    fold = np.empty(len(classes), np.int64)
    fold[order] = np.arange(len(classes)) % count
    return fold


def _grouped(groups: np.ndarray, classes: np.ndarray, count: int, random: np.random.Generator) -> np.ndarray:
    """The fold of each sample: whole groups, the largest first, each where folds become most alike.

    Alike are folds if their shares of all samples and of each class are; the sum of the squared shares is least
    then. What a group adds to that sum in an empty fold is least of all, so with a group a fold none stays empty.
    """
    names, codes = np.unique(groups, return_inverse=True)
    _require(len(names), count, "groups", "folds")
    counts = np.zeros((len(names), classes.max() + 1))
    np.add.at(counts, (codes, classes), 1)
    counts = np.column_stack([counts.sum(1), counts])
    shares = counts / counts.sum(0)
    shuffled = random.permutation(len(names))
    filled = np.zeros((count, shares.shape[1]))
    fold_of_group = np.empty(len(names), np.int64)
    for group in shuffled[np.argsort(-counts[shuffled, 0], kind="stable")]:
        fold = int(np.argmin(filled @ shares[group]))
        fold_of_group[group] = fold
        filled[fold] += shares[group]
    fold_of: np.ndarray = fold_of_group[codes]
    return fold_of


def _expanding(times: np.ndarray, count: int) -> Iterator[Division]:
    """For each fold the past and the piece of time that follows it, about as many samples in each piece."""
    order = np.argsort(times, kind="stable")
    ordered = times[order]
    possible = np.flatnonzero(ordered[1:] != ordered[:-1]) + 1
    _require(len(possible) + 1, count + 1, "different times", "pieces")
    cuts = [0]
    for number in range(1, count + 1):
        free = possible[: len(possible) - (count - number)]  # the later cuts need a place each
        free = free[free > cuts[-1]]
        cuts.append(int(free[np.argmin(np.abs(free - number * len(times) / (count + 1)))]))
    for start, end in zip(cuts[1:], [*cuts[2:], len(times)], strict=True):
        yield np.sort(order[:start]), np.sort(order[start:end])


def resampled(data: Data, size: int | None, seed: int, replace: bool) -> Data:
    """The same data with another training part, drawn from its own; only indices change.

    Without replacement it is a subset in which every class keeps its share, one sample of each first, and that of a
    smaller size with the same seed is contained in that of a larger one. With replacement it is a bootstrap resample.

    The encoding stays that of the whole training part, so that all such data share their tensors. That lets nothing
    of the held-out parts leak; only, a model of few samples knows means and categories of more.

    Args:
        data: to draw from.
        size: of the new training part; None: as many samples as it has.
        seed: of the draw.
        replace: whether a sample may be drawn more than once.

    Raises:
        DataError: it is to have no samples, or more than there are without replacement.
    """
    whole = data.train.index.cpu().numpy()
    size = len(whole) if size is None else size
    if size < 1 or (size > len(whole) and not replace):
        raise DataError(
            f"{size:,} samples are asked of a training part of {len(whole):,}",
            f"1 to {len(whole):,}",
            "ask for fewer samples, or draw with replacement" if size > 0 else "ask for at least one sample",
        )
    random = np.random.Generator(np.random.PCG64(seed))
    chosen = random.integers(len(whole), size=size) if replace else _nested(data, random)[:size]
    index = torch.from_numpy(np.sort(whole[chosen])).to(data.train.index.device)
    return dataclasses.replace(data, train=Split(data.train.fields, index))


def _nested(data: Data, random: np.random.Generator) -> np.ndarray:
    """An order of the training samples of which every beginning has the classes' shares.

    The r-th sample of a class (from 0) comes when the share r / (size of the class) of all has been taken.
    """
    shuffled = random.permutation(len(data.train))
    if data.shape.target.kind not in ("classes", "binary"):
        return shuffled
    y = data.train.fields["y"].index_select(0, data.train.index).cpu().view(-1).long().numpy()[shuffled]
    by_class = np.argsort(y, kind="stable")
    counts = np.bincount(y)
    rank = np.empty(len(y), np.int64)
    rank[by_class] = np.arange(len(y)) - np.repeat(np.cumsum(counts) - counts, counts)
    nested: np.ndarray = shuffled[np.argsort(rank / counts[y], kind="stable")]
    return nested
