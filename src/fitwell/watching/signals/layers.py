"""The layers of each model, for people: what runs in which order, from what line, and what lies between."""

from __future__ import annotations

import math
import weakref
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from fitwell.watching.activations import (
    Activations,
    Origin,
    PerModule,
    first_tensor,
    is_affine,
    is_layer,
    measurable,
)
from fitwell.watching.moments import LossCall, ModuleCall, Step
from fitwell.watching.signal import Signal
from fitwell.watching.source import where

MOST_LAYERS = 100  # of a thread that facts are kept of
ROWS = 64  # of what a loss is given that are added up


@dataclass(slots=True)
class _Layer:
    """What is known of a layer from its calls."""

    output: list[int] | None = None  # its shape
    where: dict[str, Any] | None = None
    after: weakref.ref[nn.Module] | None = None  # the affine layer that it follows with nothing between


@dataclass(slots=True)
class _Thread:
    """What is known of a thread."""

    rows: dict[str, dict[str, Any]] = field(default_factory=dict)
    pairs: dict[str, dict[str, Any]] = field(default_factory=dict)
    left_out: int = 0
    output: dict[str, Any] = field(default_factory=dict)
    sums: Mapping[str, Tensor] = field(default_factory=dict)

    def plain(self) -> dict[str, Any]:
        """As JSON."""
        sums = {name: _finite(value) for name, value in self.sums.items()}
        return {
            "table": list(self.rows.values()),
            "left_out": self.left_out,
            "affine_after_affine": list(self.pairs.values()),
            "output": self.output | sums,
        }


class _Layers:
    def __init__(self) -> None:
        self._activations = Activations()
        self._layers: PerModule[_Layer] = PerModule(_Layer)
        self._output: tuple[dict[str, Any], Origin | None, dict[str, Tensor]] | None = None
        self._threads: dict[str, _Thread] = {}

    def on_module(self, call: ModuleCall) -> None:
        self._activations.of(call.module, call.inputs, call.output)
        if not is_layer(call.module):
            return
        layer = self._layers.of(call.module)
        if layer.output is None:
            output, line = first_tensor(call.output), where()
            layer.output = [] if output is None else list(output.shape)
            layer.where = line.plain() if line else None
        origin = self._activations.origin(first_tensor(call.inputs)) if is_affine(call.module) else None
        layer.after = weakref.ref(origin.affine) if origin is not None and origin.affine is not None else None

    def on_loss(self, loss: LossCall) -> None:
        self._activations.tensor(loss.input)
        told = {"loss": loss.function, "where": loss.where.plain() if loss.where else None}
        self._output = told, self._activations.origin(loss.input), row_sums(loss.input)

    def after_step(self, step: Step) -> None:
        thread = self._threads.setdefault(step.thread, _Thread())
        thread.left_out, thread.pairs = 0, {}
        for name, module, layer in self._layers.named(step.modules):
            if name in thread.rows or len(thread.rows) < MOST_LAYERS:
                thread.rows[name] = _row(name, module, layer)
            else:
                thread.left_out += 1
            first = layer.after() if layer.after is not None else None
            if first is not None and len(thread.pairs) < MOST_LAYERS:
                thread.pairs[name] = _pair(step.modules.get(id(first), ""), first, name, module)
        if self._output is not None:
            told, origin, thread.sums = self._output
            thread.output = told | self._source(origin, step.modules)
        self._output = None
        self._activations.clear()

    def facts(self) -> dict[str, Any]:
        """By thread: the table of layers, affine layers in a row, and what the loss was given."""
        return {name: thread.plain() for name, thread in self._threads.items()}

    def _source(self, origin: Origin | None, names: Mapping[int, str]) -> dict[str, Any]:
        """The layer that a tensor comes from, its activation since then, and the module that this is."""
        return {
            "layer": names.get(id(origin.layer)) if origin else None,
            "activation": origin.kind if origin else "",
            "activation_layer": self._activations.name(origin, names) if origin and origin.kind else None,
        }


def row_sums(input: Tensor) -> dict[str, Tensor]:
    """What tells probabilities from other numbers: the range of values, and of their sums over the classes.

    Args:
        input: of a loss (N, C, ...); nothing is said of others.

    Returns:
        ``low``, ``high``; ``sum_low``, ``sum_high`` of the rows; ``exp_sum_low``, ``exp_sum_high`` of the
        rows' exponentials, which are 1 for log-probabilities. Of 64 rows.
    """
    if not measurable(input) or input.dim() < 2:
        return {}
    values = input.detach()[:: max(1, len(input) // ROWS)]
    values = values[(slice(ROWS), slice(None)) + (0,) * (values.dim() - 2)].float()
    sums, exp_sums = values.sum(1), values.exp().sum(1)
    found = {"low": values.amin(), "high": values.amax()}
    for name, each in (("sum", sums), ("exp_sum", exp_sums)):
        found |= {f"{name}_low": each.amin(), f"{name}_high": each.amax()}
    return found


def _row(name: str, layer: nn.Module, known: _Layer) -> dict[str, Any]:
    own = [parameter for parameter in layer.parameters() if parameter is not None]
    learned = {parameter.requires_grad for parameter in own}
    return {
        "name": name,
        "class": type(layer).__name__,
        "parameters": sum(parameter.numel() for parameter in own),
        "trainable": "partly" if len(learned) > 1 else (True in learned),
        "output": known.output,
        "where": known.where,
    }


def _pair(first_name: str, first: nn.Module, second_name: str, second: nn.Module) -> dict[str, Any]:
    """Two affine layers in a row, with what may excuse them: a bottleneck, or convolutions in groups."""
    widths = [*_widths(first), _widths(second)[1]]
    grouped = any(getattr(layer, "groups", 1) > 1 for layer in (first, second))
    return {"first": first_name, "second": second_name, "widths": widths, "grouped": grouped}


def _widths(layer: nn.Module) -> tuple[int, int]:
    if isinstance(layer, nn.Linear):
        return layer.in_features, layer.out_features
    return int(layer.in_channels), int(layer.out_channels)  # type: ignore[arg-type]


def _finite(value: Tensor) -> float | None:
    number = float(value)
    return number if math.isfinite(number) else None


SIGNAL = Signal(units={}, cost="activations", start=_Layers)
