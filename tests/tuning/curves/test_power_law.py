"""The power law is found where there is one, and its interval covers what twice the samples give."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import curve_fit

from fitwell.tuning.curves.power_law import EXPONENTS, at, fit, outlook

SIZES = np.array([100, 200, 400, 800, 1600])


@settings(deadline=None)
@given(st.floats(0, 0.3), st.floats(0.5, 20), st.sampled_from(list(EXPONENTS)))
def test_a_law_without_noise_is_found(floor, factor, exponent):
    errors = floor + factor * SIZES**-exponent
    law = fit(SIZES.astype(float), errors[None], np.ones(5))
    assert at(law, 3200.0)[0] == pytest.approx(floor + factor * 3200**-exponent, rel=1e-3, abs=1e-6)
    assert law[0, 2] == pytest.approx(exponent)


def test_the_fit_is_that_of_scipy():
    draw = np.random.default_rng(0)
    sigma = np.array([0.02, 0.01, 0.01, 0.005, 0.005])
    errors = 0.1 + 3 * SIZES**-0.6 + sigma * draw.normal(size=5)
    (a, b, c), _ = curve_fit(
        lambda n, a, b, c: a + b * n**-c, SIZES, errors, (0.1, 3, 0.6), sigma, bounds=(0, [1, 100, 2])
    )
    law = fit(SIZES.astype(float), errors[None], 1 / sigma**2)
    assert at(law, 3200.0)[0] == pytest.approx(a + b * 3200**-c, rel=0.01)


def test_floor_and_factor_are_never_negative():
    falling, rising = [0.9, 0.5, 0.2, 0.05, 0.0], [0.1, 0.2, 0.3, 0.4, 0.5]
    laws = fit(SIZES.astype(float), np.array([falling, rising]), np.ones(5))
    assert (laws[:, :2] >= 0).all()


def test_the_interval_covers_the_gain():
    draw = np.random.default_rng(0)
    covered = found = 0
    for _ in range(150):
        errors = [0.05 + 3 * n**-0.5 + 0.004 * draw.normal(size=4) for n in SIZES]
        ahead = outlook(SIZES.tolist(), errors)
        if ahead is not None:
            found += 1
            covered += ahead.gain[0] <= 3 * (1600**-0.5 - 3200**-0.5) <= ahead.gain[1]
    assert found == 150
    assert covered >= 0.88 * found


def test_the_samples_that_errors_were_counted_on_widen_the_interval():
    errors = [[0.05 + 3 * n**-0.5 + spread for spread in (-0.002, 0.0, 0.002)] for n in SIZES]
    wide, narrow = (outlook(SIZES.tolist(), errors, count) for count in (500, 10**6))
    assert wide.gain[1] - wide.gain[0] > 2 * (narrow.gain[1] - narrow.gain[0])
    assert wide.now == pytest.approx(narrow.now, rel=0.01)


def test_only_the_tail_is_fitted():
    errors = [[0.05 + 3 * n**-0.5 + spread for spread in (-0.001, 0.001)] for n in SIZES]
    assert outlook([50, *SIZES.tolist()], [[0.9, 0.9], *errors]) == outlook(SIZES.tolist(), errors)


@pytest.mark.parametrize(
    "errors",
    [
        [[0.3, 0.31], [0.2, 0.21], [0.1, 0.11]],  # three points for three unknowns
        [[0.4], [0.3], [0.2], [0.1]],  # no repeats, so no noise
        [[0.2, 0.3], [0.3, 0.2], [0.25, 0.2], [0.2, 0.25]],  # it does not fall
        [[0.0, 0.0]] * 4,
    ],
)
def test_what_tells_nothing_gives_nothing(errors):
    assert outlook(SIZES[: len(errors)].tolist(), errors) is None
