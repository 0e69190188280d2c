"""Dimensions: their coordinates and levels, what they refuse, and how they are written."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fitwell.errors import PlanError
from fitwell.space import Choice, Integer, LogUniform, Uniform, choice, integer, loguniform, uniform
from fitwell.space.dimensions import plain, read

COORDINATE = st.floats(0, 1)
ALL = [
    choice([64, 128, [128, 64]]),
    choice("adamw", "sgd", when={"epochs": 3}),
    uniform(-1, 0.5, when={"algorithm": ["sgd", "rmsprop"]}),
    loguniform(1e-4, 0.1),
    integer(-2, 5),
    integer(1, 256, log=True),
]


@given(COORDINATE)
@pytest.mark.parametrize("dimension", ALL, ids=repr)
def test_a_coordinate_gives_a_value_in_the_dimension_and_the_value_its_coordinate(dimension, at: float):
    value = dimension.at(at)
    assert dimension.has(value)
    again = dimension.coordinate(value)
    if isinstance(dimension, Choice | Integer):
        assert dimension.at(again) == value
    else:
        assert again == pytest.approx(at, abs=1e-9)


@pytest.mark.parametrize("dimension", ALL, ids=repr)
def test_json_and_back(dimension):
    assert read("x", json.loads(json.dumps(plain(dimension)))) == dimension


@pytest.mark.parametrize("dimension", [choice("a", "b", "c"), integer(3, 8)], ids=repr)
def test_options_and_whole_numbers_are_equally_likely(dimension):
    values = [dimension.at((i + 0.5) / 6000) for i in range(6000)]
    expected = dimension.levels(None)
    assert {value: values.count(value) for value in expected} == dict.fromkeys(
        expected, 6000 // len(expected)
    )


def test_in_a_logarithmic_range_factors_are_equally_likely():
    assert loguniform(1e-4, 1e-2).at(0.5) == pytest.approx(1e-3)
    drawn = [integer(1, 64, log=True).at((i + 0.5) / 10000) for i in range(10000)]
    # from n - 1/2 to n + 1/2, in the logarithm
    for number in (1, 2, 7, 64):
        share = math.log((number + 0.5) / (number - 0.5)) / math.log(64.5 / 0.5)
        assert drawn.count(number) / 10000 == pytest.approx(share, abs=2e-4)


@pytest.mark.parametrize(
    ("dimension", "points", "expected"),
    [
        (uniform(0, 0.5), 3, [0, 0.25, 0.5]),
        (loguniform(1e-4, 1e-1), 4, [1e-4, 1e-3, 1e-2, 1e-1]),
        (uniform(0, 1), 1, [0.5]),
        (integer(16, 256, log=True), 3, [16, 64, 256]),
        (integer(1, 3), 5, [1, 2, 3]),
        (integer(1, 4), None, [1, 2, 3, 4]),
        (choice(1, 2, 3, 4), 2, [1, 2, 3, 4]),
    ],
)
def test_levels(dimension, points, expected):
    levels = list(dimension.levels(points))
    assert levels == pytest.approx(expected)
    if points != 1:  # the ends to the last bit
        assert (levels[0], levels[-1]) == (expected[0], expected[-1])


def test_a_choice_is_of_arguments_or_of_one_list():
    assert choice([64, 128]) == choice(64, 128) == Choice((64, 128))
    assert choice([[128, 64]]).options == ((128, 64),)
    assert choice("sgd").options == ("sgd",)
    assert choice([128, 64]).has(128)
    # 64 stands for one hidden layer, but True is not 1
    assert choice([64, [128, 64]]).coordinate([128, 64]) == 0.75
    assert choice([64, 128]).has((64,))
    assert not choice([1, 2]).has(True)
    assert choice([1, 2]).coordinate(3) is None


def test_values_beyond_a_range_count_as_at_its_end():
    assert loguniform(1e-6, 1e-2).coordinate(0.0) == 0
    assert uniform(0, 1).coordinate(7) == 1
    assert not uniform(0, 1).has(7)
    assert not integer(0, 8).has(2.5)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: choice([]), "without options"),
        (lambda: choice([64, 128, 64]), "64 is there twice"),
        (lambda: choice([64, [64]]), "twice"),
        (lambda: uniform(0.5, 0.5), "from 0.5 to 0.5"),
        (lambda: integer(8, 2), "from 8 to 2"),
        (lambda: loguniform(0, 1), "logarithmic range from 0"),
        (lambda: integer(0, 9, log=True), "logarithmic range from 0"),
        (lambda: uniform(0, math.inf), "end inf"),
        (lambda: uniform("a", 1), "end 'a'"),
        (lambda: integer(0, 2.5), "whole numbers with the end 2.5"),
        (lambda: uniform(0, 1, when=["sgd"]), "when = "),
        (lambda: read("lr", {"low": 1, "hihg": 2}), "lr: unknown key 'hihg'.*\n.*\n.*'high'"),
        (lambda: read("lr", {"low": 1}), "lr: a range without high"),
        (lambda: read("lr", {"low": 2, "high": 1}), "lr: a range from 2 to 1"),
        (lambda: read("lr", {"options": [1], "low": 1}), "unknown key 'low'"),
        (lambda: read("lr", {"options": 1}), "lr: .*options"),
        (lambda: read("lr", 0.1), "nothing to try"),
        (lambda: read("hidden", (64, 128)), r"choice\(\[64, 128\]\).*loguniform\(64, 128\)"),
    ],
)
def test_what_is_no_dimension_is_refused(make, words: str):
    with pytest.raises(PlanError, match=words):
        make()


def test_kinds():
    assert (uniform(0, 1), loguniform(1, 2)) == (Uniform(0, 1), LogUniform(1, 2))
    assert uniform(1, 2) != loguniform(1, 2)
    assert integer(1, 2, log=True) == Integer(1, 2, True)
