"""The end of a training: the best weights, the figures of every part, the verdict, the saved model."""

from __future__ import annotations

import time
from typing import Any, cast

import torch
from torch import Tensor, nn

from fitwell.diagnosing import diagnose
from fitwell.models import parameter_count
from fitwell.run import Run
from fitwell.run.files import write_json
from fitwell.training.artifact import Fitted, save_model
from fitwell.training.baseline import suits, train_baseline
from fitwell.training.evaluation import main_metric, measure, outputs_of
from fitwell.training.held_out import further_figures, held_out
from fitwell.training.job import Job
from fitwell.training.observer import Observer
from fitwell.verdict import best_of


def final_figures(job: Job) -> dict[str, float]:
    """Loss and metrics of every part for the weights that were kept: ``test/accuracy``, ..."""
    figures: dict[str, float] = {}
    target = job.data.shape.target
    for name, part in job.data.parts.items():
        found = measure(job.family, job.model, part, target)
        if target.kind != "none" and name != "train":
            outputs = outputs_of(job.family, job.model, part).cpu()
            found |= further_figures(outputs, part.fields["y"].index_select(0, part.index).cpu(), target)
        figures |= {f"{name}/{metric}": value for metric, value in found.items()}
    return figures


def conclude(job: Job, run: Run, observer: Observer, seconds: float) -> None:
    """Measure, judge and save a job whose last epoch is over; the run is done afterwards."""
    started = time.monotonic()
    job.restore_best()
    metrics = final_figures(job)
    if suits(job.data):
        observer.say("training gradient boosting on the same parts, to compare")
        baseline = train_baseline(
            job.data, job.plan.seed, int(job.plan.threads), balanced=bool(job.plan.loss.class_weights)
        )
        metrics |= {f"baseline/{name}": value for name, value in baseline.items()}
    save_model(run.path / "model", job.plan, Fitted(job.model, job.family, job.data.shape, job.data.encoder))
    write_json(run.path / "evaluation.json", held_out(job.family, job.model, job.data))
    result: dict[str, Any] = {
        "run": str(run.path),
        "seconds": round(seconds + time.monotonic() - started, 3),
        "epochs": job.epoch,
        "steps": job.step,
        "parameters": parameter_count(job.model),
        "metrics": metrics,
        "best_epoch": job.best_epoch or job.epoch,
        "judged": judged(job, metrics),
    }
    run.update(result=result)  # the diagnosis reads it
    result |= diagnose(run).result
    run.update(state="done", finished=time.time(), metric=main_metric(job.data.shape.target), result=result)


def judged(job: Job, metrics: dict[str, float]) -> dict[str, Any]:
    """What the verdict needs beside the curves, as JSON; see ``Curves``."""
    name = main_metric(job.data.shape.target)
    return {
        "chance": _chance(job),
        "metric": best_of(metrics, name) if name != "loss" else None,
        # An accuracy is a share of samples, whose error follows from their number; R2 is not.
        "validation_samples": len(job.data.validation) if job.data.validation and name == "accuracy" else 0,
        "baseline": metrics.get(f"baseline/val/{name}"),
    }


def _chance(job: Job) -> float | None:
    """The loss on the training sample of the best answer that does not look at the input."""
    target, sample = job.data.shape.target, job.train_sample
    if target.kind == "none":
        return None
    y = sample.fields["y"].index_select(0, sample.index)
    loss = cast("nn.Module", job.model.criterion)
    answers = [y.mean(0), y.median(0).values] if target.kind == "number" else [_best_logits(job, y)]
    return min(float(loss(answer.expand(len(y), target.outputs), y)) for answer in answers)


def _best_logits(job: Job, y: Tensor) -> Tensor:
    """(outputs,) logits of the shares of the classes, weighted and smoothed as the loss does it."""
    names, smoothing = len(job.data.shape.target.names), job.plan.loss.label_smoothing
    weights = getattr(job.model.criterion, "weights", None)
    counts = torch.bincount(y.view(-1).long(), minlength=names) * (1.0 if weights is None else weights)
    shares = (1 - smoothing) * counts / counts.sum() + smoothing / names
    logits = shares.clamp_min(1e-12).log()
    return logits if job.data.shape.target.kind == "classes" else (logits[1] - logits[0]).view(1)
