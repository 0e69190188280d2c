"""Successive halving, and what must hold of it whatever the scores are."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Sequence

import numpy as np
import pytest

from fitwell.data.contract import Data
from fitwell.plan import Plan
from fitwell.tuning.halving import Halving, rungs
from fitwell.tuning.populations.members import Member
from fitwell.tuning.trials import DEFAULT, Trial

EPOCHS = 16
Trials = Callable[..., list[Trial]]


@pytest.fixture
def trials(make: Callable[..., Member], plan: Callable[..., Plan], digits: Data) -> Trials:
    """So many trials of 16 epochs that have not begun to train."""
    one = make(digits, epochs=EPOCHS)

    def fresh(number: int, stage: str) -> Trial:
        job = dataclasses.replace(one.job)
        return Trial(
            number, {}, plan(digits, epochs=EPOCHS), [digits], stage, members=[Member(job, one.stream)]
        )

    return lambda count, stage="random": [fresh(number, stage) for number in range(count)]


def epoch(halving: Halving, trials: Sequence[Trial], scores: Sequence[float]) -> None:
    """An epoch of those that are still active, with these scores."""
    trained = [(trial, score) for trial, score in zip(trials, scores, strict=True) if trial.active]
    for trial, score in trained:
        trial.members[0].job.epoch += 1
        trial.members[0].scores.append(score)
    halving.give_up([trial for trial, _ in trained])


@pytest.mark.parametrize("epochs", range(1, 200))
def test_rungs_lie_before_the_last_epoch_and_rise(epochs: int) -> None:
    found = rungs(epochs)
    assert list(found) == sorted(set(found))
    assert all(1 <= rung < epochs for rung in found)
    assert len(found) <= 2
    assert (len(found) == 0) == (epochs == 1)


def test_at_each_rung_the_worse_half_goes_and_no_other_time(trials: Trials) -> None:
    all_of_them, halving = trials(16), Halving()
    left = []
    for _ in range(EPOCHS):
        epoch(halving, all_of_them, range(16))
        left.append(sum(bool(trial.active) for trial in all_of_them))
    # 2 and 4 of 16 epochs are the rungs; those that go are the last, for they are the worst.
    assert left == [16, 8, 8, *[4] * 12, 0]
    assert [trial.stopped is None for trial in all_of_them] == [True] * 4 + [False] * 12
    assert all_of_them[15].stopped == "after 2 of 16 epochs: 15 of 15 others were better"
    assert all_of_them[4].stopped == "after 4 of 16 epochs: 4 of 7 others were better"


@pytest.mark.parametrize("seed", range(20))
def test_the_best_at_a_rung_never_goes_whoever_comes_when(seed: int, trials: Trials) -> None:
    draw, halving = np.random.default_rng(seed), Halving()
    waiting, running = trials(30), []
    best: dict[int, float] = {}
    for _ in range(60):
        running += [waiting.pop() for _ in range(min(len(waiting), draw.integers(0, 5)))]
        active = [trial for trial in running if trial.active]
        scores = draw.integers(0, 6, len(active)).astype(float)  # many are equal
        epoch(halving, active, scores)
        for trial, score in zip(active, scores, strict=True):
            best[trial.epochs] = min(best.get(trial.epochs, np.inf), score)
        for trial, score in zip(active, scores, strict=True):
            assert not (trial.stopped and score == best[trial.epochs])
            if trial.stopped:
                reached = halving.scores[trial.epochs, EPOCHS]
                assert 2 * sum(other < score for other in reached) >= len(reached)


def test_of_equal_ones_none_goes(trials: Trials) -> None:
    all_of_them, halving = trials(9), Halving()
    for _ in range(EPOCHS - 1):
        epoch(halving, all_of_them, [1.0] * 9)
    assert all(trial.active for trial in all_of_them)


@pytest.mark.parametrize("score", [1.0, float("inf")])
def test_one_alone_never_goes(score: float, trials: Trials) -> None:
    (alone,), halving = trials(1), Halving()
    for _ in range(EPOCHS - 1):
        epoch(halving, [alone], [score])
    assert alone.active


@pytest.mark.parametrize("order", list(itertools.permutations(range(4))))
def test_of_those_that_arrive_together_the_order_does_not_matter(
    order: tuple[int, ...], trials: Trials
) -> None:
    all_of_them, halving = trials(4), Halving()
    for _ in range(2):
        epoch(
            halving, [all_of_them[place] for place in order], [[1.0, 2.0, 2.0, 3.0][place] for place in order]
        )
    # Better than the equal ones is one of four, which is not half of them.
    assert [bool(trial.active) for trial in all_of_them] == [True, True, True, False]


def test_one_that_comes_late_is_compared_with_those_before(trials: Trials) -> None:
    first, halving = trials(4), Halving()
    for _ in range(4):
        epoch(halving, first, [1.0, 2.0, 3.0, 4.0])
    worse, better = trials(1), trials(1)
    for late, score in ((worse, 3.5), (better, 1.5)):
        for _ in range(2):
            epoch(halving, late, [score])
    assert worse[0].stopped == "after 2 of 16 epochs: 3 of 4 others were better"
    assert better[0].active


def test_trials_of_other_lengths_are_not_compared(trials: Trials) -> None:
    long, halving = trials(4), Halving()
    for _ in range(2):
        epoch(halving, long, [0.1] * 4)
    (short,) = trials(1)
    short.plan = short.plan.change(epochs=8)
    for _ in range(7):  # its second epoch is a rung of its own
        epoch(halving, [short], [9.0])
    assert short.active


def test_the_default_is_trained_to_its_end_and_stops_nobody(trials: Trials) -> None:
    (default,), others, halving = trials(1, DEFAULT), trials(2), Halving()
    for _ in range(EPOCHS - 1):
        epoch(halving, [default, *others], [9.0, 2.0, 2.0])
    assert default.active
    default.members[0].scores[:] = []
    assert all(trial.active for trial in others)


def test_what_was_recorded_counts_as_if_it_had_just_been_there(trials: Trials) -> None:
    lived, remembered = Halving(), Halving()
    first = trials(4)
    curves: list[list[tuple[float, float]]] = [[] for _ in first]
    for number in range(1, EPOCHS + 1):
        at = [bool(trial.active) for trial in first]
        epoch(lived, first, [1.0, 2.0, 3.0, 4.0])
        for place, curve in enumerate(curves):
            if at[place]:
                curve.append((float(number), place + 1.0))
    for curve in curves:
        remembered.remember(EPOCHS, curve)
    assert {rung: sorted(scores) for rung, scores in remembered.scores.items()} == {
        rung: sorted(scores) for rung, scores in lived.scores.items()
    }
