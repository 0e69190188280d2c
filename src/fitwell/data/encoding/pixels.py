"""Pixels: images stay as they are (uint8 stays uint8); what is learned is how to standardise them.

The model's first layer does the standardising (``models.Standardize``), so the data keep a byte a pixel and
a saved model takes the very values that an image file holds.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from fitwell.data.contract import Encoding
from fitwell.errors import DataError
from fitwell.shape import Fields, Input

CHUNK = 2**18  # values at a time: their float64 copy stays small, and in the cache
CHANNELS = (1, 3, 4)
SCALES = (1.0, 16.0, 255.0, 65535.0)  # full intensity: floats, scikit-learn's digits, 8 bit, 16 bit


def accepts(raw: Any) -> bool:
    """Whether it is an array of images, (N, H, W), (N, C, H, W) or (N, H, W, C), of real numbers."""
    return isinstance(raw, np.ndarray) and raw.ndim in (3, 4) and raw.dtype.kind in "biuf"


def fit(raw: np.ndarray, rows: np.ndarray) -> dict[str, Any]:
    """Mean and standard deviation of each channel over these images, in the units of their values.

    The sums of uint8 values are exact. The deviation of a constant channel is taken as 1.

    Raises:
        DataError: a value is NaN or infinite.
    """
    x_NCHW = as_NCHW(raw)
    # Distances from a first pixel make the deviation of a constant channel exactly 0.
    origin = x_NCHW[rows[0], :, 0, 0].astype(np.float64)
    total, squares, peak = np.zeros_like(origin), np.zeros_like(origin), 0.0
    for images in _chunks(x_NCHW, rows):
        peak = max(peak, float(images.max()))
        for channel, start in enumerate(origin):
            away = images[:, channel].astype(np.float64).ravel() - start
            total[channel] += away.sum()
            squares[channel] += away @ away
    count = len(rows) * x_NCHW.shape[2] * x_NCHW.shape[3]
    std = np.sqrt(np.maximum(squares / count - (total / count) ** 2, 0))
    state = {
        "shape": list(x_NCHW.shape[1:]),
        "mean": (origin + total / count).tolist(),
        "std": np.where(std > 0, std, 1.0).tolist(),
        "scale": _scale(peak),
        "dtype": _dtype(raw).name,
    }
    means, stds = unit_statistics(state)
    figures = ", ".join(f"{mean:.4f} ± {std:.4f}" for mean, std in zip(means, stds, strict=True))
    return state | {"notes": [f"pixels from 0 to 1 have mean ± standard deviation {figures}"]}


def inputs(state: dict[str, Any]) -> dict[str, Input]:
    """One field of images, x: (N, C, H, W)."""
    mean, std = tuple(state["mean"]), tuple(state["std"])
    return {"x": Input("image", tuple(state["shape"]), mean=mean, std=std)}


def encode(state: dict[str, Any], raw: np.ndarray) -> Fields:
    """x_NCHW: uint8 as it is and without a copy where the memory allows it, else float32.

    Raises:
        DataError: images of another shape or of another range of values, or a value is NaN or infinite.
    """
    x_NCHW = as_NCHW(raw)
    if list(x_NCHW.shape[1:]) != state["shape"]:
        raise DataError(
            f"the images are {_size(x_NCHW.shape[1:])}",
            f"{_size(state['shape'])}, as in training (channels x height x width)",
            "bring the images to this size",
        )
    for _ in _chunks(x_NCHW, np.arange(len(x_NCHW))) if raw.dtype.kind == "f" else ():
        pass  # only looks for NaN and infinity
    dtype = _dtype(raw)
    if dtype.name != state["dtype"] and len(raw) and _scale(float(raw.max())) != state["scale"]:
        raise DataError(
            f"the images hold {raw.dtype} up to {raw.max()}",
            f"{state['dtype']} from 0 to {state['scale']:g}, as in training",
            "scale the values as those that the model was trained with",
        )
    shared = np.require(x_NCHW, dtype, ["C", "W"])
    return {"x": torch.from_numpy(shared)}


def unit_statistics(state: dict[str, Any]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each channel where 1 is full intensity, for people to read.

    >>> unit_statistics({"mean": [33.318], "std": [78.567], "scale": 255.0})
    ((0.1307,), (0.3081,))
    """
    mean = tuple(round(value / state["scale"], 4) for value in state["mean"])
    return mean, tuple(round(value / state["scale"], 4) for value in state["std"])


def as_NCHW(raw: np.ndarray) -> np.ndarray:  # noqa: N802 - the layout's name
    """A view of images as (N, C, H, W).

    (N, H, W) has one channel. The last dimension is taken as channels if it is 1, 3 or 4 and the second is
    not.
    """
    if raw.ndim == 3:
        return raw[:, None]
    if raw.shape[3] in CHANNELS and raw.shape[1] not in CHANNELS:
        return raw.transpose(0, 3, 1, 2)
    return raw


def _chunks(x_NCHW: np.ndarray, rows: np.ndarray) -> Iterator[np.ndarray]:
    """These images, some at a time, all of them finite."""
    step = max(1, CHUNK // max(1, int(np.prod(x_NCHW.shape[1:]))))
    for start in range(0, len(rows), step):
        images = x_NCHW[rows[start : start + step]]
        if images.dtype.kind == "f" and not np.isfinite(images).all():
            image, channel, row, column = np.argwhere(~np.isfinite(images))[0]
            raise DataError(
                f"image {rows[start + image]}, channel {channel}, row {row}, column {column} "
                f"is {images[image, channel, row, column]}",
                "finite values",
                "mend the value, or leave the image out",
            )
        yield images


def _dtype(raw: np.ndarray) -> np.dtype[Any]:
    return np.dtype(np.uint8 if raw.dtype.kind == "b" or raw.dtype == np.uint8 else np.float32)


def _scale(peak: float) -> float:
    """Full intensity: the smallest usual one that no value exceeds."""
    return next((scale for scale in SCALES if peak <= scale), peak)


def _size(shape: Any) -> str:
    return " x ".join(str(side) for side in shape)


ENCODING = Encoding(accepts, fit, inputs, encode)
