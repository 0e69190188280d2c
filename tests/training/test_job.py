"""Early stopping and the best weights, on validation losses made by hand."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from fitwell.data.contract import Data
from fitwell.training import loop
from fitwell.training.job import Job
from fitwell.training.loop import Silent, train

Make = Callable[..., Job]


class Weights(Silent):
    """Keeps the weights that were evaluated at the end of each epoch."""

    def __init__(self) -> None:
        self.seen: list[dict[str, Tensor]] = []

    def epoch(self, job: Job, row: dict[str, float]) -> None:
        with job.evaluated_weights():
            self.seen.append({k: v.clone() for k, v in job.model.state_dict().items()})


def trained(job: Job, losses: list[float], monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Tensor]]:
    """Train a job whose validation part has these losses; the weights of each epoch."""

    def measure(_family: Any, _model: Any, part: Any, _target: Any) -> dict[str, float]:
        return {"loss": losses[job.epoch] if part is job.data.validation else 0.0}

    monkeypatch.setattr(loop, "measure", measure)
    weights = Weights()
    train(job, weights)
    return weights.seen


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


CASES = [
    # losses, patience, min_delta -> epochs trained, best epoch
    pytest.param([1.0, 0.5, 0.6, 0.7, 0.4, 0.3], 2, 0.0, 4, 2, id="stops before a later, better one"),
    pytest.param([1.0, 0.5, 0.6, 0.4, 0.6, 0.3], 2, 0.0, 6, 6, id="waits within its patience"),
    pytest.param([1.0, 0.5, 0.5, 0.5, 0.1, 0.1], 2, 0.0, 4, 2, id="an equal loss is no improvement"),
    pytest.param([1.0, 0.95, 0.92, 0.89, 0.5, 0.1], 3, 0.1, 6, 6, id="min_delta counts from the best kept"),
    pytest.param([1.0, 0.95, 0.92, 0.91, 0.5, 0.1], 3, 0.1, 4, 1, id="less than min_delta is no improvement"),
    pytest.param([1.0, 2.0, 3.0, 4.0, 5.0, 6.0], None, 0.0, 6, 1, id="without patience it goes on"),
    pytest.param([1.0, 2.0, 0.5, 4.0, 5.0, 0.1], 1, 0.0, 2, 1, id="patience of one"),
]


@pytest.mark.parametrize("ema", [None, 0.9])
@pytest.mark.parametrize(("losses", "patience", "min_delta", "epochs", "best"), CASES)
def test_it_stops_in_time_and_keeps_the_best(  # noqa: PLR0917 - a table
    losses: list[float], patience: int | None, min_delta: float, epochs: int, best: int, ema: float | None,
    digits: Data, make: Make, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    job = make(digits, epochs=6, patience=patience, min_delta=min_delta, ema=ema, batch_size=128)
    weights = trained(job, losses, monkeypatch)
    assert (job.epoch, job.best_epoch, job.best_score) == (epochs, best, losses[best - 1])
    assert len(weights) == epochs
    job.restore_best()
    assert same(dict(job.model.state_dict()), weights[best - 1])
    assert best == epochs or not same(weights[-1], weights[best - 1])


def test_the_metric_may_decide_instead(digits: Data, make: Make) -> None:
    job = make(digits, monitor="metric")
    for epoch, (loss, accuracy) in enumerate([(0.5, 0.7), (0.4, 0.6), (0.9, 0.8), (0.1, 0.8)], start=1):
        job.epoch = epoch
        job.remember({"loss/val": loss, "accuracy/val": accuracy})
    assert (job.best_epoch, job.best_score) == (3, -0.8)


def test_without_a_metric_the_loss_decides(unlabelled: Data, make: Make) -> None:
    job = make(unlabelled, model="autoencoder", monitor="metric")
    for epoch, loss in enumerate([0.5, 0.2, 0.4], start=1):
        job.epoch = epoch
        job.remember({"loss/val": loss})
    assert (job.best_epoch, job.best_score) == (2, 0.2)


def test_without_validation_it_trains_to_the_end_and_keeps_the_last(digits: Data, make: Make) -> None:
    data = dataclasses.replace(digits, validation=None)
    job, weights = make(data, epochs=4, patience=1), Weights()
    assert job.patience is None
    train(job, weights)
    assert (job.epoch, job.best_epoch, job.best_weights) == (4, 0, {})
    job.restore_best()
    assert same(dict(job.model.state_dict()), weights.seen[-1])


def test_without_validation_the_moving_average_is_kept(digits: Data, make: Make) -> None:
    job = make(dataclasses.replace(digits, validation=None), ema=0.9)
    train(job, Silent())
    assert job.ema is not None
    last = {k: v.clone() for k, v in job.model.state_dict().items()}
    job.restore_best()
    assert same(dict(job.model.state_dict()), job.ema.average)
    assert not same(dict(job.model.state_dict()), last)


def test_the_training_sample_is_as_large_as_the_validation_part_and_of_the_training_part(
    digits: Data, make: Make
) -> None:
    job = make(digits)
    sample = job.train_sample.index.tolist()
    assert len(set(sample)) == 100
    assert set(sample) <= set(digits.train.index.tolist())
    assert sample != digits.train.index[:100].tolist()
    assert make(digits).train_sample.index.tolist() == sample
