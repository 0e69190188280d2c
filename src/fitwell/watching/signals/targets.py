"""The numbers that a model is to predict: their mean and spread, so that the loss of a constant answer is known.

Shapes: N samples of a batch, O outputs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from fitwell.watching.moments import LossCall
from fitwell.watching.signal import Signal
from fitwell.watching.source import Where
from fitwell.watching.tensors import MOST, measurable

MOST_PLACES = 20
SQUARED = "mse_loss"
FUNCTIONS = (SQUARED, "l1_loss", "smooth_l1_loss", "huber_loss")


@dataclass
class _Place:
    """A line that compares numbers, with sums over the targets that were seen there.

    Args:
        around: (O,) means of the first batch: so squares lose no digits.
        sums: (3, O) sums of the distances from ``around``, of their squares, and of their amounts.
        samples: that were seen.
    """

    function: str
    where: Where | None
    part: str
    around: Tensor
    sums: Tensor
    samples: int = 0

    def plain(self) -> dict[str, Any]:
        """As JSON; ``constant`` is what the best constant answer loses, for an absolute loss nearly."""
        first, second, amounts = (self.sums / self.samples).cpu().double()
        variance = (second - first.square()).clamp(min=0)
        lost = variance if self.function == SQUARED else amounts
        told = {
            "mean": (self.around.cpu() + first).mean(),
            "std": variance.mean().sqrt(),
            "constant": lost.mean(),
        }
        about = {"function": self.function, "part": self.part, "where": self.where and self.where.plain()}
        found = {name: float(value) for name, value in told.items()}
        return (
            about | {n: v if math.isfinite(v) else None for n, v in found.items()} | {"samples": self.samples}
        )


class _Targets:
    def __init__(self) -> None:
        self._places: dict[tuple[Any, ...], _Place] = {}

    def on_loss(self, call: LossCall) -> None:
        target = call.target
        if call.function not in FUNCTIONS or not isinstance(target, Tensor) or not measurable(target):
            return
        if target.is_complex() or target.layout != torch.strided or target.dim() < 1 or not target.numel():
            return
        rows_NO = target.detach().reshape(len(target), -1)
        rows_NO = rows_NO[: max(1, MOST // rows_NO.shape[1]), :MOST]
        rows_NO = rows_NO if rows_NO.dtype == torch.float64 else rows_NO.float()
        key = (call.function, call.where, call.part, rows_NO.shape[1], rows_NO.device)
        place = self._places.get(key)
        if place is None:
            if len(self._places) >= MOST_PLACES:
                return
            around = rows_NO.mean(0)
            place = _Place(
                call.function, call.where, call.part, around, torch.zeros_like(around).expand(3, -1)
            )
            self._places[key] = place
        off = rows_NO - place.around
        place.sums = place.sums + torch.stack([off.sum(0), off.square().sum(0), off.abs().sum(0)])
        place.samples += len(rows_NO)

    def facts(self) -> dict[str, Any]:
        return {"places": [place.plain() for place in self._places.values()]}


SIGNAL = Signal(units={}, cost="batch", start=_Targets, parts=("train", "held-out"))
