from __future__ import annotations

from typing import Any

import pytest

from fitwell.evidence import View
from fitwell.measures import losses


def about(**place: Any) -> View:
    return View({}).about(place)


@pytest.mark.parametrize(
    ("shapes", "grown"),
    [
        (None, False),
        ([[8, 1], [8]], True),
        ([[8], [8, 1]], True),
        ([[8, 1, 4, 4], [8, 4, 4]], True),
        ([[8, 5], [8, 1]], False),
        ([[8, 5], []], False),
        ([[1, 1], [1]], False),
        ([[8, 5, 1], [8, 1, 5]], False),
    ],
)
def test_only_shapes_that_grow_together_are_a_mistake(shapes: Any, grown: bool) -> None:
    assert losses.GROWN.read(about(broadcast=shapes)) is grown


def test_what_was_not_seen_is_not_measured() -> None:
    measures = [each for each in vars(losses).values() if isinstance(each, losses.Measure)]
    assert len(measures) > 15
    assert [each.text for each in measures if each.read(View()) is not None] == []


@pytest.mark.parametrize(
    ("made_by", "raw", "probability"),
    [
        (["Relu", "Addmm"], True, False),
        (["Addmm"], True, False),
        (["Clamp", "Sigmoid", "Addmm"], False, True),
        (["Sum", "Softmax", "Addmm"], False, False),
        (["Rsub", "Exp", "Addmm"], False, False),
    ],
)
def test_what_made_the_input(made_by: list[str], raw: bool, probability: bool) -> None:
    assert losses.RAW.read(about(made_by=made_by)) is raw
    assert losses.PROBABILITY_MAKER.read(about(made_by=made_by)) is probability


def test_the_axis_that_sums_to_one() -> None:
    one, other = [1.0, 1.0], [0.2, 5.0]
    place = {
        "input": [0.0, 0.9],
        "exp_sums": [other, other, other],
        "input_shape": [8, 3, 5],
        "class_axis": 1,
    }
    for sums, elsewhere in (
        ([other, one, other], False),
        ([other, other, one], True),
        ([one, one, other], False),
    ):
        view = about(function="cross_entropy", sums=sums, **place)
        assert losses.NORMALIZED_ELSEWHERE.read(view) is elsewhere


def test_the_end_of_a_program() -> None:
    assert losses.FAILURE.read(View({"failure": None})) == "nothing"
    assert losses.FAILURE.read(View({"failure": {"message": "no"}})) == "no"


def test_what_is_not_a_number_is_not_taken_for_raw_outputs() -> None:
    given = {"function": "nll_loss", "class_axis": 1, "exp_sums": [[None, None], [None, None]]}
    assert losses.EXP_SUM.read(about(**given, input=[None, None])) is None
    assert losses.EXP_SUM.read(about(**given, input=[-3.0, 100.0])) == float("inf")
    diverged = given | {"exp_sums": [[3.0, None], [2.5, None]]}
    assert losses.EXP_SUM.read(about(**diverged, input=[None, None])) == 2.5
