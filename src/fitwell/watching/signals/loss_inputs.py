"""What enters each loss: shapes, ranges, and whether rows sum to 1, at each line that computes one.

What is measured is kept as running extremes on the device, in one tensor for each place.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

import numpy
import torch
from torch import Tensor

from fitwell.watching.moments import LossCall
from fitwell.watching.signal import Signal
from fitwell.watching.signals.objective import LAYERS, RANGES, VIEWS, beneath, kind, outside
from fitwell.watching.source import Where, user_frame, visible
from fitwell.watching.tensors import MOST, measurable, thinned

MOST_PLACES = 50
MOST_ROWS = 256  # of targets that are compared
MOST_AXES = 5
BEHIND = 8  # operations before the loss whose names are kept
CLASSES = ("cross_entropy", "nll_loss")
REGRESSION = ("mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss")  # either side may come first
WHOLE = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64, torch.bool)
MOST_VARIABLES = 300  # of a program that are looked through for labels


@dataclass
class _Place:
    """A line that computes a loss, from tensors of as many axes."""

    function: str
    where: Where | None
    part: str
    first: dict[str, Any]
    calls: int = 0
    with_graph: int = 0
    broadcast: list[list[int]] | None = None  # shapes of input and target, when they were spread to fit
    names: list[str] = field(default_factory=list)
    lowest: Tensor | None = None  # of each name the lowest value, and the lowest of its opposite
    outside: Tensor | None = (
        None  # summed up over the calls: the share of targets that the output cannot reach
    )

    def add(self, measured: dict[str, Tensor]) -> None:
        """Widen the extremes; a value that is not a number widens nothing."""
        names = list(measured)
        values = torch.stack([value.float() for value in measured.values()])
        both = torch.stack([values, -values])
        if self.lowest is None or names != self.names or self.lowest.device != both.device:
            self.names, self.lowest = names, both
        else:
            self.lowest = torch.fmin(self.lowest, both)

    def count(self, call: LossCall) -> None:
        """Add the targets that lie outside the range of the operation that made the input, if it has one."""
        reach = self.first["reach"]
        if reach is None:
            return
        target = _real(thinned(call.target))
        share = outside(target, _bound(reach[0], -math.inf), _bound(reach[1], math.inf))
        self.outside = share if self.outside is None else self.outside + share

    def plain(self) -> dict[str, Any]:
        """As JSON: what is measured as [lowest, highest]."""
        lows, opposites = self.lowest.tolist() if self.lowest is not None else ([], [])
        ranges = {
            name: [_finite(low), _finite(-opposite)]
            for name, low, opposite in zip(self.names, lows, opposites, strict=True)
        }
        return {
            "function": self.function,
            "part": self.part,
            "where": self.where and self.where.plain(),
            **self.first,
            "calls": self.calls,
            "with_graph": self.with_graph,
            "broadcast": self.broadcast,
            "target_unreachable": None if self.outside is None else self.outside.item() / self.calls,
            **_joined(ranges),
        }


class _LossInputs:
    def __init__(self) -> None:
        self._places: dict[tuple[Any, ...], _Place] = {}

    def on_loss(self, call: LossCall) -> None:
        target = call.target
        if call.function in REGRESSION and _swapped(call.input, target):
            call, target = replace(call, input=target, target=call.input), call.input
        if not (isinstance(target, Tensor) and measurable(call.input) and target.layout == torch.strided):
            return
        if call.input.is_complex() or call.input.layout != torch.strided or target.is_meta:
            return
        key = (call.function, call.where, call.part, call.input.dim(), target.dim())
        place = self._places.get(key)
        if place is None:
            if len(self._places) >= MOST_PLACES:
                return
            place = _Place(call.function, call.where, call.part, _about(call))
            self._places[key] = place
        place.calls += 1
        place.with_graph += call.value.requires_grad
        place.broadcast = place.broadcast or _broadcast(call)
        if call.input.numel() and target.numel():
            place.add(_measured(call))
            place.count(call)

    def facts(self) -> dict[str, Any]:
        return {"places": [place.plain() for place in self._places.values()]}


def _about(call: LossCall) -> dict[str, Any]:
    """What is the same at each call from a line."""
    input, target = call.input, call.target
    plain = (str, int, float, bool, type(None))
    return {
        "input_shape": list(input.shape),
        "target_shape": list(target.shape),
        "input_dtype": str(input.dtype).removeprefix("torch."),
        "target_dtype": str(target.dtype).removeprefix("torch."),
        "class_axis": _class_axis(call),
        "outputs": input.shape[_class_axis(call)] if input.dim() else 1,
        "arguments": {name: value for name, value in call.arguments.items() if isinstance(value, plain)},
        "input_made_by": _behind(input),
        "made_by": made_by(input),
        "reach": _reach(input),
        "labels_are_integers": _integers(target),
        "target_repeated": _repeated(target),
    }


def _repeated(target: Tensor) -> bool:
    """Whether one number is the target of all outputs of a sample."""
    if target.dim() != 2 or target.shape[1] < 2 or not target.numel():
        return False
    return target.stride(1) == 0 or (
        target.is_cpu and bool((target[:MOST_ROWS] == target[:MOST_ROWS, :1]).all())
    )


def _swapped(input: Tensor, target: Any) -> bool:
    """Whether the prediction was given in the place of the target."""
    return isinstance(target, Tensor) and target.requires_grad and not input.requires_grad


def made_by(tensor: Tensor) -> list[str]:
    """The operations between a tensor and the layer that it comes from, with that; the last first, no views."""
    names: list[str] = []
    node: Any = tensor.grad_fn
    while node is not None and len(names) < BEHIND:
        name = kind(node)
        names += [name] if name not in VIEWS else []
        below = beneath(node)
        node = below[0] if below and name not in LAYERS else None
    return names


def _reach(tensor: Tensor) -> list[float | None] | None:
    """What the operation can produce that made a tensor, as far as that is bounded: [lowest, highest]."""
    low, high = RANGES.get(next(iter(made_by(tensor)), ""), (-math.inf, math.inf))
    return None if low == -high == -math.inf else [_finite(low), _finite(high)]


def _bound(end: float | None, other: float) -> float:
    return other if end is None else end


def _integers(target: Tensor) -> bool:
    """Whether the program has integers that say the same as this target: class labels, turned into numbers."""
    if target.dtype in WHOLE:
        return True
    values = target.detach().reshape(-1)
    if not values.is_cpu or values.numel() < 2 or not bool((values == values.round()).all()):
        return False
    for _, thing in islice(visible(user_frame()), MOST_VARIABLES):
        if isinstance(thing, Tensor) and thing.is_cpu and thing.dtype == torch.int64:
            found = thing.detach().reshape(-1)
        elif type(thing) is numpy.ndarray and thing.dtype.kind == "i" and thing.size < MOST:
            found = torch.from_numpy(thing.astype("int64")).reshape(-1)
        else:
            continue
        if found.numel() == values.numel() and bool((found == values).all()):
            return True
        if (
            found.numel() > values.numel()
            and len(target) < len(thing) == found.numel()
            and _of_these(values, found)
        ):
            return True
    return False


def _of_these(values: Tensor, labels: Tensor) -> bool:
    """Whether values may be a part of some labels from 0 on, all of which occur."""
    known = labels[:MOST].unique()
    return bool(torch.isin(values, known.to(values.dtype)).all()) and known.tolist() == list(
        range(len(known))
    )


def _class_axis(call: LossCall) -> int:
    """The axis of the classes or outputs."""
    if call.function in CLASSES:
        return min(1, call.input.dim() - 1)
    return max(call.input.dim() - 1, 0)


def _behind(tensor: Tensor) -> list[str]:
    """The operations that made a tensor, the last one first."""
    names: list[str] = []
    node: Any = tensor.grad_fn
    while node is not None and len(names) < BEHIND:
        names.append(node.name())
        node = node.next_functions[0][0] if node.next_functions else None
    return names


def _broadcast(call: LossCall) -> list[list[int]] | None:
    """The shapes of input and target, if they differ and one was spread to fit the other."""
    shapes = [list(call.input.shape), list(call.target.shape)]
    if call.function in CLASSES or shapes[0] == shapes[1] or not torch.is_floating_point(call.target):
        return None
    try:
        torch.broadcast_shapes(*shapes)
    except RuntimeError:
        return None
    return shapes


def _measured(call: LossCall) -> dict[str, Tensor]:
    """0-d tensors by name."""
    sample = _real(thinned(call.input))
    low, high = sample.aminmax()
    found = {"input_min": low, "input_max": high, "input_mean": sample.mean(), "value": call.value.detach()}
    found |= _target(call)
    for axis in range(min(call.input.dim(), MOST_AXES) if call.input.dim() > 1 else 0):
        rows = _real(along(call.input.detach(), axis))
        for name, values in (("sum", rows), ("exp_sum", rows.exp())):
            low, high = values.sum(axis).aminmax()
            found |= {f"{name}_{axis}_min": low, f"{name}_{axis}_max": high}
    return found


def _target(call: LossCall) -> dict[str, Tensor]:
    """Of the targets that count: their range, their mean, and whether all are whole numbers."""
    raw = thinned(call.target)
    target = _real(raw)
    found = {"target_mean": target.mean()}
    ignored = call.arguments.get("ignore_index")
    if ignored is not None and not raw.is_floating_point():
        left_out = raw == ignored
        low = target.masked_fill(left_out, math.inf).amin()
        high = target.masked_fill(left_out, -math.inf).amax()
    else:
        low, high = target.aminmax()
    found |= {"target_min": low, "target_max": high}
    if call.function in CLASSES and raw.is_floating_point() and call.target.dim() > 1:
        low, high = _real(along(call.target.detach(), _class_axis(call))).sum(_class_axis(call)).aminmax()
        found |= {"target_sum_min": low, "target_sum_max": high}
    if raw.dtype not in WHOLE:
        found["target_whole"] = (target == target.round()).all()
    return found


def _real(tensor: Tensor) -> Tensor:
    return tensor if tensor.dtype in (torch.float32, torch.float64) else tensor.float()


def along(tensor: Tensor, axis: int, most: int = MOST) -> Tensor:
    """A sample of a tensor that is whole along one axis: every k-th place of the others, as a view."""
    others = [other for other in range(tensor.dim()) if other != axis]
    for done, other in enumerate(others):
        surplus = tensor.numel() / most
        if surplus > 1:
            step = math.ceil(surplus ** (1 / (len(others) - done)))
            tensor = tensor[(slice(None),) * other + (slice(None, None, step),)]
    return tensor


def _joined(ranges: dict[str, list[float | None]]) -> dict[str, Any]:
    """``input_min`` and ``input_max`` as the range ``input``; the sums as a list of ranges, one an axis."""
    found: dict[str, Any] = {}
    for name, (low, high) in ranges.items():
        stem, _, end = name.rpartition("_")
        if end == "min":
            found[stem] = [low, ranges[f"{stem}_max"][1]]
        elif end != "max":
            found[name] = [low, high]
    for sums in ("sum", "exp_sum"):
        axes = [axis for axis in range(MOST_AXES) if f"{sums}_{axis}" in found]
        found[f"{sums}s"] = [found.pop(f"{sums}_{axis}") for axis in axes]
    whole = found.pop("target_whole", [1.0])[0]
    return found | {"target_whole": whole == 1.0}


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


SIGNAL = Signal(units={}, cost="batch", start=_LossInputs, parts=("train", "held-out"))
