"""The data that enters a model: mean, spread and range, in all and of each feature.

Shapes: N rows of a sample (for images the pixels), F features (for images the channels).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from fitwell.watching.moments import Batch, ModuleCall, Step
from fitwell.watching.signal import Signal
from fitwell.watching.signals.loss_inputs import along
from fitwell.watching.tensors import thinned

MOST_FEATURES = 2_000
LISTED = 200  # features that are told one by one
MOST_MODELS = 20
MOST_READ = 1 << 22  # elements of a loader's batch that are searched for what is not finite
MOST_BAD = 20  # batches that are not finite and are told
WAITING = 50  # inputs that wait for their step


@dataclass
class _Moments:
    """Of each feature (F,): finite values, their mean, squares around it, range, and values not finite."""

    count: Tensor
    mean: Tensor
    squares: Tensor
    low: Tensor
    high: Tensor
    bad: Tensor

    @classmethod
    def of(cls, values_NF: Tensor) -> _Moments:
        """Of a sample."""
        finite = values_NF.isfinite()
        bad = ~finite
        count = finite.sum(0)
        mean = values_NF.masked_fill(bad, 0.0).sum(0) / count.clamp(min=1)
        squares = (values_NF - mean).masked_fill_(bad, 0.0).square_().sum(0)
        low = values_NF.masked_fill(bad, math.inf).amin(0)
        high = values_NF.masked_fill(bad, -math.inf).amax(0)
        return cls(count, mean, squares, low, high, len(values_NF) - count)

    def with_(self, other: _Moments) -> _Moments:
        """Of both samples together (Chan, Golub and LeVeque 1979)."""
        count = self.count + other.count
        apart, part = other.mean - self.mean, other.count / count.clamp(min=1)
        return _Moments(
            count,
            self.mean + apart * part,
            self.squares + other.squares + apart.square() * self.count * part,
            torch.minimum(self.low, other.low),
            torch.maximum(self.high, other.high),
            self.bad + other.bad,
        )

    def whole(self) -> Tensor:
        """Mean, standard deviation, lowest and highest of all features together, (4,)."""
        count = self.count.sum().clamp(min=1)
        mean = (self.mean * self.count).sum() / count
        squares = (self.squares + (self.mean - mean).square() * self.count).sum()
        return torch.stack([mean, (squares / count).sqrt(), self.low.amin(), self.high.amax()])

    def plain(self) -> dict[str, Any]:
        """As JSON."""
        fields = [self.count, self.mean, self.squares, self.low, self.high, self.bad]
        count, mean, squares, low, high, bad = torch.stack([each.cpu().double() for each in fields]).tolist()
        spread = [math.sqrt(s / n) if n else math.nan for s, n in zip(squares, count, strict=True)]
        each = {"mean": mean, "std": spread, "min": low, "max": high}
        constant = [f for f in range(len(count)) if count[f] > 1 and low[f] == high[f]]
        varied = [f for f in range(len(count)) if spread[f] > 0 and low[f] < high[f]]
        return {
            "features": len(count),
            "samples": int(max(count)),
            "not_finite": {"count": int(sum(bad)), "features": [f for f, n in enumerate(bad) if n][:LISTED]},
            "constant": {"count": len(constant), "first": constant[:LISTED]},
            "largest_std": _extreme(varied, spread, 1),
            "smallest_std": _extreme(varied, spread, -1),
            "largest_shift": _extreme(
                varied, [abs(m) / s if s else 0.0 for m, s in zip(mean, spread, strict=True)], 1
            ),
            "each": {name: [_short(v) for v in values[:LISTED]] for name, values in each.items()},
        }


@dataclass
class _Input:
    shape: list[int]
    dtype: str
    axis: int | None  # of the features; None where the whole input counts as one
    moments: _Moments
    looks: int = 1

    def plain(self, model: str) -> dict[str, Any]:
        """As JSON."""
        about = {
            "model": model,
            "shape": self.shape,
            "dtype": self.dtype,
            "axis": self.axis,
            "looks": self.looks,
        }
        return about | self.moments.plain()


class _InputStatistics:
    def __init__(self) -> None:
        self._waiting: list[tuple[int, _Input]] = []  # module and what entered it, since the last step
        self._inputs: dict[tuple[str, str], _Input] = {}  # by thread and model
        self._bad: list[dict[str, Any]] = []

    def on_batch(self, batch: Batch) -> None:
        for entry, tensor in _tensors(batch.content):
            if len(self._bad) < MOST_BAD and _is_readable(tensor) and not tensor.isfinite().all():
                places = (~tensor.isfinite()).nonzero()
                about = {"entry": entry, "shape": list(tensor.shape)}
                self._bad.append(about | {"count": len(places), "first": places[0].tolist()})

    def on_module(self, call: ModuleCall) -> None:
        if call.depth or len(self._waiting) >= WAITING or next(call.module.parameters(), None) is None:
            return
        entered = next((each for each in call.inputs if isinstance(each, Tensor)), None)
        if entered is None or entered.is_complex() or not entered.numel() or entered.is_meta:
            return
        if entered.layout != torch.strided or entered.is_quantized:
            return
        values_NF, axis = _table(entered.detach())
        dtype = str(entered.dtype).removeprefix("torch.")
        found = _Input(list(entered.shape), dtype, axis, _Moments.of(values_NF))
        self._waiting.append((id(call.module), found))

    def after_step(self, step: Step) -> None:
        own = [(step.modules[module], found) for module, found in self._waiting if module in step.modules]
        self._waiting = []
        if not own:
            return
        first = own[0][0]  # what enters the others may come from it
        for model, found in own:
            if model == first:
                self._merge((step.thread, model), found)
        for name, value in zip(
            ("mean", "std", "min", "max"), own[0][1].moments.whole().unbind(), strict=True
        ):
            step.record(f"input/{name}", value)

    def facts(self) -> dict[str, Any]:
        found: dict[str, Any] = {"threads": {}, "not_finite_batches": self._bad}
        for (thread, model), each in self._inputs.items():
            found["threads"].setdefault(thread, each.plain(model))
        return found if self._inputs or self._bad else {}

    def _merge(self, key: tuple[str, str], found: _Input) -> None:
        known = self._inputs.get(key)
        if known is None:
            if len(self._inputs) < MOST_MODELS:
                self._inputs[key] = found
        elif (known.axis, len(known.moments.mean)) == (found.axis, len(found.moments.mean)):
            known.moments, known.looks = known.moments.with_(found.moments), known.looks + 1


def _table(tensor: Tensor) -> tuple[Tensor, int | None]:
    """A sample of rows (N, F), and the axis of the features.

    A table (N, F) has its columns, images (N, F, H, W) and volumes their channels; else all is one feature.
    """
    if tensor.dim() not in (2, 4, 5) or tensor.shape[1] > MOST_FEATURES:
        values_NF, axis = thinned(tensor).reshape(-1, 1), None
    else:
        values_NF, axis = along(tensor, 1).movedim(1, -1).reshape(-1, tensor.shape[1]), 1
    return (values_NF if values_NF.dtype == torch.float64 else values_NF.float()), axis


def _tensors(content: Any) -> Iterable[tuple[int | str, Tensor]]:
    """The tensors of a loader's batch, with their place in it."""
    if isinstance(content, Tensor):
        content = [content]
    entries = content.items() if isinstance(content, Mapping) else enumerate(content)
    return [
        (key if isinstance(key, int) else str(key), each) for key, each in entries if isinstance(each, Tensor)
    ]


def _is_readable(tensor: Tensor) -> bool:
    """Whether a tensor can be searched at once: reading another device would wait for it."""
    plain = tensor.is_cpu and tensor.layout == torch.strided and tensor.is_floating_point()
    return plain and tensor.numel() <= MOST_READ


def _extreme(features: list[int], values: list[float], sign: int) -> dict[str, Any] | None:
    """The feature with the highest value (or with ``sign`` -1 the lowest), and that value."""
    best = max(features, key=lambda feature: sign * values[feature], default=None)
    return None if best is None else {"feature": best, "value": _short(values[best])}


def _short(value: float) -> float | None:
    """Four digits are enough to compare scales."""
    return float(f"{value:.4g}") if math.isfinite(value) else None


SIGNAL = Signal(
    units={"input/mean": "", "input/std": "", "input/min": "", "input/max": ""},
    cost="batch",
    start=_InputStatistics,
)
