"""The learning-rate finder: an even ladder, no trace, a rate that trains well."""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from fitwell.data.contract import Data
from fitwell.training.evaluation import measure
from fitwell.training.job import Job
from fitwell.training.learning_rate import (
    FALLBACK,
    HIGHEST,
    LOWEST,
    STEPS,
    WARM_UP,
    RangeTest,
    find_learning_rate,
    smooth,
    suggest,
)
from fitwell.training.loop import Silent, train

Make = Callable[..., Job]


def with_loss(
    job: Job, loss: Callable[[nn.Module], Tensor], score: Callable[[nn.Module], Tensor] | None = None
) -> Job:
    """The job with a loss of the weights alone, and another figure to be measured if need be."""
    job.family = dataclasses.replace(
        job.family,
        loss=lambda model, _batch: loss(model),
        score=lambda model, _outputs, _batch: (score or loss)(model),
    )
    return job


def some(model: nn.Module) -> Tensor:
    return next(model.parameters())


def flat(model: nn.Module) -> Tensor:
    return 1 + 0 * some(model).sum()


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_it_leaves_no_trace(optimizer: str, digits: Data, make: Make) -> None:
    job = make(digits, optimizer=optimizer, norm="batch", dropout=0.3, augment=("shift",), mixup=0.2, ema=0.9)
    job.model.eval()
    before = copy.deepcopy((job.model.state_dict(), job.optimizer.state_dict(), job.schedule.state_dict()))
    stream = torch.get_rng_state()
    first = find_learning_rate(job)
    after = (job.model.state_dict(), job.optimizer.state_dict(), job.schedule.state_dict())
    for name, value in before[0].items():
        assert torch.equal(value, after[0][name])
    assert before[1:] == after[1:]
    assert all(p.grad is None for p in job.model.parameters())
    assert not job.model.training
    assert torch.equal(torch.get_rng_state(), stream)
    assert (job.step, job.position, float(job.tally)) == (0, 0, 0.0)
    torch.manual_seed(77)
    assert find_learning_rate(job) == first  # it does not depend on the stream either


def test_the_ladder_is_even_in_the_logarithm(digits: Data, make: Make) -> None:
    job = with_loss(make(digits), flat)
    found = find_learning_rate(job)
    assert len(found.rates) == len(found.losses) == len(found.smoothed) == STEPS
    assert found.rates[0] == LOWEST
    assert found.rates[-1] == pytest.approx(HIGHEST)
    ratios = [b / a for a, b in pairwise(found.rates)]
    assert ratios == pytest.approx([ratios[0]] * (STEPS - 1))


def test_a_batch_of_one_is_a_batch(digits: Data, make: Make) -> None:
    assert len(find_learning_rate(make(digits, batch_size=1)).rates) > 10


def test_the_optimizer_uses_the_ladder(digits: Data, make: Make) -> None:
    """With a constant gradient of 1, plain SGD goes down by the sum of the rates."""
    seen: list[float] = []

    def loss(model: nn.Module) -> Tensor:
        seen.append(float(some(model)[0, 0].detach()))
        return some(model)[0, 0] * 1.0

    job = with_loss(make(digits, optimizer="sgd", momentum=0.0, weight_decay=0.0), loss, flat)
    found = find_learning_rate(job)
    assert [a - b for a, b in pairwise(seen[WARM_UP:])] == pytest.approx(found.rates[:-1], abs=1e-5, rel=1e-3)


@pytest.mark.parametrize("bad", ["explodes", "nan", "inf"])
def test_it_stops_when_the_loss_diverges(bad: str, digits: Data, make: Make) -> None:
    calls = [0]

    def score(model: nn.Module) -> Tensor:
        calls[0] += 1
        late = max(calls[0] - 50, 0)
        value = {"explodes": 2.0**late, "nan": math.nan if late else 1.0, "inf": math.inf if late else 1.0}[
            bad
        ]
        return (value + 0 * some(model).sum()) * (2 - min(calls[0], 50) / 50)

    found = find_learning_rate(with_loss(make(digits), flat, score))
    assert 50 <= len(found.rates) < 60
    assert all(map(math.isfinite, found.losses))
    assert found.suggestion < found.rates[-1]


def test_a_loss_that_falls_nowhere_gives_the_usual_rate_and_says_why(digits: Data, make: Make) -> None:
    rising = iter(range(1000))
    for score in (flat, lambda model: next(rising) + flat(model), lambda model: 1e-4 * flat(model) - 1):
        found = find_learning_rate(with_loss(make(digits), flat, score))
        assert found.suggestion == FALLBACK
        assert "0.001" in found.reasons[0]
    found = find_learning_rate(with_loss(make(digits), lambda model: math.nan * flat(model)))
    assert (found.rates, found.suggestion) == ([], FALLBACK)


def test_a_part_smaller_than_a_batch_is_gone_through_again(digits: Data, make: Make) -> None:
    assert len(find_learning_rate(make(digits, batch_size=512)).rates) > 50


@pytest.mark.parametrize("optimizer", ["adamw", "sgd", "rmsprop"])
def test_its_rate_trains_about_as_well_as_the_best_of_a_grid(
    optimizer: str, whole_digits: Data, make: Make
) -> None:
    def loss(rate: float) -> float:
        job = make(whole_digits, optimizer=optimizer, schedule="one-cycle", lr=rate, epochs=3)
        train(job, Silent())
        assert whole_digits.validation is not None
        return measure(job.family, job.model, whole_digits.validation, whole_digits.shape.target)["loss"]

    found = find_learning_rate(make(whole_digits, optimizer=optimizer))
    grid = sorted(loss(10.0**power) for power in (-5, -4, -3, -2, -1, 0))
    mine = loss(found.suggestion)
    # clearly better than the typical rate of the grid, and near its best
    assert mine < grid[0] + 0.2 * (grid[-1] - grid[0])
    assert mine < grid[2]


@pytest.mark.parametrize("steepness", [0.1, 1.0, 10.0])
def test_on_a_parabola_it_stays_below_the_rate_that_diverges(
    steepness: float, digits: Data, make: Make
) -> None:
    """Gradient descent on s x^2 / 2 converges for rates below 2 / s and diverges above."""

    def loss(model: nn.Module) -> Tensor:
        return steepness / 2 * (some(model) - 1).square().sum()

    found = find_learning_rate(with_loss(make(digits, optimizer="sgd", momentum=0.0, weight_decay=0.0), loss))
    assert 2 / steepness / 1000 < found.suggestion < 2 / steepness


@given(st.lists(st.floats(-100, 100), min_size=1, max_size=50))
def test_smoothing_is_the_weighted_mean(losses: list[float]) -> None:
    for number, value in enumerate(smooth(losses), start=1):
        shares = [0.9 ** (number - 1 - i) for i in range(number)]
        mean = sum(s * v for s, v in zip(shares, losses, strict=False)) / sum(shares)
        assert value == pytest.approx(mean, abs=1e-9)


def test_the_suggestion_lies_between_the_steepest_fall_and_the_lowest_point() -> None:
    rates = [10 ** (-6 + i / 10) for i in range(71)]
    curve = [2 - 1.5 / (1 + math.exp(-3 * (math.log10(r) + 3))) + max(0.0, math.log10(r)) ** 2 for r in rates]
    rate, reasons = suggest(rates, curve)
    lowest = rates[curve.index(min(curve))]
    assert rate == pytest.approx(math.sqrt(1e-3 * lowest), rel=0.15)  # the sigmoid is steepest at 1e-3
    assert any(f"{rate:.2g}" in reason for reason in reasons)
    assert len(reasons) == 3


def test_it_is_what_the_figure_needs(digits: Data, make: Make) -> None:
    found: Any = find_learning_rate(make(digits))
    assert isinstance(found, RangeTest)
    assert found.smoothed == smooth(found.losses)
