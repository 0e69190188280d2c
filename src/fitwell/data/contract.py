"""The nouns of data: samples as they were read, encodings that turn them into tensors, and the parts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fitwell.plan import DataPlan
from fitwell.shape import Batch, Fields, Input, Shape


@dataclass(frozen=True)
class Split:
    """A part of a data set: the shared fields, and which samples belong to the part.

    The parts share one copy of the data: a batch is one ``index_select`` a field.
    """

    fields: Fields
    index: Tensor  # (n,) int64, on the device of the fields

    def __len__(self) -> int:
        return len(self.index)

    def take(self, index: Tensor) -> Batch:
        """The batch of these samples; ``index`` counts within the whole data set."""
        return {name: values.index_select(0, index) for name, values in self.fields.items()}

    def batches(self, size: int) -> Iterator[Batch]:
        """The whole part in order, ``size`` samples at a time."""
        for index in torch.split(self.index, size):
            yield self.take(index)


@dataclass(frozen=True)
class Samples:
    """What a kind read: raw samples, not yet divided, nothing learned from them.

    Args:
        raw: what one of the encodings accepts: an array, a DataFrame, ...
        count: how many samples.
        target: raw labels or numbers, (N,) or (N, K); None without a target.
        target_names: names of the target's columns.
        structured: columns that each mean something (a table), or signals such as pixels.
        test: samples that the source itself sets apart for testing.
        groups: samples of equal group stay in one part.
        times: order in time.
        notes: what a person should be told: columns left out, target chosen, ...
        rows: how a sample is called in an error or a report: a line number, a file name.
    """

    raw: Any
    count: int
    target: np.ndarray | None = None
    target_names: tuple[str, ...] = ("target",)
    structured: bool = False
    test: np.ndarray | None = None
    groups: np.ndarray | None = None
    times: np.ndarray | None = None
    notes: tuple[str, ...] = ()
    rows: tuple[str, ...] = ()


@dataclass(frozen=True)
class Kind:
    """A kind of data: one file of this folder, as its constant ``KIND``.

    Args:
        recognises: whether a plan's source (a name, a path, data in memory) is of this kind.
        read: the samples; with ``like``, new data for a model of that shape: a target is not needed and
            samples are brought to the model's form where that loses no meaning.
    """

    recognises: Callable[[Any], bool]
    read: Callable[[DataPlan, Shape | None], Samples]


@dataclass(frozen=True)
class Encoding:
    """A way to turn raw samples into fields: one file of ``encoding/``, as its constant ``ENCODING``.

    Args:
        accepts: whether raw samples are of this form.
        fit: what is learned from the given training rows: JSON values, all that ``encode`` needs.
        inputs: the input fields that ``encode`` gives.
        encode: the fields of raw samples, given what ``fit`` learned.
    """

    accepts: Callable[[Any], bool]
    fit: Callable[[Any, np.ndarray], dict[str, Any]]
    inputs: Callable[[dict[str, Any]], dict[str, Input]]
    encode: Callable[[dict[str, Any], Any], Fields]


@dataclass(frozen=True)
class Data:
    """A data set ready for training."""

    train: Split
    validation: Split | None
    test: Split | None
    shape: Shape
    encoder: dict[str, Any]  # {"encoding": name, "state": what fit learned}
    structured: bool
    target_name: str | None = None  # the column or key that was chosen
    notes: tuple[str, ...] = ()
    rows: tuple[str, ...] = ()
    fingerprint: str = ""  # SHA-256 of all fields
    parts: dict[str, Split] = field(init=False)

    def __post_init__(self) -> None:
        named = {"train": self.train, "val": self.validation, "test": self.test}
        object.__setattr__(self, "parts", {name: part for name, part in named.items() if part is not None})
