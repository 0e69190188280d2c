"""Experiments: how an arm did beside the training as it is, and the interval of paired differences."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from fitwell.experiment import Arm, Change, Check, Experiment, Paired, paired

DIFFERENCES = st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=40)
BETTER = Arm({"intervention": "rate"}, "slower", "loss", 0.5, 0.1, 2.0, 0.2, -1.5, -1.7, -1.3)
WORSE = replace(BETTER, says="faster", mean=4.0, difference=2.0, low=1.0, high=3.0)
UNCLEAR = replace(BETTER, says="as fast", mean=1.9, difference=-0.1, low=-0.3, high=0.1)
LOST = replace(BETTER, says="far too fast", mean=None, spread=None, difference=None, low=None, high=None)
SAVED = replace(LOST, says="at last finite", mean=0.5, control_mean=None)


@pytest.mark.parametrize("level", [0.95, 0.99])
@given(differences=DIFFERENCES)
def test_the_interval_is_students(differences: list[float], level: float) -> None:
    found = paired(differences, level)
    error = stats.sem(differences)
    half = stats.t.ppf((1 + level) / 2, len(differences) - 1) * error
    assert found.mean == pytest.approx(sum(differences) / len(differences), abs=1e-9)
    assert found.high - found.mean == pytest.approx(half, rel=2e-3, abs=1e-9)
    assert found.mean - found.low == pytest.approx(half, rel=2e-3, abs=1e-9)
    assert found.pairs == len(differences)


@given(differences=DIFFERENCES, scale=st.sampled_from([-3.0, -1.0, 0.5, 8.0]))
def test_the_interval_follows_the_unit_and_the_sign(differences: list[float], scale: float) -> None:
    found, other = paired(differences), paired([scale * each for each in differences])
    assert sorted([other.low, other.high]) == pytest.approx(
        sorted([scale * found.low, scale * found.high]), rel=1e-6, abs=1e-6
    )


def test_to_be_surer_takes_a_wider_interval() -> None:
    likely, sure = paired([1.0, 2.0, 4.0]), paired([1.0, 2.0, 4.0], 0.99)
    assert sure.low < likely.low < likely.mean < likely.high < sure.high


def test_one_pair_says_nothing_and_none_is_a_mistake() -> None:
    assert paired([0.5]) == Paired(0.5, -math.inf, math.inf, 1)
    with pytest.raises(ValueError, match="no pair"):
        paired([])


@pytest.mark.parametrize(
    ("arm", "gain", "sure", "worse"),
    [
        (BETTER, 0.75, True, False),
        (WORSE, -1.0, False, True),
        (UNCLEAR, 0.05, False, False),
        (LOST, -math.inf, False, True),
        (SAVED, math.inf, True, False),
        (replace(LOST, control_mean=None), -math.inf, False, False),
        (replace(BETTER, control_mean=0.0, difference=-1.0), math.inf, True, False),
        (replace(BETTER, control_mean=0.0, difference=0.0, low=0.0, high=0.0), 0.0, False, False),
    ],
)
def test_an_arm_beside_the_training_as_it_is(arm: Arm, gain: float, sure: bool, worse: bool) -> None:
    assert (arm.gain, arm.sure, arm.worse) == (pytest.approx(gain), sure, worse)


def experiment(*arms: Arm, fresh: bool = False) -> Experiment:
    return Experiment("loss-oscillates", "model", 50, 40, 0.25, arms, "confirmed", fresh)


def test_the_best_arm_speaks_for_all() -> None:
    assert experiment(WORSE, BETTER, LOST).best is BETTER
    assert experiment(BETTER, SAVED).best is SAVED
    says = "with slower the loss is 0.5 ± 0.1 in 40 steps, as it is 2 ± 0.2, from the same state"
    assert experiment(WORSE, BETTER).says == says
    assert "as it is not finite, from new weights" in experiment(SAVED, fresh=True).says


def test_without_an_arm_that_can_be_compared_it_says_so() -> None:
    assert experiment(LOST).best is None
    assert experiment().says == experiment(LOST).says == "no change that was tried can be compared"


def test_an_experiment_survives_json() -> None:
    made = experiment(BETTER, LOST, SAVED, fresh=True)
    assert Experiment.from_plain(json.loads(json.dumps(made.plain(), allow_nan=False))) == made


def test_a_change_survives_json() -> None:
    change = Change("rate", {"factor": 0.1})
    assert Change(**json.loads(json.dumps(change.plain()))) == change
    assert Check((change,)).changes == (change,)
