"""Regions of capacity follow the curve and its chance: they change with what is beyond chance alone."""

import dataclasses
import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from fitwell.tuning.curves.regions import Size, best_of, said, verdicts, worse

SAMPLES = 400
DRAW = np.random.default_rng(0)


def size(parameters, val, train=None, word="just-right", resamples=(1, 2, 3, 4)):
    """A size that has this share of the samples right, others in each training."""
    errors = np.zeros((len(resamples), SAMPLES))
    for row in errors:
        row[DRAW.choice(SAMPLES, round((1 - val) * SAMPLES), replace=False)] = 1
    count = len(resamples)
    return Size(parameters, [val if train is None else train] * count, [val] * count, errors, resamples, word)


def test_too_little_just_right_too_much():
    curve = [size(10, 0.6), size(100, 0.89), size(1000, 0.9), size(10_000, 0.8, 1.0)]
    assert verdicts(curve) == ["underfitting", "just-right", "just-right", "overfitting"]
    assert said(curve, verdicts(curve), "accuracy") == (
        "10 parameters are too little, 100 just right; beyond 1,000 it only memorises"
    )


def test_what_does_not_get_worse_is_not_too_large():
    curve = [size(10, 0.6), size(100, 0.9), size(1000, 0.899, 1.0)]
    assert verdicts(curve) == ["underfitting", "just-right", "just-right"]
    assert said(curve, verdicts(curve), "accuracy").endswith("no size up to 1,000 is too large here")


def test_all_below_the_last_that_is_too_little_are():
    lucky, poor = size(10, 0.899), size(100, 0.6)
    assert verdicts([lucky, poor, size(1000, 0.9)]) == ["underfitting", "underfitting", "just-right"]


def test_worse_without_a_gap_is_badly_trained_and_no_memory():
    best, poor = size(10, 0.9, 0.92), size(100, 0.7, 0.7)
    assert verdicts([best, poor]) == ["just-right", "slow"]
    assert verdicts([best, size(100, 0.7, 0.7, "not-converging")]) == ["just-right", "not-converging"]
    assert "does not train well" in said([best, poor], ["just-right", "slow"], "accuracy")


def test_a_diagnosis_counts_half_and_beyond_what_overfits_it_is_enough():
    best = size(10, 0.9, 0.92)
    tried = (size(100, 0.9 - step / 400, 1.0, "overfitting") for step in range(1, 40))
    little = next(one for one in tried if 0.5 < worse(one, best) < 1)
    assert verdicts([best, little]) == ["just-right", "overfitting"]
    memorising = dataclasses.replace(best, word="overfitting")
    assert verdicts([memorising, little]) == ["just-right", "just-right"]
    recovered = size(1000, 0.9, 1.0, "overfitting")
    assert verdicts([best, size(100, 0.7, 1.0), recovered]) == ["just-right", "overfitting", "overfitting"]
    assert verdicts([best, dataclasses.replace(recovered, errors=best.errors)]) == [
        "just-right",
        "just-right",
    ]
    healthy = size(1000, 0.9, 0.93)
    words = verdicts([best, size(100, 0.7, 1.0), healthy])
    assert words == ["just-right", "overfitting", "just-right"]
    assert said([best, size(100, 0.7, 1.0), healthy], words, "accuracy").endswith("but the largest does not")


def test_a_best_size_that_memorises_is_told():
    curve = [size(10, 0.6), size(100, 0.8, 1.0, "overfitting")]
    assert "Even the best size memorises (accuracy 100.0 % on training data, 80.0 %" in said(
        curve, verdicts(curve), "accuracy"
    )


def test_the_chance_of_parts_and_of_samples_counts():
    draw = np.random.default_rng(0)
    errors, others = draw.normal(1.2, 1, (5, 80)), draw.normal(1, 1, (5, 80))
    one, other = (Size(1, [1], [1], values, range(5)) for values in (errors, others))
    differences = errors - others
    of_parts = stats.t.ppf(0.975, 4) * stats.sem(differences.mean(1))
    of_samples = 1.96 * stats.sem(differences.mean(0))
    expected = differences.mean() / math.hypot(of_parts, of_samples)
    assert worse(one, other) == pytest.approx(expected, rel=1e-3)
    assert worse(other, one) == pytest.approx(-expected, rel=1e-3)
    # Only the training parts that both have are compared, each with itself.
    mixed = Size(1, [1], [1], errors[[3, 1, 0]], (3, 1, 0))
    same = Size(1, [1], [1], errors[[0, 1, 3]], (0, 1, 3))
    assert worse(mixed, other) == pytest.approx(worse(same, other))
    assert worse(mixed, Size(1, [1], [1], errors[:1], (9,))) == 0


def test_the_share_of_false_alarms_is_small():
    draw = np.random.default_rng(0)
    alarms = 0
    for _ in range(400):
        hard = draw.random(100)  # a sample that is hard for one is hard for all
        one, other = (
            Size(1, [1], [1], (draw.random((4, 100)) < hard).astype(float), range(4)) for _ in range(2)
        )
        alarms += worse(one, other) > 1
    assert alarms <= 400 * 0.03


@given(st.lists(st.sampled_from([0.5, 0.6, 0.7, 0.8, 0.9]), min_size=1, max_size=7), st.data())
def test_the_best_is_just_right_and_too_little_comes_before_it(values, data):
    words = data.draw(
        st.lists(
            st.sampled_from(["just-right", "overfitting", "slow"]), min_size=len(values), max_size=len(values)
        )
    )
    curve = [
        size(10**place, val, 1.0, word) for place, (val, word) in enumerate(zip(values, words, strict=True))
    ]
    found, best = verdicts(curve), best_of(curve)
    assert found[best] == "just-right"
    assert "underfitting" not in found[best:]
    order = [word == "underfitting" for word in found]
    assert all(before >= after for before, after in itertools.pairwise(order))
    assert said(curve, found, "accuracy")


def test_nothing_has_no_verdicts():
    assert verdicts([]) == []
