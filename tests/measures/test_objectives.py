"""What a loss is made of, read from the facts about its graph."""

import math
from typing import Any

import pytest

from fitwell.diagnosis import numbered
from fitwell.evidence import View
from fitwell.measures import objectives
from fitwell.measures.objectives import ALONG_BATCH, BELOW_ZERO, DOWNWARD, LOSS_GROWTH, SOFTMAX_SIZE, UPWARD

WHERE = {"file": "train.py", "line": 7}


def about(subject: dict[str, Any]) -> View:
    return View({}, {}, "", subject)


def test_each_softmax_carries_the_line_of_its_loss() -> None:
    place = {"where": WHERE, "softmaxes": [{"name": "Softmax", "of": "Addmm"}]}
    facts = {"signals": {"objective": {"threads": {"m": {"maximize": False, "places": [place]}}}}}
    assert list(objectives.softmaxes(View(facts, {}, "m")) or []) == [
        {"name": "Softmax", "of": "Addmm", "where": WHERE}
    ]
    assert objectives.softmaxes(View()) is None


@pytest.mark.parametrize(
    ("shape", "axis", "size", "along_batch"),
    [
        ([32, 10], 1, 10, False),
        ([32, 10], 0, 32, True),
        ([10, 10], 0, 10, False),  # samples may be compared with samples
        ([32, 1], 0, 32, False),
        ([32, 5, 7], 0, 32, False),
        (None, 0, None, None),
    ],
)
def test_the_axis_of_a_softmax(shape: Any, axis: int, size: int | None, along_batch: bool | None) -> None:
    view = about({"shape": shape, "axis": axis})
    assert (SOFTMAX_SIZE.read(view), ALONG_BATCH.read(view)) == (size, along_batch)


@pytest.mark.parametrize(
    ("negated", "maximize", "upward", "downward"),
    [(0, False, 0.0, True), (8, False, 1.0, False), (0, True, 1.0, False), (8, True, 0.0, False)],
)
def test_which_way_a_step_goes(negated: int, maximize: bool, upward: float, downward: bool) -> None:
    place = {"with_loss": 8, "negated": negated, "likelihood_minimised": 0, "maximize": maximize}
    assert (UPWARD.read(about(place)), DOWNWARD.read(about(place))) == (upward, downward)
    assert UPWARD.read(View()) is None


def test_growth_is_of_the_size_and_without_a_last_number_infinite() -> None:
    grown = View({}, {"loss/batch": numbered([2.0, -20.0])})
    lost = View({}, {"loss/batch": numbered([2.0, math.nan])})
    assert LOSS_GROWTH.read(grown) == 10.0
    assert LOSS_GROWTH.read(lost) == math.inf
    assert LOSS_GROWTH.read(View()) is None


def test_how_far_below_zero() -> None:
    assert BELOW_ZERO.read(about({"values": [2.0, -6.0]})) == 3.0
    assert BELOW_ZERO.read(about({"values": [2.0, 1.0]})) == 0.0
    assert BELOW_ZERO.read(about({"values": [2.0, None]})) is None
