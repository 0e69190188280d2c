"""Cells: what stands in one column of a table, as numbers, moments or texts.

Whatever the type of the column (int8, nullable, categorical, strings, a mixture of Python objects), it is
read as one of three: float64 numbers, datetime64 moments, or ``Texts``. All are (N,).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

MISSING = frozenset(
    ["", "NA", "N/A", "n/a", "#N/A", "<NA>", "NaN", "nan", "-nan", "NULL", "null", "None", "NaT", "?"]
)
# 3/4/2020 is the 4th of March, as in most published tables, unless another row has a 13th month.
DATE_FORMATS = (
    "ISO8601", "%Y/%m/%d", "%m/%d/%Y", "%d/%m/%Y", "%m/%d/%y", "%d.%m.%Y", "%d-%m-%Y", "%d.%m.%y",
    "%Y/%m/%d %H:%M:%S", "%Y/%m/%d %H:%M", "%m/%d/%Y %H:%M:%S", "%m/%d/%Y %H:%M", "%d/%m/%Y %H:%M:%S",
    "%d/%m/%Y %H:%M", "%d.%m.%Y %H:%M:%S", "%d.%m.%Y %H:%M", "%b %d, %Y", "%B %d, %Y", "%d %b %Y",
    "%d %B %Y", "%d-%b-%Y", "%d-%b-%y",
)  # fmt: skip
_THOUSANDS = r"[+-]?[1-9]\d{0,2}(?:,\d{3})+(?:\.\d*)?"


@dataclass(frozen=True)
class Texts:
    """A column of texts: each sample's place in the list of different texts.

    Args:
        codes: (N,) int64, -1 where the value is missing.
        levels: the different texts, without surrounding blanks; every one of them occurs.
    """

    codes: np.ndarray
    levels: list[str]

    def spread(self, values: np.ndarray) -> np.ndarray:
        """Values of the levels (L,) as values of the samples (N,): NaN or NaT where missing."""
        missing = np.array(["NaT"], values.dtype) if values.dtype.kind == "M" else np.array([np.nan])
        return np.asarray(np.concatenate([values, missing])[self.codes])


Cells = np.ndarray | Texts


def read_cells(column: pd.Series) -> Cells:
    """The cells of a column: float64, datetime64[us] without time zone (UTC), or texts."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        return _texts(column.astype(object))
    if column.dtype == object:
        column = column.infer_objects()
    kind = column.dtype.kind
    if kind in "iuf":
        return np.asarray(column.to_numpy(np.float64, na_value=np.nan))
    if kind == "M":
        zoned = column.dt.tz_convert(None) if getattr(column.dtype, "tz", None) else column
        return np.asarray(zoned.to_numpy().astype("datetime64[us]"))
    if kind == "m":
        return np.asarray(column.dt.total_seconds().to_numpy(np.float64))
    return _texts(column)


def _texts(column: pd.Series) -> Texts:
    try:
        codes, distinct = pd.factorize(column)
    except TypeError:  # lists, arrays, dicts: named by what they look like
        codes, distinct = pd.factorize(column.map(text_of, na_action="ignore"))
    names = [text_of(value).strip() for value in distinct]
    levels = sorted({name for name in names if name not in MISSING})
    place = {name: code for code, name in enumerate(levels)}
    # One more entry, so that the code -1 finds the missing code.
    return Texts(np.array([place.get(name, -1) for name in [*names, ""]])[codes], levels)


def as_texts(cells: Cells) -> Texts:
    """The same column as texts: 3.0 is '3'."""
    return cells if isinstance(cells, Texts) else _texts(pd.Series(cells))


def text_of(value: Any) -> str:
    """A value as the name of a class or category: an integer is '3' whether it was read as 3 or 3.0."""
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    return str(value)


def numbers_of(levels: list[str]) -> np.ndarray:
    """Texts as numbers (L,), NaN where a text is none: '39', '1e-3', '1,234.5' and '12 %' (0.12) are."""
    texts = pd.Series(levels, dtype=object)
    numbers = pd.to_numeric(texts, errors="coerce").to_numpy(np.float64, na_value=np.nan).copy()
    rest = np.isnan(numbers)
    if not rest.any():
        return numbers
    left = texts[rest].astype(str)
    percent = left.str.endswith("%").to_numpy(bool)
    left = left.str.removesuffix("%").str.strip()
    grouped = left.str.fullmatch(_THOUSANDS).to_numpy(bool)
    bare = left.str.replace(",", "").where(grouped, left)
    found = pd.to_numeric(bare, errors="coerce").to_numpy(np.float64, na_value=np.nan)
    numbers[rest] = np.where(percent, found / 100, found)
    return numbers


def moments_of(levels: list[str], form: str) -> np.ndarray:
    """Texts as datetime64[us] (L,) in a format of ``DATE_FORMATS``, NaT where a text is none."""
    parsed = pd.to_datetime(pd.Series(levels, dtype=object), format=form, errors="coerce", utc=True)
    return np.asarray(parsed.dt.tz_convert(None).to_numpy().astype("datetime64[us]"))


def date_format(levels: list[str]) -> str | None:
    """The first format in which every text is a date; None if there is none."""
    few = levels[:: max(1, len(levels) // 20)]
    for form in DATE_FORMATS if levels else ():
        if not any(np.isnat(moments_of(part, form)).any() for part in (few, levels)):
            return form
    return None


def where(index: pd.Index, position: int) -> str:
    """How a person finds a row: ``line 57`` of a file, ``row 55 (counted from 0)`` of a DataFrame."""
    if index.name == "line":
        return f"line {index[position]}"
    return f"row {position} (counted from 0)"
