"""The training loop: a page of a textbook."""

from __future__ import annotations

import math
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

import torch
from torch import Tensor, nn

from fitwell.errors import DivergedError
from fitwell.shape import Batch
from fitwell.training.augmentation import augment, mixup
from fitwell.training.evaluation import measure
from fitwell.training.job import Job


class Recorder(Protocol):
    """What is told of each step and each epoch."""

    def step(self, job: Job) -> None:
        """After an optimizer step."""

    def epoch(self, job: Job, row: dict[str, float]) -> None:
        """After an epoch was measured."""


class Silent:
    """Records nothing."""

    def step(self, job: Job) -> None:
        """Nothing."""

    def epoch(self, job: Job, row: dict[str, float]) -> None:
        """Nothing."""


def train(job: Job, recorder: Recorder) -> None:
    """Train a job to its end, from wherever it is.

    A step averages the gradients of ``plan.accumulate`` batches, weighted by their samples, so that it is the
    step of one large batch. Several processes each take a share of it: see ``distributed``.
    """
    family, model, optimizer, schedule = job.family, job.model, job.optimizer, job.schedule
    parameters, clip = list(model.parameters()), job.plan.regularization.clip
    take, context = job.data.train.take, precision(job)
    while not job.finished:
        model.train()
        for batches in job.group.shares(job, steps_of_epoch(job)):
            # zero_grad, without its record for the profiler, which costs 4 % of a small step
            for parameter in parameters:
                parameter.grad = None
            for index, share in batches:
                batch = vary(job, take(index))
                with context:
                    loss = family.loss(model, batch)
                (loss if share == 1 else loss * share).backward()
                value = loss.detach()
                job.count(value, len(index))
            job.group.combine(job)
            if clip is not None:
                job.gradient_norm = nn.utils.clip_grad_norm_(parameters, clip)
            optimizer.step()
            schedule.step()
            if job.ema is not None:
                job.ema.update(model)
            job.step += 1
            job.position += 1
            recorder.step(job)
        recorder.epoch(job, end_epoch(job))


def steps_of_epoch(job: Job) -> list[list[tuple[Tensor, float]]]:
    """For each step that remains of this epoch, its batches: sample indices, and their share of the step.

    The order depends on the seed and the number of the epoch alone, so it is the same after a resume.
    """
    generator = torch.Generator().manual_seed(job.plan.seed * 1_000_003 + job.epoch)
    order = shuffled(job.data.train.index, generator)
    size, group = int(job.plan.batch_size), job.plan.accumulate
    batches = batches_of(order, size)
    if group == 1:
        return [[(index, 1.0)] for index in batches[job.position :]]
    steps = [batches[start : start + group] for start in range(job.position * group, len(batches), group)]
    return [[(index, len(index) / sum(map(len, step))) for index in step] for step in steps]


def shuffled(index: Tensor, generator: torch.Generator) -> Tensor:
    """The sample indices in an order drawn on the CPU, so that it is the same on every device."""
    return index[torch.randperm(len(index), generator=generator).to(index.device)]


def batches_of(order: Tensor, size: int) -> tuple[Tensor, ...]:
    """Sample indices cut into batches. A last batch of one sample joins the one before.

    One sample has no variance: batch norm could not be computed.
    """
    lone = len(order) % size == 1 and len(order) > size > 1
    if not lone:
        return torch.split(order, size)
    *whole, before, last = torch.split(order, size)
    return (*whole, torch.cat([before, last]))


def vary(job: Job, batch: Batch) -> Batch:
    """The batch as the model is to see it now: augmented, mixed, or as it is."""
    regularization = job.plan.regularization
    if regularization.augment:
        batch = batch | {"x": augment(batch["x"], tuple(regularization.augment))}
    if regularization.mixup:
        batch = mixup(batch, regularization.mixup, job.data.shape.target.outputs)
    return batch


def precision(job: Job) -> AbstractContextManager[object]:
    """bf16 autocast where the plan asks for it."""
    if job.plan.precision == "fp32":
        return nullcontext()
    return torch.autocast(job.device.type, dtype=torch.bfloat16)


def end_epoch(job: Job) -> dict[str, float]:
    """Measure, remember the best weights, decide whether to go on; return the epoch's figures."""
    row = {"loss/optimized": float(job.tallied()) / len(job.data.train), "lr": job.schedule.lr}
    if not math.isfinite(row["loss/optimized"]):
        raise DivergedError(
            f"the loss became {row['loss/optimized']} in epoch {job.epoch + 1}",
            "finite numbers",
            f"try a lower rate (--lr {job.schedule.peaks[0] / 10:.2g}) or clip the gradient (--clip 1)",
        )
    with job.evaluated_weights():
        for part, split in (("train", job.train_sample), ("val", job.data.validation)):
            if split is not None:
                figures = measure(job.family, job.model, split, job.data.shape.target)
                row |= {f"{name}/{part}": value for name, value in figures.items()}
        row = job.group.same(row)  # all processes decide by the same figures
        job.epoch, job.position = job.epoch + 1, 0
        job.tally.zero_()
        job.remember(row)
    job.schedule.end_epoch(row.get("loss/val", row["loss/optimized"]))
    return row
