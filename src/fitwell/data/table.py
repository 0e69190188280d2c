"""Tables: CSV, TSV and Parquet files, and DataFrames in memory. One row is one sample."""

from __future__ import annotations

import difflib
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fitwell.data.cells import Texts, date_format, moments_of, numbers_of, read_cells, where
from fitwell.data.contract import Kind, Samples
from fitwell.data.delimited import read_delimited
from fitwell.errors import DataError
from fitwell.plan import DataPlan, Memory
from fitwell.shape import Shape

_FILE = re.compile(r".+\.(csv|tsv|data|test|parquet)(\.(gz|bz2|xz|zip))?", re.IGNORECASE)
_TARGETS = ("target", "label", "class", "y")  # what the column to predict is usually called


def _recognises(source: Any) -> bool:
    if isinstance(source, Memory):
        return _is_frame(source.value) or _is_pair(source.value)
    return isinstance(source, str) and _FILE.fullmatch(Path(source).name) is not None


def _is_frame(value: Any) -> bool:
    """A DataFrame of pandas, polars, pyarrow, ...: whatever can become one of pandas."""
    return isinstance(value, pd.DataFrame) or (
        not isinstance(value, pd.Series) and (hasattr(value, "to_pandas") or hasattr(value, "__dataframe__"))
    )


def _is_pair(value: Any) -> bool:
    return isinstance(value, tuple) and len(value) == 2 and _is_frame(value[0])


def _read(plan: DataPlan, like: Shape | None) -> Samples:
    """The rows of a table; with ``like`` the target, group and time columns may be absent.

    Raises:
        DataError: the file can't be read, or a column that the plan names is not there.
    """
    if not isinstance(plan.source, Memory):
        path = Path(plan.source)
        frame, notes = _read_parquet(path) if _is_parquet(path) else read_delimited(path)
    elif _is_pair(plan.source.value):
        frame, y = _named(_to_pandas(plan.source.value[0])), plan.source.value[1]
        return _samples(frame, None if y is None else _given_target(y, len(frame)), plan, like, [])
    else:
        frame, notes = _named(_to_pandas(plan.source.value)), []
    name = _target_name(frame, plan, like, notes)
    target = frame[name] if name else None
    return _samples(frame.drop(columns=[name]) if name else frame, target, plan, like, notes)


KIND = Kind(recognises=_recognises, read=_read)


def _is_parquet(path: Path) -> bool:
    return path.suffix.lower() == ".parquet"


def _read_parquet(path: Path) -> tuple[pd.DataFrame, list[str]]:
    try:
        import pyarrow
    except ImportError:
        raise DataError(
            f"{path} is a Parquet file, which needs pyarrow", "pyarrow", "pip install 'fitwell[parquet]'"
        ) from None
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "does not exist"
        raise DataError(f"{path} {what}", "an existing Parquet file", "check the path")
    try:
        frame = pd.read_parquet(path)
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise DataError(f"{path} can't be read: {reason}", "a whole Parquet file", "write it again") from None
    return _named(frame), []


def _to_pandas(value: Any) -> pd.DataFrame:
    if isinstance(value, pd.DataFrame):
        return value
    if hasattr(value, "to_pandas"):
        frame: pd.DataFrame = value.to_pandas()
        return frame
    return pd.api.interchange.from_dataframe(value)


def _named(frame: pd.DataFrame) -> pd.DataFrame:
    """The same cells under column names that are texts, the rows counted from 0; the given frame stays."""
    names = [str(name).strip() for name in frame.columns]
    twice = [name for name in names if names.count(name) > 1] if len(set(names)) < len(names) else []
    if twice:
        raise DataError(
            f"the table has several columns called `{twice[0]}`",
            "a name of its own for each column",
            "rename the columns",
        )
    frame = frame.copy(deep=False)
    frame.columns, frame.index = pd.Index(names), pd.RangeIndex(len(frame))
    return frame


def _given_target(y: Any, count: int) -> pd.Series | pd.DataFrame:
    """The target of a pair (DataFrame, y), by position."""
    if hasattr(y, "to_pandas"):
        y = y.to_pandas()
    values: pd.Series | pd.DataFrame
    if isinstance(y, pd.DataFrame):
        values = y
    elif np.ndim(y) == 2:
        values = pd.DataFrame(np.asarray(y))
        values.columns = pd.Index([f"target {k + 1}" for k in range(values.shape[1])])
    else:
        name = getattr(y, "name", None)
        values = pd.Series(y, name="target" if name is None else str(name))
    if len(values) != count:
        raise DataError(
            f"the table has {count} rows and the target {len(values)} values",
            "one target value for each row",
            "pass X and y of the same length",
        )
    return values.set_axis(pd.RangeIndex(count), axis=0)


def _target_name(frame: pd.DataFrame, plan: DataPlan, like: Shape | None, notes: list[str]) -> str | None:
    """The column to predict: the plan's, else one called target, label, class or y, else the last."""
    if plan.target is not None:
        return _find(frame, plan.target, "target", required=like is None)
    if like is not None or plan.task == "none":
        return None
    if frame.shape[1] < 2:
        raise DataError(
            f"the table has only the column `{frame.columns[0]}`" if frame.shape[1] else "the table is empty",
            "a column to predict, and one to predict it from",
            "check the delimiter of the file, or say --task none",
        )
    lower = {str(name).lower(): str(name) for name in frame.columns}
    usual = next((lower[name] for name in _TARGETS if name in lower), None)
    how = "chosen by its name" if usual else "the last column"
    name = usual or str(frame.columns[-1])
    notes.append(f"predicting `{name}`, {how}; another one: --target COLUMN")
    return name


def _find(frame: pd.DataFrame, name: str, setting: str, required: bool = True) -> str | None:
    """The column of this name, whatever its case; None if it may be absent and is."""
    names = [str(column) for column in frame.columns]
    if name in names:
        return name
    same = [column for column in names if column.lower() == name.strip().lower()]
    if len(same) == 1:
        return same[0]
    if not required:
        return None
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    some = ", ".join(names[:12]) + (f", ... ({len(names)} in all)" if len(names) > 12 else "")
    hint = f"did you mean {' or '.join(repr(n) for n in near)}?" if near else f"change --{setting}"
    raise DataError(f"the table has no column {name!r} (--{setting})", f"one of {some}", hint)


def _samples(
    frame: pd.DataFrame,
    target: pd.Series | pd.DataFrame | None,
    plan: DataPlan,
    like: Shape | None,
    notes: list[str],
) -> Samples:
    """Put the parts together: rows without a target left out, group and time apart from the features."""
    y = None if target is None else _target_values(target)
    missing = np.zeros(0, dtype=bool) if y is None else np.asarray(pd.isna(pd.DataFrame(y)).any(axis=1))
    if y is not None and missing.any():
        first = where(frame.index, int(np.flatnonzero(missing)[0]))
        what = f"{int(missing.sum())} rows have no target, the first is {first}"
        if like is None:
            notes.append(f"{what}: left out")
            frame, y = frame.loc[~missing], y[~missing]
        else:  # a row without a target is still to be predicted
            notes.append(f"{what}: the predictions are not scored")
            y = None
    columns: dict[str, np.ndarray] = {}
    for setting, name in (("group", plan.group), ("time", plan.time)):
        column = _find(frame, name, setting, required=like is None) if name else None
        if column:
            columns[setting] = (_groups if setting == "group" else _times)(frame[column])
            frame = frame.drop(columns=[column])
            notes.append(f"`{column}` divides the rows by {setting} and is no feature")
    names = tuple(map(str, target.columns)) if isinstance(target, pd.DataFrame) else ()
    return Samples(
        raw=frame,
        count=len(frame),
        target=y,
        target_names=names or (("target",) if target is None else (str(target.name),)),
        structured=True,
        groups=columns.get("group"),
        times=columns.get("time"),
        notes=tuple(notes),
    )


def _target_values(target: pd.Series | pd.DataFrame) -> np.ndarray:
    """Raw labels (N,) as numbers, or as texts without surrounding blanks; several columns as (N, K)."""
    if isinstance(target, pd.DataFrame):
        columns = [_target_values(target[name]) for name in target.columns]
        return columns[0] if len(columns) == 1 else np.stack(columns, axis=1)
    if target.dtype.kind in "biuf" and isinstance(target.dtype, np.dtype):
        return np.asarray(target)
    cells = read_cells(target)
    if not isinstance(cells, Texts):
        return cells.astype(object) if cells.dtype.kind == "M" else cells
    numbers = numbers_of(cells.levels)
    if cells.levels and not np.isnan(numbers).any() and not isinstance(target.dtype, pd.CategoricalDtype):
        return cells.spread(numbers)
    return np.asarray(np.array([*cells.levels, None], dtype=object)[cells.codes])


def _groups(column: pd.Series) -> np.ndarray:
    """A number for each group (N,) int64; rows without a value are one group together."""
    cells = read_cells(column)
    return cells.codes if isinstance(cells, Texts) else pd.factorize(cells)[0].astype(np.int64)


def _times(column: pd.Series) -> np.ndarray:
    """Numbers (N,) in the order of time: the column's own, or microseconds since 1970.

    Raises:
        DataError: a value is missing, or is neither a number nor a date.
    """
    cells = read_cells(column)
    if isinstance(cells, Texts):
        numbers = numbers_of(cells.levels)
        form = date_format(cells.levels) if np.isnan(numbers).any() else None
        cells = cells.spread(moments_of(cells.levels, form) if form else numbers)
    bad = np.isnat(cells) if cells.dtype.kind == "M" else ~np.isfinite(cells)
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        raise DataError(
            f"the time column `{column.name}` holds {str(column.iloc[row])!r} in {where(column.index, row)}",
            "a number or a date in every row, all written alike",
            "correct the value, or choose another column with --time",
        )
    return cells.astype(np.int64) if cells.dtype.kind == "M" else cells
