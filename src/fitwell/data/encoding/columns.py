"""Columns: turn a table into standardised numbers ``x`` and categories ``codes``.

Each column gets a role from its training rows. Numbers are imputed by the median, scaled robustly, and their
tails are tamed smoothly, x / sqrt(1 + (x / 3)^2), as RealMLP does (Holzmüller et al. 2024, arXiv:2407.04491,
section 3); then they have mean 0 and standard deviation 1 over the training part. Where a training value is
missing, a further number says so.

Shape legend: N samples, F numbers, C categories, L different texts.
"""

from __future__ import annotations

import difflib
import re
from collections import Counter
from typing import Any

import numpy as np
import pandas as pd
import torch

from fitwell.data.cells import (
    Cells,
    Texts,
    as_texts,
    date_format,
    moments_of,
    numbers_of,
    read_cells,
    where,
)
from fitwell.data.contract import Encoding
from fitwell.errors import DataError
from fitwell.shape import Fields, Input

RARE = 3  # a category with fewer training samples is one of the others
MOST_LEVELS = 1000  # categories of one column; the rarest beyond are others
SLIPS = 0.1  # share of texts among numbers below which they are slips
FREE_TEXT = 20  # more different texts than this, and than half of the rows, are names or free text
# A number that differs in one row of a thousand would be 30 standard deviations there: its std is raised.
LEAST_STD = 0.2
_IDENTIFIER = re.compile(  # id, user_id, customerID, PassengerId; but not grid or paid
    r"(?i:id|index|idx|row|key|no|nr|uuid|unnamed: 0)"
    r"|(?i:.*[ _.-](?:id|uuid|key|index)|id[ _.-].*)|.*[a-z]I[dD]"
)

Column = dict[str, Any]


def _accepts(raw: Any) -> bool:
    return isinstance(raw, pd.DataFrame)


def _fit(raw: pd.DataFrame, train_rows: np.ndarray) -> dict[str, Any]:
    """The role and the statistics of each column, from the training rows only.

    Raises:
        DataError: no column says anything, or a number is infinite.
    """
    rows = np.sort(train_rows)  # the same rows in another order give the same sums to the last bit
    columns = [_fit_column(raw[name].iloc[rows], str(name)) for name in raw.columns]
    used = [column for column in columns if column["role"] != "left-out"]
    if not used:
        reasons = "; ".join(f"`{c['name']}` {c['why']}" for c in columns[:5]) or "there is none"
        raise DataError(
            f"no column can be learned from: {reasons}",
            "a column of numbers, categories or dates that differ between rows",
            "check the table and the target",
        )
    return {"columns": columns, "notes": _notes(columns)}


def _notes(columns: list[Column]) -> list[str]:
    counts = Counter(column["role"] for column in columns)
    names = {"number": "numbers", "category": "categories", "boolean": "booleans", "date": "dates"}
    found = ", ".join(f"{counts[role]} {name}" for role, name in names.items() if counts[role])
    notes = [f"columns: {found}"] if found else []
    for column in columns:
        if column["role"] == "left-out":
            notes.append(f"`{column['name']}` left out: {column['why']}")
        elif column["role"] == "presence":
            notes.append(f"of `{column['name']}` only whether it is given is used: {column['why']}")
        elif column["role"] == "date" and column["format"] != "ISO8601":
            notes.append(f"`{column['name']}` read as dates {column['format']}")
    return notes


def _fit_column(values: pd.Series, name: str) -> Column:
    column: Column = {"name": name} | _role(values, name)
    if column["role"] in ("category", "left-out"):
        return column
    features = _features(column, values)
    column["numbers"] = {part: _statistics(x) for part, x in features.items() if np.nanmin(x) < np.nanmax(x)}
    if not column["numbers"]:
        return {"name": name, "role": "left-out", "why": column.get("why") or "the same in every row"}
    if set(column["numbers"]) == {"missing"}:
        column.setdefault("why", "it has one value only")
        column["role"] = "presence"
    return column


def _role(values: pd.Series, name: str) -> Column:
    """What a column is, and what its role needs to be read again."""
    cells = read_cells(values)
    if isinstance(cells, Texts):
        return _role_of_texts(cells, isinstance(values.dtype, pd.CategoricalDtype), name)
    present = cells[~np.isnan(cells)]
    if not present.size:
        return {"role": "left-out", "why": "no value in any training row"}
    if cells.dtype.kind == "M":
        return {"role": "date", "format": "ISO8601"}
    if _is_identifier(present, name):
        return {"role": "left-out", "why": "an identifier, another number in every row"}
    return {"role": "number"}


def _is_identifier(present: np.ndarray, name: str) -> bool:
    if not _IDENTIFIER.fullmatch(name) or len(present) < 3:
        return False
    return len(np.unique(present)) == len(present) and bool((present == np.floor(present)).all())


def _role_of_texts(cells: Texts, categorical: bool, name: str) -> Column:
    counts = np.bincount(cells.codes[cells.codes >= 0], minlength=len(cells.levels))
    total, different = int(counts.sum()), len(cells.levels)
    if not total:
        return {"role": "left-out", "why": "no value in any training row"}
    if not categorical:
        numbers = numbers_of(cells.levels)
        if not np.isnan(numbers).any():
            identifier = _is_identifier(cells.spread(numbers)[cells.codes >= 0], name)
            why = "an identifier, another number in every row"
            return {"role": "left-out", "why": why} if identifier else {"role": "number"}
        form = date_format(cells.levels)
        if form:
            return {"role": "date", "format": form}
    if different <= 2:
        return {"role": "boolean", "levels": cells.levels}
    kept = _common(cells.levels, counts)
    if not kept or different > max(FREE_TEXT, total / 2):
        _refuse_numbers_with_slips(cells.levels, counts, name)
        why = f"{different} different texts in {total} rows"
        return {"role": "presence", "why": why}
    return {"role": "category", "levels": kept, "missing": bool((cells.codes < 0).any())}


def _refuse_numbers_with_slips(levels: list[str], counts: np.ndarray, name: str) -> None:
    """A column of numbers with a slip or two must not be lost as if it were free text."""
    slips = np.isnan(numbers_of(levels))
    wrong = int(counts[slips].sum())
    if wrong < SLIPS * counts.sum():
        texts = ", ".join(repr(level) for level, slip in zip(levels, slips, strict=True) if slip)
        raise DataError(
            f"column `{name}` holds numbers, but {texts} in {wrong} of {counts.sum():,} rows",
            "numbers alone, or an empty cell where one is missing",
            "correct these cells, or empty them",
        )


def _common(levels: list[str], counts: np.ndarray) -> list[str]:
    """The levels with enough samples, in the order of their texts."""
    order = np.argsort(-counts, kind="stable")[:MOST_LEVELS]
    return [levels[k] for k in sorted(order) if counts[k] >= RARE]


def _features(column: Column, values: pd.Series) -> dict[str, np.ndarray]:
    """The plain numbers of a column by part: each (N,) float64, NaN where missing."""
    cells = read_cells(values)
    if column["role"] == "presence":
        missing = cells.codes < 0 if isinstance(cells, Texts) else np.isnan(cells)
        return {"missing": missing.astype(np.float64)}
    if column["role"] == "date":
        parts = _calendar(_moments(column, cells, values))
    elif column["role"] == "boolean":
        texts = as_texts(cells)
        place = {level: float(k) for k, level in enumerate(column["levels"])}
        parts = {"value": texts.spread(np.array([place.get(level, np.nan) for level in texts.levels]))}
    else:
        parts = {"value": _numbers(column, cells, values)}
    return parts | {"missing": np.isnan(next(iter(parts.values()))).astype(np.float64)}


def _numbers(column: Column, cells: Cells, values: pd.Series) -> np.ndarray:
    if isinstance(cells, Texts):
        found = numbers_of(cells.levels)
        _refuse(column, values, cells.spread(np.isnan(found).astype(np.float64)) == 1, "a number")
        cells = cells.spread(found)
    elif cells.dtype.kind == "M":
        _refuse(column, values, ~np.isnat(cells), "a number")
        cells = np.full(len(cells), np.nan)
    _refuse(column, values, np.isinf(cells), "a finite number")
    return cells


def _moments(column: Column, cells: Cells, values: pd.Series) -> np.ndarray:
    if isinstance(cells, Texts):
        found = moments_of(cells.levels, column["format"])
        _refuse(column, values, cells.spread(np.isnat(found).astype(np.float64)) == 1, "a date")
        return cells.spread(found)
    if cells.dtype.kind == "f":
        _refuse(column, values, ~np.isnan(cells), "a date")
        return np.full(len(cells), "NaT", dtype="datetime64[us]")
    return cells


def _refuse(column: Column, values: pd.Series, bad: np.ndarray, wanted: str) -> None:
    if not bad.any():
        return
    row = int(np.flatnonzero(bad)[0])
    form = f" written as {column['format']}" if column["role"] == "date" else ""
    raise DataError(
        f"column `{column['name']}` holds {str(values.iloc[row])!r} in {where(values.index, row)}; "
        f"{int(bad.sum())} such values in all",
        f"{wanted}{form}, as in the training part, or nothing",
        "correct these values, or leave them empty",
    )


def _calendar(moments: np.ndarray) -> dict[str, np.ndarray]:
    """Days since 1970, and what repeats: year, month, day, day of the week (0 is Monday), hour."""
    index = pd.DatetimeIndex(moments)
    days = (moments - np.datetime64(0, "us")) / np.timedelta64(1, "D")
    names = ("year", "month", "day", "day_of_week", "hour")
    return {"days": days} | {name: np.asarray(getattr(index, name), dtype=np.float64) for name in names}


def _statistics(x: np.ndarray) -> dict[str, float]:
    """Median, scale (the middle half's width), and mean and std after taming, of numbers (N,)."""
    present = x[~np.isnan(x)]
    low, median, high = np.quantile(present, (0.25, 0.5, 0.75), method="inverted_cdf")
    with np.errstate(over="ignore"):
        scale = high - low
        if scale == 0:  # more than half are one value: how far the others are from it
            away = np.abs(present[present != median] - median)
            scale = np.quantile(away, 0.5, method="inverted_cdf")
    statistics = {"median": float(median), "scale": float(min(scale, np.finfo(np.float64).max))}
    tamed = _tame(x, statistics)
    return statistics | {"mean": float(tamed.mean()), "std": max(float(tamed.std()), LEAST_STD)}


def _tame(x: np.ndarray, statistics: dict[str, float]) -> np.ndarray:
    """Missing values at the median, the middle half about 1 wide, everything within -3 and 3."""
    with np.errstate(over="ignore"):
        z = (np.where(np.isnan(x), statistics["median"], x) - statistics["median"]) / statistics["scale"]
    z = np.clip(z, -1e6, 1e6)
    return np.asarray(z / np.sqrt(1 + (z / 3) ** 2))


def _inputs(state: dict[str, Any]) -> dict[str, Input]:
    """``x`` (F,) and ``codes`` (C,): one of them is left out if the table has no such columns."""
    numbers = sum(len(column.get("numbers", ())) for column in state["columns"])
    levels = tuple(_size(column) for column in state["columns"] if column["role"] == "category")
    inputs = {"x": Input("numbers", (numbers,)), "codes": Input("codes", (len(levels),), levels=levels)}
    return {name: field for name, field in inputs.items() if field.shape[0]}


def _size(column: Column) -> int:
    """Codes of a category: 0 others, then the levels, then missing if training rows have missing values."""
    return 1 + len(column["levels"]) + int(column["missing"])


def _encode(state: dict[str, Any], raw: pd.DataFrame) -> Fields:
    """The fields of a table: x (N, F) float32, codes (N, C) int64.

    The order of the columns does not matter, further columns are ignored, and a category that is rare or
    absent in the training part gets the code 0.

    Raises:
        DataError: a column is missing, or a cell is not what the column held in training; it is named.
    """
    used = [column for column in state["columns"] if column["role"] != "left-out"]
    _check_columns(raw, used)
    shapes = {name: field.shape[0] for name, field in _inputs(state).items()}
    x_NF = np.empty((len(raw), shapes.get("x", 0)), dtype=np.float32)
    codes_NC = np.empty((len(raw), shapes.get("codes", 0)), dtype=np.int64)
    numbers = categories = 0
    for column in used:
        values = raw[column["name"]]
        if column["role"] == "category":
            codes_NC[:, categories] = _codes(column, values)
            categories += 1
            continue
        features = _features(column, values)
        for part, statistics in column["numbers"].items():
            tamed = _tame(features[part], statistics)
            x_NF[:, numbers] = (tamed - statistics["mean"]) / statistics["std"]
            numbers += 1
    fields = {"x": torch.from_numpy(x_NF), "codes": torch.from_numpy(codes_NC)}
    return {name: field for name, field in fields.items() if name in shapes}


def _check_columns(raw: pd.DataFrame, used: list[Column]) -> None:
    absent = [column["name"] for column in used if column["name"] not in raw.columns]
    if not absent:
        return
    names = [str(name) for name in raw.columns]
    near = difflib.get_close_matches(absent[0], names, n=1, cutoff=0.7)
    some = ", ".join(names[:12]) + (", ..." if len(names) > 12 else "")
    raise DataError(
        f"the table has no column {', '.join(f'`{name}`' for name in absent[:5])}; it has {some}",
        "every column that the model was trained on",
        f"rename `{near[0]}` to `{absent[0]}`" if near else "add the column; its cells may be empty",
    )


def _codes(column: Column, values: pd.Series) -> np.ndarray:
    texts = as_texts(read_cells(values))
    place = {level: code for code, level in enumerate(column["levels"], start=1)}
    missing = _size(column) - 1 if column["missing"] else 0
    codes = [*(place.get(level, 0) for level in texts.levels), missing]
    return np.asarray(np.array(codes, dtype=np.int64)[texts.codes])


ENCODING = Encoding(accepts=_accepts, fit=_fit, inputs=_inputs, encode=_encode)
