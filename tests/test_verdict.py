"""The verdict: a made curve for each word, and beside each a near miss that must get another one."""

import math
from dataclasses import replace

import pytest

from fitwell.verdict import Curves, best_of, convergence, judge, noise

FALL = [1.0, 0.6, 0.4, 0.3, 0.25, 0.24, 0.24, 0.24, 0.24, 0.24]
GOOD = Curves(
    train=FALL, validation=[loss + 0.02 for loss in FALL], best_epoch=8, chance=2.3, metric=(0.97, 0.96),
    validation_samples=1000,
)  # fmt: skip
STUCK = Curves(train=[2.30] * 6, validation=[2.31] * 6, best_epoch=2, chance=2.3)
STILL_FALLING = Curves(train=[1.0, 0.8, 0.6, 0.4], validation=[1.0, 0.8, 0.6, 0.4], best_epoch=4, chance=2.3)
RISING = Curves(
    train=[1.0, 0.5, 0.2, 0.1, 0.05, 0.02], validation=[1.0, 0.6, 0.5, 0.6, 0.7, 0.8], best_epoch=3
)


@pytest.mark.parametrize(
    ("evidence", "verdict"),
    [
        (GOOD, "just-right"),
        (replace(GOOD, train=[*FALL[:4], math.nan]), "broken"),
        (replace(GOOD, validation=[*FALL[:4], math.inf]), "broken"),
        (replace(GOOD, validation=[]), "too-short-to-tell"),
        (replace(GOOD, train=FALL[:2], validation=FALL[:2]), "too-short-to-tell"),
        (replace(STILL_FALLING, train=[1.0, 0.8, 0.6], validation=[1.0, 0.8, 0.6], best_epoch=3), "slow"),
        (STUCK, "not-converging"),
        (replace(STUCK, chance=None), "not-converging"),
        (replace(STUCK, train=[2.3, 2.28, 2.2, 2.1, 2.0, 1.9], best_epoch=2), "just-right"),
        (replace(GOOD, metric=(1.0, 0.80)), "overfitting"),
        (replace(GOOD, metric=(1.0, 0.94)), "just-right"),
        (replace(GOOD, metric=(1.0, 0.80), validation_samples=20), "just-right"),
        (RISING, "overfitting"),
        (replace(RISING, validation=[1.0, 0.6, 0.5, 0.5, 0.51, 0.52]), "just-right"),
        (replace(RISING, metric=(0.97, 0.96), validation_samples=1000), "just-right"),
        (STILL_FALLING, "slow"),
        (replace(STILL_FALLING, best_epoch=3), "just-right"),
        (replace(STILL_FALLING, validation=[1.0, 0.5, 0.41, 0.4]), "just-right"),
        (replace(GOOD, metric=(0.80, 0.80), baseline=0.95), "underfitting"),
        (replace(GOOD, metric=(0.80, 0.80), baseline=0.81), "just-right"),
        (replace(GOOD, metric=(0.80, 0.80), baseline=None), "just-right"),
        (replace(GOOD, metric=(0.80, 0.80), baseline=0.95, validation_samples=10), "just-right"),
        (replace(GOOD, metric=(0.96, 0.90), baseline=0.95), "just-right"),
    ],
)
def test_each_verdict_and_its_near_misses(evidence: Curves, verdict: str) -> None:
    judged = judge(evidence)
    assert judged.name == verdict, judged.reason
    assert judged.reason


def test_the_reason_holds_the_figures() -> None:
    assert "1.000" in judge(replace(GOOD, metric=(1.0, 0.8))).reason
    assert "0.800" in judge(replace(GOOD, metric=(1.0, 0.8))).reason
    assert "2.3" in judge(STUCK).reason
    assert "--validation" in judge(replace(GOOD, validation=[])).reason


def test_the_praise_tells_when_the_best_weights_had_to_be_fetched_back() -> None:
    kept = judge(replace(RISING, metric=(0.97, 0.96), validation_samples=1000))
    assert "epoch 3 were kept" in kept.reason
    assert "settled" in judge(GOOD).reason


def test_only_a_training_that_converged_names_the_epoch() -> None:
    assert judge(GOOD).converged_at_epoch == 6
    assert judge(RISING).converged_at_epoch == 3
    assert judge(STUCK).converged_at_epoch is None
    assert judge(STILL_FALLING).converged_at_epoch is None


@pytest.mark.parametrize(
    ("losses", "epoch"),
    [
        ([1.0, 0.5, 0.25, 0.25, 0.25], 3),
        ([1.0, 0.5, 0.2500, 0.2499, 0.2498], 3),
        ([0.5], None),
        ([1.0, 0.5, 0.1], None),
        ([0.1, 0.5, 1.0], 1),
    ],
)
def test_convergence_is_the_first_epoch_as_good_as_the_best(losses: list[float], epoch: int | None) -> None:
    assert convergence(losses) == epoch


def test_noise_is_that_around_the_trend() -> None:
    assert noise([5, 4, 3, 2, 1, 0]) == 0
    assert noise([1.0]) == noise([]) == 0
    wave = [0.1 * (-1) ** i for i in range(200)]
    assert noise(wave) == pytest.approx(0.1 * math.sqrt(2), rel=0.05)
    assert noise([9, -9, 9, -9, 1, 1, 1, 1]) == 0, "the second half alone counts"


def test_best_of_needs_both_figures() -> None:
    metrics = {"train/accuracy": 0.9, "val/accuracy": 0.8, "train/r2": 0.5}
    assert best_of(metrics, "accuracy") == (0.9, 0.8)
    assert best_of(metrics, "r2") is None
    assert best_of({"train/r2": 0.0, "val/r2": 0.0}, "r2") == (0.0, 0.0)


def test_praise_tells_which_weights_were_kept_and_why() -> None:
    train = [1.0, 0.5, 0.3, 0.2, 0.15, 0.1, 0.08, 0.06]
    rising = [0.9, 0.5, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65]
    before = judge(Curves(train=train, validation=rising, best_epoch=3, metric=(0.9, 0.89)))
    assert before.name == "just-right"
    assert "weights of epoch 3 were kept" in before.reason
    after = judge(Curves(train=train, validation=rising, best_epoch=7, metric=(0.9, 0.89)))
    assert after.name == "just-right"
    assert "too sure" in after.reason
    level = [0.9, 0.5, 0.4, 0.4, 0.4, 0.4, 0.4, 0.4]
    settled = judge(Curves(train=train, validation=level, best_epoch=4, metric=(0.9, 0.89)))
    assert "settled at 0.4" in settled.reason


def test_what_is_known_by_heart_is_overfitting_though_no_loss_rises() -> None:
    by_heart = Curves([1.0, 0.1, 0.01, 0.001, 0.001], [0.5, 0.4, 0.35, 0.35, 0.35], best_epoch=3, kept=False)
    assert judge(by_heart).name == "overfitting"
    assert judge(replace(by_heart, validation=[0.5, 0.3, 0.16, 0.16, 0.16])).name == "just-right"
    assert judge(replace(by_heart, validation=[9.0, 5.0, 4.0, 4.0, 4.0])).name == "just-right", "another unit"


def test_weights_that_were_lost_do_not_converge() -> None:
    lost = Curves([1.0, 0.6, 1.3, 1.4, 1.4], [1.0, 0.6, 1.3, 1.4, 1.4], best_epoch=2, kept=False)
    assert judge(lost).name == "not-converging"
    assert judge(replace(lost, train=[1.0, 0.6, 0.5, 0.4, 0.4])).name == "overfitting"
