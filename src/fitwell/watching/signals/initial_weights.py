"""How the weights of each layer began: their scale, and whether its units are alike, and stay alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from fitwell.watching.moments import Named, Step
from fitwell.watching.signal import Signal
from fitwell.watching.tensors import measurable

MOST_WEIGHTS = 100  # of a thread
LARGEST = 2**22  # elements; larger ones are left out
LOOKS = 8  # at a thread


@dataclass(slots=True)
class _Weight:
    """What is known of a weight (U, ...), whose first axis are the units."""

    layer: str
    units: int
    gain: (
        float  # root mean square times the root of the number of inputs: 1.4 of He, 1 of Xavier, 0.6 of torch
    )
    alike: bool  # whether all units began with equal weights ...
    zero: bool  # ... of 0
    looks: int = 0
    alike_looks: int = 0  # steps after which all units had equal weights and had got equal gradients

    def plain(self) -> dict[str, Any]:
        """As JSON."""
        return {name: getattr(self, name) for name in self.__slots__} | {"gain": float(f"{self.gain:.4g}")}


class _InitialWeights:
    def __init__(self) -> None:
        self._threads: dict[str, dict[str, _Weight]] = {}
        self._looks: dict[str, int] = {}

    def before_step(self, step: Step) -> None:
        if step.number or step.thread in self._threads:
            return
        known = self._threads[step.thread] = {}
        for each in step.parameters:
            if len(known) < MOST_WEIGHTS and _is_matrix(each):
                known[f"{each.layer}.{each.name}"] = _weight(each, plain=not step.modules)

    def after_step(self, step: Step) -> None:
        known = self._threads.get(step.thread)
        self._looks[step.thread] = self._looks.get(step.thread, 0) + 1
        if not known or self._looks[step.thread] > LOOKS:
            return
        for each, gradient in zip(step.parameters, step.gradients, strict=True):
            weight = known.get(f"{each.layer}.{each.name}")
            if weight is None or gradient is None or not measurable(gradient) or gradient.is_sparse:
                continue
            weight.looks += 1
            if weight.alike:
                weight.alike_looks += all(
                    alike(by_unit(t, not step.modules)) for t in (each.tensor, gradient)
                )

    def facts(self) -> dict[str, Any]:
        """By thread: its weights with two or more axes."""
        return {
            "threads": {
                name: [weight.plain() for weight in known.values()]
                for name, known in self._threads.items()
                if known
            }
        }


def alike(tensor: Tensor) -> bool:
    """Whether all rows are equal, up to rounding."""
    rows = tensor.detach().flatten(1)
    return bool(((rows - rows[0]).abs() <= 1e-6 * rows.abs().amax(0)).all())


def by_unit(tensor: Tensor, plain: bool) -> Tensor:
    """With the units on the first axis: those of a plain tensor, ``x @ w``, are on its last one."""
    return tensor.movedim(-1, 0) if plain else tensor


def _is_matrix(each: Named) -> bool:
    tensor = each.tensor
    plain = measurable(tensor) and not tensor.is_sparse and tensor.is_cpu and not tensor.is_complex()
    return plain and tensor.dim() >= 2 and 0 < tensor.numel() <= LARGEST


def _weight(each: Named, plain: bool) -> _Weight:
    tensor = by_unit(each.tensor.detach(), plain)
    units = len(tensor)
    squares = float(tensor.float().square().mean())
    gain = (squares * tensor.numel() / units) ** 0.5
    return _Weight(each.layer, units, gain, alike(tensor), squares == 0)


SIGNAL = Signal(units={}, cost="parameters", start=_InitialWeights)
