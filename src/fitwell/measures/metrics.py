"""The accuracies that a program computes itself against those counted, from the facts of the signal ``metrics``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from fitwell.evidence import Measure, Subject, View

CLOSE = 0.05  # so far apart are the mean of unequal batches, and the accuracy of an evaluation a little later
DIFFERENT = 3  # values, so that it is no chance that all are in one proportion
HELD_OUT = re.compile(r"val|valid|test|eval|dev|held", re.IGNORECASE)


def accuracies(view: View) -> Iterable[Subject] | None:
    """The program's variables that are called accuracy."""
    found = view.fact("signals", "metrics", "variables")
    if found is None:
        return None
    return [{"variable": name, "compared": rows} for name, rows in found.items()]


def _fits(row: Mapping[str, Any]) -> bool:
    """Whether a value is the accuracy that was counted: a share, a percentage, a count, or a sum over the batches."""
    value, counted = row["value"], row["counted"]
    scales = (1.0, 100.0, row["samples"], row["batches"], 100.0 * row["batches"])
    return any(value / scale < 1.001 and abs(value / scale - counted) < CLOSE for scale in scales)


def _fits_none(view: View) -> float | None:
    """The share of evaluations after which the value was no reading of the accuracy counted in any of them."""
    rows = view.subject.get("compared")
    if not rows:
        return None
    return sum(not any(_fits({**row, "value": each["value"]}) for row in rows) for each in rows) / len(rows)


def _by_batches(view: View) -> float | None:
    """The share of evaluations after which the value was the right answers over the number of batches."""
    rows = view.subject.get("compared")
    if not rows:
        return None
    return sum(_divided_by_batches(row) for row in rows) / len(rows)


def _divided_by_batches(row: Mapping[str, Any]) -> bool:
    size = row["samples"] / max(1, row["batches"])
    return any(
        abs(row["value"] / (scale * size) - row["counted"]) < CLOSE
        and size > 2
        and row["counted"] > 2 * CLOSE
        for scale in (1.0, 100.0)
    )


def _in_proportion(view: View) -> bool | None:
    """Whether the value is always the same multiple of what was counted, which changes from time to time."""
    rows = view.subject.get("compared")
    if not rows:
        return None
    counted = [float(row["counted"]) for row in rows]
    if len({round(each, 6) for each in counted}) < DIFFERENT or min(counted) < 2 * CLOSE:
        return False
    ratios = [float(row["value"]) / each for row, each in zip(rows, counted, strict=True)]
    return min(ratios) > 0 and max(ratios) < 1.001 * min(ratios)


def _held_out(view: View) -> bool | None:
    name = view.subject.get("variable")
    return None if name is None else HELD_OUT.search(name) is not None


def _evaluations(view: View) -> int | None:
    rows = view.subject.get("compared")
    return None if rows is None else len(rows)


def _least_apart(view: View) -> float | None:
    """The least difference from what was counted after the same evaluation, as a share or a percentage."""
    rows = view.subject.get("compared")
    if not rows:
        return None
    return min(
        min(abs(float(row["value"]) / scale - float(row["counted"])) for scale in (1, 100)) for row in rows
    )


def _least_below(view: View) -> float | None:
    """Of a share that is computed anew each time: the least by which it is below what was counted."""
    rows = view.subject.get("compared")
    if not rows:
        return None
    shares = all(0 <= row["value"] <= 1 and row.get("new") for row in rows)
    return float(min(row["counted"] - row["value"] for row in rows)) if shares else 0.0


FITS_NONE = Measure(
    "evaluations after which the program's accuracy fits none that was counted", _fits_none, "share"
)
BY_BATCHES = Measure(
    "evaluations after which it was the right answers over the number of batches", _by_batches, "share"
)
IN_PROPORTION = Measure(
    "it is always one multiple of the accuracy that was counted: divided by a wrong number", _in_proportion
)
HELD_OUT_NAME = Measure("the variable is called after held-out data", _held_out)
EVALUATIONS = Measure("evaluations compared", _evaluations)
LEAST_BELOW = Measure("least by which it is below the accuracy that was counted", _least_below, "share")
LEAST_APART = Measure(
    "least difference between the program's accuracy and the one counted", _least_apart, "share"
)
