"""The data that enters a model: mean, spread and range, in all and of each feature.

Shapes: N samples, F features (for images the channels).
"""

from __future__ import annotations

import math
import weakref
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from fitwell.watching.moments import Batch, ModuleCall, Step
from fitwell.watching.phases import AGAIN
from fitwell.watching.signal import Signal
from fitwell.watching.signals.loss_inputs import along
from fitwell.watching.tensors import thinned

MOST = 16_384  # values of an input that are read
MOST_FEATURES = 2_000
LISTED = 200  # features that are told one by one
MOST_MODELS = 20
MOST_READ = 1 << 22  # elements of a loader's batch that are searched for what is not finite
MOST_BAD = 20  # batches that are not finite and are told
WAITING = 50  # inputs that wait for their step


@dataclass
class _Moments:
    """Running moments of F features, around a value near their means: so squares lose no digits.

    Args:
        around: (F,), the means of the first sample.
        sums: (3, F): number of finite values, sums of their distances from ``around`` and of the squares.
        lowest: (2, F): the lowest value, and the lowest of the opposites.
        seen: values of each feature.
    """

    around: Tensor
    sums: Tensor
    lowest: Tensor
    seen: int

    @classmethod
    def of(cls, values: Tensor, around: Tensor | None) -> _Moments:
        """Of a sample (N, F, ...)."""
        others = [axis for axis in range(values.dim()) if axis != 1]
        shape = [-1] + [1] * (values.dim() - 2)
        bad = ~values.isfinite()
        seen = values.numel() // values.shape[1]
        count = seen - bad.sum(others)
        if around is None:
            around = values.masked_fill(bad, 0.0).sum(others) / count.clamp(min=1)
        apart = (values - around.view(shape)).masked_fill_(bad, 0.0)
        low = values.masked_fill(bad, math.inf).amin(others)
        high = values.masked_fill(bad, -math.inf).amax(others)
        sums = torch.stack([count.to(apart.dtype), apart.sum(others), apart.square_().sum(others)])
        return cls(around, sums, torch.stack([low, -high]), seen)

    def add(self, other: _Moments) -> None:
        """Count another sample, measured around the same values."""
        self.sums = self.sums + other.sums
        self.lowest = torch.minimum(self.lowest, other.lowest)
        self.seen += other.seen

    def whole(self) -> Tensor:
        """Mean, standard deviation, lowest and highest of all features together, (4,)."""
        count, first, second = self.sums
        total = count.sum().clamp(min=1)
        mean = (self.around * count + first).sum() / total
        moved = self.around - mean
        squares = (second + moved * (2 * first + moved * count)).sum()
        low, opposite = self.lowest.amin(1)
        return torch.stack([mean, (squares / total).clamp(min=0).sqrt(), low, -opposite])

    def plain(self) -> dict[str, Any]:
        """As JSON."""
        count, first, second = self.sums.cpu().double()
        low, high = (self.lowest.cpu().double() * torch.tensor([[1.0], [-1.0]])).tolist()
        off = first / count.clamp(min=1)
        mean = (self.around.cpu() + off).tolist()
        spread = (second / count.clamp(min=1) - off.square()).clamp(min=0).sqrt().tolist()
        counts = count.tolist()
        bad = [feature for feature, finite in enumerate(counts) if finite < self.seen]
        constant = [f for f, n in enumerate(counts) if n > 1 and low[f] == high[f]]
        varied = [f for f, s in enumerate(spread) if s > 0 and low[f] < high[f]]
        shift = [abs(m) / s if s else 0.0 for m, s in zip(mean, spread, strict=True)]
        each = {"mean": mean, "std": spread, "min": low, "max": high}
        return {
            "features": len(counts),
            "samples": self.seen,
            "not_finite": {"count": int(self.seen * len(counts) - sum(counts)), "features": bad[:LISTED]},
            "constant": {"count": len(constant), "first": constant[:LISTED]},
            "largest_std": _extreme(varied, spread, 1),
            "smallest_std": _extreme(varied, spread, -1),
            "largest_shift": _extreme(varied, shift, 1),
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


@dataclass
class _Held:
    """What enters a model in evaluation."""

    module: weakref.ref[nn.Module]
    moments: _Moments
    thread: str = ""

    def plain(self) -> dict[str, Any]:
        """As JSON."""
        found = self.moments.plain()
        return {name: found[name] for name in ("samples", "not_finite", "each")}


class _InputStatistics:
    def __init__(self) -> None:
        self._held: list[_Held] = []
        self._thread_of: dict[int, str] = {}  # modules that were trained
        self._waiting: list[tuple[int, _Input]] = []  # module and what entered it, since the last step
        self._inputs: dict[str, tuple[str, _Input]] = {}  # by thread: its first model, and what enters that
        self._around: dict[int, Tensor] = {}  # what each module's inputs are measured around
        self._bad: list[dict[str, Any]] = []

    def on_batch(self, batch: Batch) -> None:
        for entry, tensor in _tensors(batch.content):
            if len(self._bad) < MOST_BAD and _is_readable(tensor) and not tensor.isfinite().all():
                places = (~tensor.isfinite()).nonzero()
                about = {"part": batch.part, "entry": entry, "shape": list(tensor.shape)}
                self._bad.append(about | {"count": len(places), "first": places[0].tolist()})

    def on_module(self, call: ModuleCall) -> None:
        if call.depth or len(self._waiting) >= WAITING or next(call.module.parameters(), None) is None:
            return
        entered = next((each for each in call.inputs if isinstance(each, Tensor)), None)
        if entered is None or entered.is_complex() or not entered.numel() or entered.is_meta:
            return
        if entered.layout != torch.strided or entered.is_quantized:
            return
        values, axis = _sample(entered.detach())
        around = self._around.get(id(call.module))
        if around is not None and (around.shape[0], around.device) != (values.shape[1], values.device):
            around = None
        if call.part != "train":
            self._hold(call, _Moments.of(values, around))
            return
        dtype = str(entered.dtype).removeprefix("torch.")
        found = _Input(list(entered.shape), dtype, axis, _Moments.of(values, around))
        if len(self._around) < MOST_MODELS:
            self._around.setdefault(id(call.module), found.moments.around)
        self._waiting.append((id(call.module), found))

    def after_step(self, step: Step) -> None:
        for held in self._held:
            if id(held.module()) in step.modules:
                held.thread = held.thread or step.thread
        waiting = self._waiting
        own = [(step.modules[module], found) for module, found in waiting if module in step.modules]
        self._waiting = []
        self._thread_of |= {module: step.thread for module, _ in waiting if module in step.modules}
        if not own:
            return
        model, first = own[0]  # what enters others may come from this one
        values = first.moments.whole().unbind()
        for name, value in zip(("mean", "std", "min", "max"), values, strict=True):
            step.record(f"input/{name}", value)
        if step.thread not in self._inputs and len(self._inputs) < MOST_MODELS:
            self._inputs[step.thread] = model, first
            own = own[1:]
        for _, found in own:
            self._merge(step.thread, found)

    def facts(self) -> dict[str, Any]:
        threads = {thread: found.plain(model) for thread, (model, found) in self._inputs.items()}
        for held in reversed(self._held):  # the first of a thread stays
            if held.thread in threads:
                threads[held.thread]["held_out"] = held.plain()
        return {"threads": threads, "not_finite_batches": self._bad} if threads or self._bad else {}

    def _hold(self, call: ModuleCall, moments: _Moments) -> None:
        """Count held-out data; training data that is only evaluated is not."""
        if call.part == AGAIN:
            return
        known = next((held for held in self._held if held.module() is call.module), None)
        if known is not None and known.moments.around is moments.around:
            known.moments.add(moments)
        elif known is None and len(self._held) < MOST_MODELS:
            thread = self._thread_of.get(id(call.module), "")
            self._held.append(_Held(weakref.ref(call.module), moments, thread))
            self._around.setdefault(id(call.module), moments.around)

    def _merge(self, thread: str, found: _Input) -> None:
        _, known = self._inputs.get(thread, ("", None))
        if known is not None and known.moments.around is found.moments.around:
            known.moments.add(found.moments)
            known.looks += 1


def _sample(tensor: Tensor) -> tuple[Tensor, int | None]:
    """Some of the values, with features along axis 1, and the axis that these were.

    A table (N, F) has its columns, images (N, F, H, W) and volumes their channels; else all is one feature.
    """
    if tensor.dim() not in (2, 4, 5) or tensor.shape[1] > MOST_FEATURES:
        values, axis = thinned(tensor, MOST).reshape(-1, 1), None
    else:
        values, axis = along(tensor, 1, MOST), 1
    return (values if values.dtype == torch.float64 else values.float()), axis


def _tensors(content: Any) -> Iterable[tuple[int | str, Tensor]]:
    """The tensors of a loader's batch, with their place in it."""
    if isinstance(content, Tensor):
        content = [content]
    if not isinstance(content, (Mapping, tuple, list)):
        return []
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
    parts=("train", "held-out"),
)
