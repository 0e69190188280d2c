"""The class labels that reach the losses: how often each occurs, and whether the batches are mixed.

Shapes: N labels of a batch, C classes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import torch
from torch import Tensor

from fitwell.watching.answers import answers
from fitwell.watching.losses import right_answers
from fitwell.watching.moments import LossCall, ModuleCall, Step
from fitwell.watching.signal import Signal
from fitwell.watching.source import Where
from fitwell.watching.tensors import thinned

MOST_CLASSES = 1_000
MOST_PLACES = 20
MOST_RECALLED = 50  # batches whose answers are kept
CLASSES = ("cross_entropy", "nll_loss")


@dataclass
class _Order:
    """Neighbours and batches of labels. What is counted stays on the device."""

    pairs: int = 0  # of neighbours in a batch
    touching: int = 0  # pairs of such pairs that share a label
    mates: int = 0  # pairs of labels in the same batch
    mates_touching: int = 0
    batches: int = 0
    seams: int = 0  # batches that followed upon one another
    counted: Tensor | None = None  # equal neighbours, equal mates, batches of one class, equal seams

    def add(self, labels_N: Tensor, counts_C: Tensor) -> None:
        """Count a batch."""
        count = len(labels_N)
        self.batches += 1
        self.pairs += count - 1
        self.touching += count - 2
        self.mates += count * (count - 1) // 2
        self.mates_touching += count * (count - 1) * (count - 2) // 2
        neighbours = (labels_N[1:] == labels_N[:-1]).sum()
        mates = (counts_C * (counts_C - 1)).sum() // 2
        found = torch.stack([neighbours, mates, (counts_C == count).sum(), torch.zeros_like(mates)])
        self.counted = found if self.counted is None else self.counted + found


@dataclass
class _Place:
    function: str
    where: Where | None
    part: str
    classes: int
    counts: Tensor  # (C,)
    many: bool = False  # labels for a row of the model's input, as of pixels or letters
    order: _Order = field(default_factory=_Order)
    last: Tensor | None = None  # label of the batch before
    recalled: list[Tensor] = field(
        default_factory=list
    )  # (2, C) of the last batches: labels, and right answers

    def plain(self) -> dict[str, Any]:
        """As JSON."""
        counts = self.counts.tolist()
        found = {
            "function": self.function,
            "part": self.part,
            "where": self.where and self.where.plain(),
            "classes": self.classes,
            "counts": counts,
            "many_a_row": self.many,
        }
        if self.recalled:
            later = torch.stack(self.recalled[len(self.recalled) // 2 :]).sum(0).int().tolist()
            found["answers"] = {"labels": later[0], "right": later[1]}
        return found | (_about(self.order, counts) if self.order.batches else {})


class _Labels:
    def __init__(self) -> None:
        self._places: dict[tuple[Any, ...], _Place] = {}
        self._steps: dict[str, int] = {}
        self._rows = 0  # samples that entered the model last
        self._first: tuple[str, int] | None = None  # part, and samples of it that entered a model first
        self._ends: list[
            tuple[_Place, Tensor, Tensor]
        ] = []  # first and last label of each batch since the last step

    def on_module(self, call: ModuleCall) -> None:
        if (
            call.depth
            or not call.inputs
            or not isinstance(call.inputs[0], Tensor)
            or not call.inputs[0].dim()
        ):
            return
        if next(call.module.parameters(), None) is not None:  # else it is a loss
            self._rows = call.inputs[0].shape[0]
            if self._first is None or self._first[0] != call.part:
                self._first = call.part, max(call.inputs[0].shape[: 2 if call.inputs[0].dim() == 3 else 1])

    def on_loss(self, call: LossCall) -> None:
        found = _class_labels(call)
        place = None if found is None else self._place(call, found[1])
        if found is None or place is None:
            return
        labels, classes = found
        sample = thinned(labels).reshape(-1)
        valid = (sample >= 0) & (sample < classes) & (sample != call.arguments.get("ignore_index", -100))
        counts_C = torch.zeros_like(place.counts).scatter_add_(0, sample.clamp(0, classes - 1), valid.long())
        place.counts += counts_C
        # Without a module it is not known what entered.
        place.many |= (
            self._first is not None and self._first[0] == call.part and labels.numel() > self._first[1]
        )
        _recall(place, call)
        # Labels that are not one for each row (pixels, the letters of a text) have an order of their own.
        if call.part == "train" and labels.dim() == 1 and 1 < sample.numel() == self._rows:
            place.order.add(sample, counts_C)
            self._ends.append((place, sample[0].clone(), sample[-1].clone()))
            del self._ends[:-MOST_PLACES]

    def after_step(self, step: Step) -> None:
        follows = step.number == self._steps.get(step.thread, 0) + 1
        self._steps[step.thread] = step.number
        self._first = None
        if not follows:
            for place in self._places.values():
                place.last = None
        for place, first, last in self._ends:
            if place.last is not None and place.order.counted is not None:
                place.order.counted[3] += first == place.last
                place.order.seams += 1
            place.last = last
        self._ends = []

    def facts(self) -> dict[str, Any]:
        return {"places": [place.plain() for place in self._places.values()]}

    def _place(self, call: LossCall, classes: int) -> _Place | None:
        device = call.target.device
        key = (call.function, call.where, call.part, classes, device)
        if key not in self._places:
            if len(self._places) >= MOST_PLACES:
                return None
            counts_C = torch.zeros(classes, dtype=torch.int64, device=device)
            self._places[key] = _Place(call.function, call.where, call.part, classes, counts_C)
        return self._places[key]


def _recall(place: _Place, call: LossCall) -> None:
    """Count which classes were recognized in a batch of training."""
    if (
        call.part != "train"
        or call.target.dim() != 1
        or len(call.input) != len(call.target)
        or call.input.is_complex()
    ):
        return
    found = right_answers(call.function, call.input, call.target, call.arguments)
    known = answers(call.function, call.input, call.target, *found) if found is not None else None
    if known is not None:
        place.recalled.append(known.counts)
        del place.recalled[:-MOST_RECALLED]


def _class_labels(call: LossCall) -> tuple[Tensor, int] | None:
    """The labels as class indices, and the number of classes, if there are at most 1,000."""
    target, input = call.target, call.input
    if not isinstance(target, Tensor) or target.is_meta or not input.dim():
        return None
    if call.function in CLASSES and not (target.is_floating_point() or target.is_complex()):
        classes = input.shape[min(1, input.dim() - 1)]
        return (target.detach().long(), classes) if 1 < classes <= MOST_CLASSES else None
    if (
        call.function.startswith("binary_cross_entropy")
        and target.numel() == input.shape[0] == target.shape[0]
    ):
        return (target.detach().reshape(-1) > 0.5).long(), 2
    return None


def _about(order: _Order, counts: Sequence[int]) -> dict[str, Any]:
    """The order as JSON: how often labels are equal, and how often they would be if they were mixed."""
    neighbours, mates, single, seams = order.counted.tolist() if order.counted is not None else [0] * 4
    return {
        "batches": order.batches,
        "batches_of_one_class": single,
        "neighbours": _against_mixed(neighbours, order.pairs, order.touching, counts),
        "batch_mates": _against_mixed(mates, order.mates, order.mates_touching, counts),
        "seams": {"pairs": order.seams, "equal": seams},
    }


def _against_mixed(equal: int, pairs: int, touching: int, counts: Sequence[int]) -> dict[str, Any]:
    """Equal labels among some pairs, against all permutations of the labels: the join count statistic.

    Its mean and variance are exact (Cliff and Ord, Spatial Processes, 1981, chapter 2: non-free sampling,
    summed over the classes); ``p`` is that of the normal distribution, two-sided.

    Args:
        equal: pairs whose labels are equal.
        pairs: in all.
        touching: pairs of pairs that have one place in common.
        counts: labels of each class.
    """
    total = sum(counts)
    found: dict[str, Any] = {"pairs": pairs, "equal": equal, "expected": None, "z": None, "p": None}
    if total < 4 or not pairs:
        return found
    twos, threes = sum(n * (n - 1) for n in counts), sum(n * (n - 1) * (n - 2) for n in counts)
    two = Fraction(twos, total * (total - 1))
    three = Fraction(threes, total * (total - 1) * (total - 2))
    four = Fraction(twos**2 - 4 * threes - 2 * twos, total * (total - 1) * (total - 2) * (total - 3))
    mean = pairs * two
    variance = mean + 2 * touching * three + (pairs * (pairs - 1) - 2 * touching) * four - mean**2
    found["expected"] = float(mean)
    if variance > 0:
        found["z"] = float(equal - mean) / math.sqrt(variance)
        found["p"] = math.erfc(abs(found["z"]) / math.sqrt(2))
    return found


SIGNAL = Signal(units={}, cost="batch", start=_Labels, parts=("train", "held-out"))
