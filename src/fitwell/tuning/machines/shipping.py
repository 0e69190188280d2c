"""Ship data to other processes: its tensors as arrays, which the workers of a machine read where they lie."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from fitwell.data.contract import Data, Split
from fitwell.shape import Fields

Put = Callable[[Any], Any]  # hands a value over, and gives what stands for it: a reference
Get = Callable[[Any], Any]  # the value that a reference stands for
PARTS = {"train": "train", "val": "validation", "test": "test"}


@dataclass(frozen=True)
class Cargo:
    """Data without tensors.

    Args:
        fields: a reference to the arrays of all samples, by name.
        parts: the indices of each part, by its short name.
        rest: all else that the data knows.
    """

    fields: Any
    parts: dict[str, np.ndarray]
    rest: dict[str, Any]


class Sender:
    """Hands data over once, however many trials need it, and tensors once, however many data sets share them.

    Args:
        put: hands a value over.
    """

    def __init__(self, put: Put) -> None:
        self.put = put
        self._sent: dict[
            int, tuple[object, Any]
        ] = {}  # by the object's id, which is its own while it is kept

    def send(self, data: Data) -> Any:
        """A reference to the data."""
        return self._once(data, lambda: self._cargo(data))

    def _cargo(self, data: Data) -> Cargo:
        fields = self._once(data.train.fields, lambda: _arrays(data.train.fields))
        names = [field.name for field in dataclasses.fields(data) if field.init]
        rest = {name: getattr(data, name) for name in names if name not in PARTS.values()}
        return Cargo(fields, {name: part.index.cpu().numpy() for name, part in data.parts.items()}, rest)

    def _once(self, value: object, made: Callable[[], Any]) -> Any:
        if id(value) not in self._sent:
            self._sent[id(value)] = value, self.put(made())
        return self._sent[id(value)][1]


class Receiver:
    """Makes data of what was handed over; what shared its tensors there shares them here.

    Args:
        get: the value of a reference.
        device: where the data is wanted.
    """

    def __init__(self, get: Get, device: torch.device) -> None:
        self.get, self.device = get, device
        self._data: dict[Any, Data] = {}
        self._fields: dict[Any, Fields] = {}

    def receive(self, reference: Any) -> Data:
        """The data that a reference stands for."""
        if reference not in self._data:
            self._data[reference] = self._unpacked(self.get(reference))
        return self._data[reference]

    def _unpacked(self, cargo: Cargo) -> Data:
        if cargo.fields not in self._fields:
            arrays: dict[str, np.ndarray] = self.get(cargo.fields)
            self._fields[cargo.fields] = {
                name: _tensor(values).to(self.device) for name, values in arrays.items()
            }
        fields = self._fields[cargo.fields]
        parts: dict[str, Any] = dict.fromkeys(PARTS.values())
        for name, index in cargo.parts.items():
            parts[PARTS[name]] = Split(fields, _tensor(index).to(self.device))
        return Data(**parts, **cargo.rest)


def _arrays(fields: Fields) -> dict[str, np.ndarray]:
    return {name: values.cpu().numpy() for name, values in fields.items()}


def _tensor(values: np.ndarray) -> torch.Tensor:
    """The array as a tensor, without a copy: training reads samples and never writes them."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The given NumPy array is not writ", UserWarning)
        return torch.from_numpy(values)
