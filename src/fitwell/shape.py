"""Shape: what a model is built for. The one page that data and models agree on.

Every kind of data ends as *fields*: named tensors whose first dimension is the sample. ``x`` is the input
(or one of several: ``codes`` holds categories), ``y`` the target. Text, audio, pairs and sequences are
further fields; the training loop never looks inside.

Shape legend: N samples of the data set, B samples of a batch, F features, C channels, H height, W width,
K outputs.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import TypeAdapter
from pydantic.dataclasses import dataclass
from torch import Tensor

Fields = dict[str, Tensor]
Batch = dict[str, Tensor]
TargetKind = Literal["classes", "binary", "number", "none"]


@dataclass(frozen=True)
class Input:
    """One input field, as a model needs to know it.

    Args:
        kind: ``numbers`` (float32, already standardised), ``image`` (uint8 or float, standardised by the
            model's first layer with ``mean`` and ``std``), ``codes`` (int64 categories, one column each).
        shape: of one sample: (F,), (C, H, W) or (number of columns,).
        levels: categories of each column of ``codes``.
        mean: of each channel of an image, in units of the field's values, over the training part.
        std: the same for the standard deviation.
    """

    kind: str
    shape: tuple[int, ...]
    levels: tuple[int, ...] = ()
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()


@dataclass(frozen=True)
class Target:
    """What is predicted.

    ``classes``: y is (N,) int64. ``binary``: y is (N, 1) float32 of 0 and 1, where 1 is ``names[1]``.
    ``number``: y is (N, K) float32, standardised with ``mean`` and ``std`` of the training part; names are
    the columns'. ``none``: there is no y.
    """

    kind: TargetKind
    names: tuple[str, ...] = ()
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()

    @property
    def outputs(self) -> int:
        """Units of the last layer: K."""
        return 1 if self.kind == "binary" else len(self.names)


@dataclass(frozen=True)
class Shape:
    """What a family builds a model for: the input fields by name, and the target."""

    inputs: dict[str, Input]
    target: Target

    def to_dict(self) -> dict[str, Any]:
        """As JSON values, which ``from_dict`` reads back."""
        return dict(_SHAPE.dump_python(self, mode="json"))

    @staticmethod
    def from_dict(values: dict[str, Any]) -> Shape:
        """The shape that ``to_dict`` wrote."""
        return _SHAPE.validate_python(values)


_SHAPE = TypeAdapter(Shape)
