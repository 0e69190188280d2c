"""Numbers: a matrix of real numbers becomes one float32 field, standardised column by column."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from fitwell.data.contract import Encoding
from fitwell.errors import DataError
from fitwell.shape import Fields, Input

CHUNK = 2**20  # values at a time, so that float64 copies stay small
LARGEST = 1e100  # squares of larger values overflow


def accepts(raw: Any) -> bool:
    """Whether it is an (N, F) array of real numbers."""
    return isinstance(raw, np.ndarray) and raw.ndim == 2 and raw.dtype.kind in "biuf"


def fit(raw: np.ndarray, rows: np.ndarray) -> dict[str, Any]:
    """Mean and standard deviation of each column over these rows; 1 for a constant column.

    Raises:
        DataError: a value is missing, infinite or above 1e100.
    """
    # Distances from a first row make the deviation of a constant column exactly 0.
    origin = raw[rows[0]].astype(np.float64)
    mean = np.zeros(raw.shape[1])
    for _, values in _chunks(raw, rows):
        mean += (values - origin).sum(axis=0) / len(rows)
    mean += origin
    variance = np.zeros(raw.shape[1])
    for _, values in _chunks(raw, rows):
        variance += np.square(values - mean).sum(axis=0) / len(rows)
    std = np.sqrt(variance)
    return {"mean": mean.tolist(), "std": np.where(std > 0, std, 1.0).tolist()}


def inputs(state: dict[str, Any]) -> dict[str, Input]:
    """One field of numbers, x: (N, F)."""
    return {"x": Input("numbers", (len(state["mean"]),))}


def encode(state: dict[str, Any], raw: np.ndarray) -> Fields:
    """x_NF = (raw - mean) / std, float32.

    Raises:
        DataError: another number of features, or a value that is missing, infinite or above 1e100.
    """
    features = len(state["mean"])
    if raw.shape[1] != features:
        raise DataError(
            f"X has {raw.shape[1]} features, but the model expects {features} features",
            f"an array of shape (N, {features})",
            "give the columns that the model was trained with",
        )
    mean, std = np.array(state["mean"]), np.array(state["std"])
    x_NF = torch.empty(raw.shape, dtype=torch.float32)
    out = x_NF.numpy()
    for part, values in _chunks(raw, np.arange(len(raw))):
        out[part] = (values - mean) / std
    return {"x": x_NF}


def _chunks(raw: np.ndarray, rows: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
    """These rows as float64, some at a time, and where they stand among ``rows``."""
    step = max(1, CHUNK // max(1, raw.shape[1]))
    for start in range(0, len(rows), step):
        part = slice(start, min(start + step, len(rows)))
        values = raw[rows[part]].astype(np.float64)
        fine = np.abs(values) <= LARGEST  # also false for NaN
        if not fine.all():
            row, column = np.argwhere(~fine)[0]
            raise DataError(
                f"row {rows[start + row]}, column {column} of X is {values[row, column]}",
                "finite numbers (NaN and infinity are refused), none above 1e100",
                "fill in or drop the value; a DataFrame's missing values are filled in by fitwell",
            )
        yield part, values


ENCODING = Encoding(accepts, fit, inputs, encode)
