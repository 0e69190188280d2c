"""A trial is the mean of its members, and fails with the first of them."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import pytest

from fitwell.data.contract import Data, Split
from fitwell.plan import Plan
from fitwell.tuning.populations.population import Population
from fitwell.tuning.trials import Trial, reason

Make = Callable[..., Plan]


def smaller(data: Data) -> Data:
    """Half of the samples to train on."""
    return dataclasses.replace(data, train=Split(data.train.fields, data.train.index[:150]))


def begun(plan: Plan, *parts: Data) -> Trial:
    trial = Trial(1, {}, plan, parts)
    trial.begin()
    return trial


def one_epoch(trial: Trial) -> None:
    """Train the active members for an epoch, and hand the trial their figures."""
    population = Population(trial.active)
    trial.add(population.epoch())


def test_before_it_has_begun_there_is_nothing(plan: Make, digits: Data) -> None:
    trial = Trial(1, {}, plan(digits), [digits])
    assert (trial.active, trial.epochs, trial.score, trial.latest, trial.figures) == (
        [],
        0,
        None,
        math.inf,
        {},
    )


def test_with_folds_its_score_and_figures_are_the_means(plan: Make, digits: Data) -> None:
    other = smaller(digits)
    trial = begun(plan(digits, epochs=3), digits, other)
    singles = [begun(plan(digits, epochs=3), data) for data in (digits, other)]
    for one in (trial, *singles):
        while one.active:
            one_epoch(one)
    scores = [one.score for one in singles]
    assert scores[0] != scores[1]
    assert trial.score == pytest.approx(sum(scores) / 2, rel=1e-5)
    assert trial.latest == pytest.approx(sum(one.latest for one in singles) / 2, rel=1e-5)
    for name in ("train/loss", "val/loss", "val/accuracy"):
        expected = sum(one.figures[name] for one in singles) / 2
        assert trial.figures[name] == pytest.approx(expected, rel=1e-5), name
    assert not any("objective" in name for name in trial.figures)
    for row, *own in zip(trial.rows, *(one.rows for one in singles), strict=True):
        assert row["loss/val"] == pytest.approx(sum(each["loss/val"] for each in own) / 2, rel=1e-5)


def test_its_score_is_that_of_the_epoch_that_is_kept(plan: Make, digits: Data) -> None:
    trial = begun(plan(digits, lr=0.3, epochs=8), digits)  # a rate at which the loss goes up and down
    while trial.active:
        one_epoch(trial)
    (member,) = trial.members
    losses = [row["loss/val"] for row in trial.rows]
    kept = losses.index(min(losses))
    assert kept < len(losses) - 1, "the last epoch must not be the best one, or this shows nothing"
    assert trial.score == trial.rows[kept]["objective/val"] == member.scores[kept]
    assert trial.figures["val/loss"] == losses[kept]
    assert trial.latest == trial.rows[-1]["objective/val"] != trial.score


def test_a_member_that_fails_fails_the_trial(plan: Make, digits: Data) -> None:
    trial = begun(plan(digits), digits, smaller(digits))
    one_epoch(trial)
    assert trial.score is not None
    trial.members[1].failed = "the loss became nan in epoch 2"
    trial.add([{"loss/val": 1.0, "lr": 0.1}, {"lr": 0.3}])
    assert trial.failed == "the loss became nan in epoch 2"
    assert (trial.score, trial.latest, trial.active) == (None, math.inf, [])
    assert trial.rows[-1] == {"lr": pytest.approx(0.2)}  # what all of them have


def test_a_stopped_trial_keeps_its_score_and_trains_no_further(plan: Make, digits: Data) -> None:
    trial = begun(plan(digits), digits)
    one_epoch(trial)
    assert trial.active
    trial.stopped = "after 1 of 5 epochs"
    assert not trial.active
    assert trial.score is not None


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"algorithm": "nope"}, "nope"),
        ({"family": "nope"}, "nope"),
        ({"family": "rbm"}, "data without a target"),
        ({"family": "cnn"}, "one image"),
        ({"options": {"nope": 1}}, "nope"),
        ({"options": {"betas": [2.0, 0.9]}}, "beta"),
        ({"schedule": "constant"}, "auto"),  # a part by itself leaves the rest of it open
    ],
)
def test_what_can_not_be_trained_fails_with_the_reason(
    changes: dict, said: str, plan: Make, binary: Data
) -> None:
    trial = begun(plan(binary).change(**changes), binary)
    assert said in (trial.failed or "")
    assert "\n" not in (trial.failed or "")
    assert (trial.active, trial.score) == ([], None)


def test_a_family_with_a_target_can_not_do_without(plan: Make, unlabelled: Data) -> None:
    trial = begun(plan(unlabelled, family="autoencoder", hidden=(8,)).change(family="mlp"), unlabelled)
    assert "data with a target" in (trial.failed or "")


def test_too_little_memory_fails_it(plan: Make, digits: Data, monkeypatch: pytest.MonkeyPatch) -> None:
    def build(*_: object) -> None:
        raise RuntimeError("not enough memory: you tried to allocate 9 bytes.\nC++ frames")

    monkeypatch.setattr("fitwell.tuning.trials.member", build)
    assert (
        begun(plan(digits), digits).failed
        == "RuntimeError: not enough memory: you tried to allocate 9 bytes."
    )


def test_a_reason_is_one_line() -> None:
    assert reason(ValueError("a\nb")) == "ValueError: a"
