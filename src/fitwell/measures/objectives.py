"""What a training minimises, from the facts of the signal ``objective``: read in the graph of its loss."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from fitwell.evidence import Measure, Subject, View


def objectives(view: View) -> list[dict[str, Any]] | None:
    """The lines from which gradients are computed."""
    known = view.known("objective")
    return None if known is None else [p | {"maximize": known["maximize"]} for p in known["places"]]


def softmaxes(view: View) -> Iterable[Subject] | None:
    """Every softmax, log-softmax and binary cross entropy between the last layer and what is minimised."""
    found = objectives(view)
    if found is None:
        return None
    return [softmax | {"where": place["where"]} for place in found for softmax in place["softmaxes"]]


def _size(view: View) -> int | None:
    shape, axis = view.subject.get("shape"), view.subject.get("axis")
    return shape[axis] if shape and axis is not None and axis < len(shape) else None


def _along_batch(view: View) -> bool | None:
    """Of a table of samples by classes; one that is as wide as high may compare samples with samples."""
    shape, axis = view.subject.get("shape"), view.subject.get("axis")
    if shape is None or axis is None:
        return None
    return len(shape) == 2 and axis == 0 and min(shape) > 1 and shape[0] != shape[1]


def _upward(view: View) -> float | None:
    """Of the gradients that were computed of a recognised loss, those that a step follows to a larger loss."""
    place = view.subject
    if "with_loss" not in place:
        return None
    upward = place["negated"] + place["likelihood_minimised"]
    if place["maximize"]:
        upward = place["with_loss"] - upward
    return float(upward / max(1, place["with_loss"]))


def _growth(view: View) -> float | None:
    """By what factor the size of the loss grew; infinite if it is no number in the end."""
    found = [view.series(f"loss/{name}") for name in ("batch", "window", "train")]
    known = [series for series in found if series is not None]
    if not known:
        return None
    begin, end = min(known, key=lambda each: each.steps[0]), max(known, key=lambda each: each.steps[-1])
    first, last = abs(begin.values[0]), abs(end.values[-1])
    if math.isnan(first) or not first:
        return None
    return math.inf if math.isnan(last) else last / first


def _below_zero(view: View) -> float | None:
    """How far below 0 the minimised value falls, times its size at the beginning; 0 where it stays above."""
    values = view.subject.get("values")
    if values is None or None in values or not values[0]:
        return None
    return float(max(0.0, -values[1]) / values[0])


def _downward(view: View) -> bool | None:
    """Whether a recognised loss is always minimised."""
    place = view.subject
    if "with_loss" not in place:
        return None
    return bool(place["with_loss"]) and not place["negated"] and not place["maximize"]


def _count(found: Any) -> int | None:
    return None if found is None else len(found)


SOFTMAX = Measure("operation in the loss", lambda view: view.subject.get("name"))
SOFTMAX_OF = Measure("operation that it is applied to", lambda view: view.subject.get("of"))
SOFTMAX_SIZE = Measure("numbers that each softmax makes sum to 1", _size)
ALONG_BATCH = Measure(
    "the softmax sums to 1 over the samples of the batch, not over the classes", _along_batch
)
UPWARD = Measure("steps that make the loss larger by design: a wrong sign", _upward, "share")
BELOW_ZERO = Measure("how far below 0 what is minimised falls, times its size at first", _below_zero)
DOWNWARD = Measure("a loss of torch, or a squared error, is in it with the right sign", _downward)
MODELS = Measure("models in the program", lambda view: _count(view.fact("models")))
LOSS_GROWTH = Measure("size of the loss at the end over that at the beginning", _growth)
GROWN_BY_HAND = Measure(
    "prediction and target are both repeated to fit before their difference is squared",
    lambda view: view.subject["grown"] is not None if "grown" in view.subject else None,
)
UNREACHABLE_BY_HAND = Measure(
    "targets outside of what the last operation can produce, in a loss written by hand",
    lambda view: (view.subject["unreachable"] or 0.0) if "unreachable" in view.subject else None,
    "share",
)
