"""The end of a training: figures of the weights that were kept, and everything saved."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.dummy import DummyClassifier
from sklearn.metrics import log_loss

import fitwell
from fitwell.data.contract import Data
from fitwell.plan import Plan
from fitwell.run import create_run
from fitwell.training import conclude as module
from fitwell.training.artifact import load_model
from fitwell.training.conclude import conclude, final_figures
from fitwell.training.evaluation import measure
from fitwell.training.job import Job
from fitwell.training.loop import Silent, train
from fitwell.training.observer import Quiet
from fitwell.training.prepare import class_counts
from fitwell.training.recording import RunRecorder

Make = Callable[..., Job]


class Listening(Quiet):
    """Keeps what is said."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, text: str) -> None:
        self.said.append(text)


def concluded(job: Job, folder: Path, observer: Quiet | None = None) -> fitwell.Run:
    run = create_run(job.plan, "test", folder)
    recorder = RunRecorder(run, job, Quiet(), None)
    train(job, recorder)
    recorder.save(job)
    conclude(job, run, observer or Quiet(), 3.0)
    return run


def test_the_figures_are_those_of_the_weights_that_were_kept(
    digits: Data, make: Make, tmp_path: Path
) -> None:
    job = make(digits, epochs=4, lr=0.3)  # so high a rate that the last epoch is hardly the best
    run = concluded(job, tmp_path)
    saved = load_model(run.path / "model")
    for part, split in digits.parts.items():
        for name, value in measure(saved.family, saved.model, split, digits.shape.target).items():
            assert run.metrics[f"{part}/{name}"] == pytest.approx(value, rel=1e-6)
    losses = [value for _, value in run.curve("loss/val")]
    assert run.metrics["val/loss"] == pytest.approx(min(losses), rel=1e-6)
    assert run.result["best_epoch"] == losses.index(min(losses)) + 1


def test_a_finished_run_holds_everything(digits: Data, make: Make, tmp_path: Path) -> None:
    job = make(digits)
    run = concluded(job, tmp_path)
    assert (run.state, run.info["metric"]) == ("done", "accuracy")
    result = run.result
    assert (result["epochs"], result["steps"], result["run"]) == (2, 10, str(run.path))
    assert result["parameters"] == 64 * 16 + 16 + 16 * 10 + 10
    assert result["seconds"] >= 3.0
    assert set(result["metrics"]) == {
        *(f"{part}/{name}" for part in ("train", "val", "test") for name in ("loss", "accuracy")),
        "val/balanced_accuracy",
        "test/balanced_accuracy",
    }
    assert np.sum(run.evaluation["confusion"]) == 100
    findings = json.loads((run.path / "findings.json").read_text())
    assert findings["verdict"] == run.verdict
    assert findings["schema"] == 1


def test_without_a_validation_part_the_last_weights_are_kept(
    digits: Data, make: Make, tmp_path: Path
) -> None:
    run = concluded(make(dataclasses.replace(digits, validation=None)), tmp_path)
    assert run.result["best_epoch"] == 2
    assert run.verdict == "too-short-to-tell"
    assert "val/loss" not in run.metrics


def test_structured_data_is_compared_with_gradient_boosting(
    table: Data, digits: Data, make: Make, tmp_path: Path
) -> None:
    observer = Listening()
    run = concluded(make(table), tmp_path, observer)
    assert {f"baseline/{part}/accuracy" for part in table.parts} <= set(run.metrics)
    assert {"test/auc", "val/auc"} <= set(run.metrics)
    assert "gradient boosting" in observer.said[0]
    assert not any("baseline" in name for name in concluded(make(digits), tmp_path).metrics)


@pytest.mark.parametrize("family", ["autoencoder", "rbm"])
def test_a_run_without_a_target_ends_as_well(
    family: str, unlabelled: Data, make: Make, tmp_path: Path
) -> None:
    run = concluded(make(unlabelled, model=family), tmp_path)
    assert set(run.metrics) == {"train/loss", "val/loss", "test/loss"}
    assert (run.state, run.info["metric"], run.evaluation) == ("done", "loss", {})


def test_chance_is_the_loss_of_the_best_constant_answer(
    digits: Data, table: Data, numbers: Data, make: Make
) -> None:
    for data in (digits, table):
        job = make(data)
        y = data.train.fields["y"][job.train_sample.index].numpy().ravel()
        constant = DummyClassifier(strategy="prior").fit(y[:, None], y)
        chance = module._chance(job)
        assert chance == pytest.approx(log_loss(y, constant.predict_proba(y[:, None])), rel=1e-6)
    job = make(numbers)
    y = numbers.train.fields["y"][job.train_sample.index]
    assert module._chance(job) == pytest.approx(float(y.var(correction=0)), rel=1e-3)
    middle = float((y - y.median()).abs().mean())
    assert module._chance(make(numbers, function="mae")) == pytest.approx(middle, rel=1e-5)


@pytest.mark.parametrize("changes", [{"class_weights": True}, {"label_smoothing": 0.1}])
def test_chance_knows_of_weights_and_smoothing(
    changes: dict[str, Any], digits: Data, table: Data, make: Make
) -> None:
    """No constant answer is better: the gradient at the best one is zero."""
    for data in (digits, table):
        job = make(data, **changes)
        y = data.train.fields["y"][job.train_sample.index]
        logits = module._best_logits(job, y).requires_grad_()
        loss = job.model.criterion(logits.expand(len(y), -1), y)  # type: ignore[operator]
        loss.backward()
        assert logits.grad is not None
        assert logits.grad.abs().max() < 1e-5
        assert module._chance(job) == pytest.approx(float(loss.detach()), rel=1e-6)


def test_figures_leave_the_model_as_it_is(digits: Data, make: Make) -> None:
    job, stream = make(digits, dropout=0.5, norm="batch"), torch.get_rng_state()
    train(job, Silent())
    stream = torch.get_rng_state()
    assert final_figures(job) == final_figures(job)
    assert torch.equal(torch.get_rng_state(), stream)
    assert all(math.isfinite(value) for value in final_figures(job).values())
    assert class_counts(digits) is not None


@pytest.mark.parametrize("order", ["time", "group"])
def test_parts_that_lack_a_class_are_no_obstacle(order: str, tmp_path: Path) -> None:
    """A class that appears only late is in no training part that is divided by time."""
    draw, count = np.random.default_rng(0), 300
    when = np.arange(count)
    frame: Any = pd.DataFrame(
        {"a": draw.normal(size=count), "when": when, "y": draw.choice(["p", "q"], count)}
    )
    frame.loc[when >= 230, "y"] = "r"
    if order == "group":
        frame["when"] = when // 40
    plan = Plan(data=frame).change(target="y", lr=0.01, epochs=2, threads=1, hidden=(4,), **{order: "when"})
    run = fitwell.fit(plan, runs=tmp_path)
    assert run.state == "done"
