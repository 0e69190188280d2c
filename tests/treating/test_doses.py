"""may_be_better(): a dose behind one that is clearly worse than the best is not worth a training."""

from __future__ import annotations

import math

import pytest

from fitwell.treating.doses import may_be_better, number

BAD = -math.inf


def left(tried: dict[float, float], as_it_is: float = 0.0) -> list[float]:
    """The factors that are still worth a training."""
    known = [({"factor": factor}, good) for factor, good in tried.items()]
    doses = [0.001, 0.01, 0.1, 0.3, 3, 10, 30, 100, 1000]
    return [
        dose
        for dose in doses
        if dose not in tried and may_be_better({"factor": dose}, known, as_it_is, clearly=0.05)
    ]


def test_what_helps_is_followed() -> None:
    assert left({10: 0.3}) == [3, 30, 100, 1000]
    assert left({10: 0.3, 100: 0.6}) == [30, 1000]
    assert left({10: 0.3, 100: 0.6, 1000: BAD}) == [30]
    assert left({0.1: 0.3, 0.01: 0.2}) == [0.3]


def test_what_harms_leaves_weaker_doses() -> None:
    assert left({10: -0.3}) == [0.001, 0.01, 0.1, 0.3, 3]
    assert left({10: BAD, 0.1: BAD}) == [0.3, 3]


def test_a_difference_that_may_be_chance_excludes_nothing() -> None:
    assert left({10: -0.04}) == [0.001, 0.01, 0.1, 0.3, 3, 30, 100, 1000]


def test_where_all_fail_what_lies_between_is_left_out() -> None:
    assert left({0.1: BAD}, as_it_is=BAD) == [0.001, 0.01, 3, 10, 30, 100, 1000]
    assert left({0.1: BAD, 0.01: 0.5}, as_it_is=BAD) == [0.001]


@pytest.mark.parametrize("dose", [{}, {"scheme": "kaiming"}, {"factor": 2, "share": 0.1}])
def test_what_is_no_number_has_no_order(dose: dict[str, object]) -> None:
    assert number(dose) is None
    assert may_be_better(dose, [(dose, BAD)], 0.0, 0.05)


def test_other_settings_begin_elsewhere() -> None:
    assert not may_be_better({"p": 0.5}, [({"p": 0.3}, -0.2)], 0.0, 0.05)
    assert may_be_better({"p": 0.1}, [({"p": 0.3}, -0.2)], 0.0, 0.05)
    assert may_be_better({"rate": 1e-2}, [({"rate": 1e-3}, -0.2)], 0.0, 0.05)
    assert not may_be_better({"rate": 1e-2}, [({"rate": 1e-3}, -0.2), ({"rate": 1e-4}, 0.2)], 0.0, 0.05)
