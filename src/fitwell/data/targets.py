"""Targets: find from the values what is to be predicted, and turn them into the field ``y``.

Shape legend: N samples, K columns of a number target, C classes.
"""

from __future__ import annotations

import re
from typing import Any, cast

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from fitwell.data.cells import text_of
from fitwell.errors import DataError
from fitwell.shape import Target

FEW = 10  # integers with so few distinct values are classes: digits, grades, stars, yes and no
MANY = 1000  # more integer classes than this are never assumed
BALANCE = 0.1  # codes 0..C-1 count as labels when the rarest is at least this share of the commonest
DOUBTFUL = 100  # up to so many different integers, a note says how to predict them as classes
LISTED = 4  # so many classes are named one by one in a note


def fit_target(
    raw: np.ndarray | None, names: tuple[str, ...], task: str, train_index: np.ndarray
) -> tuple[Target, list[str]]:
    """What is predicted, found from the values, and notes that say so.

    Texts and booleans are classes, fractions are numbers. Integers are classes if there are at most ten of
    them, or if they look like labels: 0..C-1 or 1..C without gaps, all about equally frequent.

    Args:
        raw: labels or numbers, (N,) or (N, K); None without a target.
        names: names of the target's columns.
        task: ``auto``, or what it shall be: ``classes``, ``number``, ``none``.
        train_index: samples that mean and standard deviation are taken from; classes come from all.

    Raises:
        DataError: a value is missing or infinite, there is one class only, nearly every value is a class of
            its own, or a number never changes.
    """
    if raw is None or task == "none":
        return Target("none"), []
    name = names[0] if names else "target"
    values = _usable(raw, name)
    kind, hint = _choose(values) if task == "auto" else (task, "")
    if kind == "classes":
        target, note = _fit_classes(values, name)
    else:
        target, note = _fit_number(values, names, train_index)
    return target, [note + hint]


def encode_target(target: Target, raw: np.ndarray) -> Tensor:
    """The field ``y`` of raw labels or numbers: the shapes and types that ``Target`` describes.

    Raises:
        DataError: a value is missing or infinite, a class is not among the names, or the columns differ.
    """
    name = target.names[0] if target.kind == "number" else "target"
    values = _usable(raw, name)
    if target.kind == "number":
        return _encode_number(target, values)
    codes, found = _classes(values, name)
    places = {text: place for place, text in enumerate(target.names)}
    strange = [text for text in found if text not in places]
    if strange:
        row = int(np.flatnonzero(codes == found.index(strange[0]))[0])
        raise DataError(
            f"the label {strange[0]!r} in row {row} (counted from 0) is none of the {len(places)} classes",
            f"one of {_listed(target.names)}",
            "correct the label, or train again with data that has this class",
        )
    index = np.array([places[text] for text in found], dtype=np.int64)[codes]
    if target.kind == "binary":
        return torch.from_numpy(index.astype(np.float32)[:, None])
    return torch.from_numpy(index)


def _usable(raw: np.ndarray, name: str) -> np.ndarray:
    """The values with a plain type, (N,) or (N, K > 1), none of them missing or infinite."""
    values = np.asarray(raw)
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.ndim not in (1, 2) or values.size == 0:
        raise DataError(
            f"the target `{name}` has shape {np.shape(raw)}",
            "one value a sample, (N,), or several numbers, (N, K)",
            "give one label or row of numbers for each sample",
        )
    if values.dtype == object and values.ndim == 1:
        plain = pd.Series(values).infer_objects().to_numpy()
        values = plain if plain.dtype.kind in "biuf" else values
    bad = np.asarray(pd.isna(cast("Any", values)))
    if values.dtype.kind == "f":
        bad |= np.isinf(values)
    if bad.any():
        place = tuple(int(i) for i in np.argwhere(bad)[0])
        column = f", column {place[1]}" if values.ndim == 2 else ""
        raise DataError(
            f"the target `{name}` is {values[place]} in row {place[0]} (counted from 0){column}; "
            f"{int(bad.sum())} such values in all",
            "a label or a finite number for each sample",
            "fill in these values, or leave these samples out",
        )
    return values


def _choose(values: np.ndarray) -> tuple[str, str]:
    """Classes or number, and what a person should know of the choice."""
    if values.ndim == 2:
        return "number", ""
    if values.dtype.kind not in "iuf":
        return "classes", ""
    whole = values.dtype.kind in "iu" or bool((values == np.floor(values)).all())
    if not whole:
        return "number", ""
    found, counts = np.unique(values, return_counts=True)
    if _are_labels(found, counts):
        return "classes", "; to predict it as a number: --task number" if len(found) > 2 else ""
    if len(found) <= min(DOUBTFUL, len(values) // 2):
        return "number", "; to predict it as classes: --task classes"
    return "number", ""


def _are_labels(found: np.ndarray, counts: np.ndarray) -> bool:
    """Whether integers name things instead of counting them."""
    if len(found) <= max(2, min(FEW, counts.sum() // 2)):
        return True
    dense = found[0] in (0, 1) and found[-1] - found[0] == len(found) - 1
    even = counts.min() >= max(2, BALANCE * counts.max())
    return bool(dense and even and len(found) <= MANY)


def _classes(values: np.ndarray, name: str) -> tuple[np.ndarray, list[str]]:
    """The class of each sample (N,), as a place in the list of classes found, in their natural order."""
    if values.ndim == 2:
        raise DataError(
            f"the target `{name}` has {values.shape[1]} columns",
            "one column of classes",
            "choose one column with --target, or say --task number",
        )
    codes, distinct = pd.factorize(values)
    texts = [text_of(value) for value in distinct]
    order = sorted(set(texts), key=_natural)
    place = {text: index for index, text in enumerate(order)}
    return np.array([place[text] for text in texts])[codes], order


def _natural(text: str) -> tuple[Any, ...]:
    """A key that sorts -1 < 0 < 2 < 10 < '7up' < 'item 2' < 'item 10'."""
    try:
        return (0, float(text), text)
    except ValueError:
        parts = re.split(r"([0-9]+)", text.casefold())
        return (1, [(int(p), "") if p.isdigit() else (-1, p) for p in parts], text)


def _fit_classes(values: np.ndarray, name: str) -> tuple[Target, str]:
    codes, names = _classes(values, name)
    if len(names) == 1:
        raise DataError(
            f"the target `{name}` has only one class {names[0]!r}",
            "at least two classes: there is nothing to tell apart",
            "add samples of another class, or choose another column with --target",
        )
    if len(names) > max(2, len(codes) / 2):
        raise DataError(
            f"the target `{name}` has {len(names)} classes in {len(codes)} samples ({_listed(names)})",
            "several samples of each class: nearly every value here is a class of its own",
            "choose another column with --target"
            + (", or say --task number" if values.dtype.kind in "iuf" else ""),
        )
    shares = np.bincount(codes) / len(codes)
    if len(names) <= LISTED:
        what = ", ".join(
            f"{n} {share:.0%}".replace("%", " %") for n, share in zip(names, shares, strict=True)
        )
    else:
        span = f"{100 * shares.min():.1f} % to {100 * shares.max():.1f} % of the samples each"
        what = f"{_listed(names)}; {span}"
    kind = "binary" if len(names) == 2 else "classes"
    return Target(cast("Any", kind), tuple(names)), f"target `{name}`: {len(names)} classes ({what})"


def _listed(names: tuple[str, ...] | list[str]) -> str:
    """The first names and the last."""
    if len(names) <= LISTED:
        return ", ".join(names)
    return f"{', '.join(names[: LISTED - 1])}, ..., {names[-1]}"


def _numbers(values: np.ndarray, name: str) -> np.ndarray:
    """The values as float64 (N, K)."""
    try:
        numbers = values.astype(np.float64)
    except (ValueError, TypeError):
        numbers = pd.to_numeric(pd.Series(values.ravel()), errors="coerce").to_numpy(np.float64)
        row = int(np.flatnonzero(~np.isfinite(numbers))[0])
        raise DataError(
            f"the target `{name}` is {str(values.ravel()[row])!r} in row "
            f"{row // (values.size // len(values))} (counted from 0), which is no number",
            "a number for each sample",
            "correct this value, or say --task classes",
        ) from None
    return numbers.reshape(len(values), -1)


def _fit_number(values: np.ndarray, names: tuple[str, ...], train_index: np.ndarray) -> tuple[Target, str]:
    name = names[0] if names else "target"
    numbers = _numbers(values, name)
    columns = numbers.shape[1]
    if len(names) != columns:
        names = tuple(f"{name} {k + 1}" for k in range(columns)) if columns > 1 else (name,)
    train = numbers[train_index]
    with np.errstate(over="ignore", invalid="ignore"):
        mean, std = train.mean(0), train.std(0)
    for k, column in enumerate(names):
        if np.ptp(train[:, k]) == 0 or not 0 < std[k] < np.inf:
            raise DataError(
                f"the target `{column}` is {train[0, k]:g} in every training sample"
                if np.ptp(train[:, k]) == 0
                else f"the target `{column}` spans {train[:, k].min():g} to {train[:, k].max():g}",
                "numbers that differ, in a range that can be squared",
                "choose another column with --target, or use another unit",
            )
    spans = [f"{lo:g} to {hi:g}" for lo, hi in zip(numbers.min(0), numbers.max(0), strict=True)]
    note = ", ".join(
        f"`{column}`: numbers from {s}" for column, s in zip(names[:LISTED], spans, strict=False)
    )
    more = f", and {columns - LISTED} more columns" if columns > LISTED else ""
    return Target("number", names, tuple(mean.tolist()), tuple(std.tolist())), f"target {note}{more}"


def _encode_number(target: Target, values: np.ndarray) -> Tensor:
    numbers = _numbers(values, target.names[0])
    if numbers.shape[1] != target.outputs:
        raise DataError(
            f"the target has {numbers.shape[1]} columns",
            f"{target.outputs}: {_listed(target.names)}",
            "give the columns that the model was trained on",
        )
    # Standardised in float64: years or prices would lose their digits in float32 before the mean is taken.
    return torch.from_numpy(((numbers - np.array(target.mean)) / np.array(target.std)).astype(np.float32))
