"""From a plan to a job: the same plan gives the same job."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest
import torch

from fitwell.data.contract import Data
from fitwell.plan import Plan
from fitwell.training import prepare as module
from fitwell.training import threads
from fitwell.training.job import Job
from fitwell.training.learning_rate import find_learning_rate
from fitwell.training.prepare import class_counts, load, make_job, prepare

Make = Callable[..., Job]
PLAN = Plan(data="digits").change(model="mlp", hidden=(16,), device="cpu", batch_size=64, threads=1)


@pytest.fixture
def two_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "available", lambda: 2)


def test_the_threads_are_measured_and_kept_with_the_reason(
    two_cores: None, digits: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(threads, "fastest", lambda step, most: (step(), (most, {1: 0.002, most: 0.001}))[1])
    job, reasons = prepare(PLAN.change(threads="auto", lr=0.01), digits, said.append)
    assert job.plan.threads == torch.get_num_threads() == 2
    assert "1: 2.00 ms, 2: 1.00 ms" in reasons["threads"]
    assert "threads" in said[0]


def test_the_rate_is_found_and_kept_with_the_reason(digits: Data) -> None:
    said: list[str] = []
    job, reasons = prepare(PLAN, digits, said.append)
    rate = job.plan.optimizer.lr
    assert rate == find_learning_rate(make_job(job.plan, digits)).suggestion
    assert f"{rate:.2g}" in reasons["optimizer.lr"]
    assert job.schedule.peaks == [rate] * len(job.optimizer.param_groups)
    assert "rate" in said[0]


def test_what_is_given_is_not_measured(digits: Data, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("find_learning_rate", "_choose_threads"):
        monkeypatch.setattr(module, name, lambda *_: pytest.fail("measured"))
    job, reasons = prepare(PLAN.change(lr=0.1), digits)
    assert job.plan.optimizer.lr == 0.1
    assert not reasons.keys() & {"threads", "optimizer.lr"}


def test_a_prepared_plan_gives_the_same_job_again(digits: Data) -> None:
    """Resuming depends on it: nothing that was measured or found may leave a trace in the job."""
    first, _ = prepare(PLAN, digits)
    stream = torch.get_rng_state()
    second, _ = prepare(Plan.from_json(first.plan.to_json()), digits)
    assert second.plan == first.plan
    assert torch.equal(torch.get_rng_state(), stream)
    for name, value in first.model.state_dict().items():
        assert torch.equal(second.model.state_dict()[name], value)
    assert (first.step, first.epoch, first.best_epoch) == (0, 0, 0)
    assert not first.optimizer.state


def test_each_seed_has_its_own_weights(digits: Data, make: Make) -> None:
    one, other = make(digits, seed=1).model, make(digits, seed=2).model
    assert not torch.equal(one.layers[-1].weight, other.layers[-1].weight)


def test_the_target_that_was_chosen_is_kept(table: Data, digits: Data) -> None:
    job, _ = prepare(PLAN.change(lr=0.1), table)
    assert job.plan.data.target == "bought"
    again, _ = prepare(job.plan, table)
    assert again.plan == job.plan


@pytest.mark.parametrize("family", ["autoencoder", "rbm"])
def test_a_family_without_a_target_loads_none(family: str) -> None:
    data = load(PLAN.change(model=family))
    assert data.shape.target.kind == "none"
    assert "y" not in data.train.fields
    assert load(PLAN).shape.target.kind == "classes"


def test_classes_are_counted_in_the_training_part_alone(digits: Data, table: Data, numbers: Data) -> None:
    counts = class_counts(digits)
    y = digits.train.fields["y"][digits.train.index]
    assert counts is not None
    assert counts.tolist() == [int((y == k).sum()) for k in range(10)]
    assert int(counts.sum()) == 300
    binary = class_counts(table)
    assert binary is not None
    assert (len(binary), int(binary.sum())) == (2, len(table.train))
    assert class_counts(numbers) is None


def test_class_weights_come_from_the_training_part(digits: Data, make: Make) -> None:
    weights, counts = make(digits, class_weights=True).model.criterion.weights, class_counts(digits)
    assert counts is not None
    torch.testing.assert_close(weights, 300 / (10 * counts.float()))


def test_patience_needs_a_validation_part(digits: Data, make: Make) -> None:
    assert make(digits, patience=4).patience == 4
    assert make(dataclasses.replace(digits, validation=None), patience=4).patience is None
    assert make(digits, patience=None).patience is None
