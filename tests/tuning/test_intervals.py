"""Intervals agree with scipy's, cover the truth as often as they say, and are wider for folds."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from fitwell.tuning.intervals import interval, paired

values = st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=40)


@given(values)
def test_an_interval_is_that_of_scipy(scores):
    found = interval(scores)
    error = stats.sem(scores)
    assert found.count == len(scores)
    assert found.mean == pytest.approx(np.mean(scores), abs=1e-9)
    if error > 1e-9:
        low, high = stats.t.interval(0.95, len(scores) - 1, loc=np.mean(scores), scale=error)
        assert found.high - found.low == pytest.approx(high - low, rel=1e-3)
        assert found.mean - found.low == pytest.approx(found.high - found.mean)


@given(values, st.floats(0.01, 1))
def test_folds_widen_the_variance_by_their_share(scores, share):
    count, variance = len(scores), np.var(scores, ddof=1)
    found = interval(scores, share)
    half = stats.t.ppf(0.975, count - 1) * math.sqrt(variance * (1 / count + share))
    assert found.high - found.mean == pytest.approx(half, rel=1e-3, abs=1e-9)


def test_the_corrected_interval_covers_the_truth_where_the_plain_one_does_not():
    # The mean error of folds whose estimates share what their training parts have in common (correlation 1/k).
    random = np.random.default_rng(0)
    folds, plain, corrected = 10, 0, 0
    for _ in range(2000):
        scores = random.normal() * math.sqrt(1 / folds) + random.normal(size=folds) * math.sqrt(1 - 1 / folds)
        for share in (None, 1 / (folds - 1)):
            found = interval(scores.tolist(), share)
            covers = found.low <= 0 <= found.high
            plain, corrected = plain + (covers and share is None), corrected + (covers and share is not None)
    assert corrected / 2000 == pytest.approx(0.95, abs=0.02)
    assert plain / 2000 < 0.9


def test_one_value_has_no_interval():
    assert interval([0.5]).plain() == {"mean": 0.5, "low": None, "high": None, "count": 1}
    assert json.loads(json.dumps(interval([0.5, 0.5]).plain())) == {
        "mean": 0.5,
        "low": 0.5,
        "high": 0.5,
        "count": 2,
    }


@given(values, st.randoms())
def test_pairs_are_compared_by_their_differences(scores, random):
    others = [score + random.random() for score in scores]
    found, back = paired(scores, others), paired(others, scores)
    assert found == interval([a - b for a, b in zip(scores, others, strict=True)])
    assert (back.mean, back.low, back.high) == pytest.approx((-found.mean, -found.high, -found.low))


@pytest.mark.parametrize(("a", "b"), [([], []), ([1.0, 2.0], [1.0])])
def test_what_makes_no_pairs_is_refused(a, b):
    with pytest.raises(ValueError, match=r"no pair|shorter"):
        paired(a, b)
