"""What a training will do, before it does it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from fitwell.models import parameter_count
from fitwell.training.evaluation import evaluating
from fitwell.training.job import Job

FLOAT = 4  # bytes
COPIES = 4  # of each parameter: weight, gradient and Adam's two moments


@dataclass(frozen=True)
class Iterations:
    """The arithmetic of epochs and batches.

    >>> Iterations.of(samples=60_000, batch_size=64, epochs=10).batches_per_epoch
    938
    >>> Iterations.of(samples=60_000, batch_size=64, epochs=10).last_batch
    32
    """

    samples: int
    batch_size: int
    batches_per_epoch: int
    last_batch: int
    steps_per_epoch: int
    epochs: int
    steps: int

    @staticmethod
    def of(samples: int, batch_size: int, epochs: int, accumulate: int = 1) -> Iterations:
        """Count the batches (the last may be partial) and the optimizer steps."""
        batches, rest = divmod(samples, batch_size)
        last = rest or batch_size
        if (
            rest == 1 and batches and batch_size > 1
        ):  # a lone sample joins the batch before: see loop.batches_of
            last = batch_size + 1
        elif rest:
            batches += 1
        steps = -(-batches // accumulate)
        return Iterations(samples, batch_size, batches, last, steps, epochs, steps * epochs)


@dataclass(frozen=True)
class Forecast:
    """What a job will do and need; ``memory`` is an estimate in bytes."""

    iterations: Iterations
    parameters: int
    memory: int

    def lines(self) -> list[str]:
        """The forecast in words."""
        it = self.iterations
        return [
            f"{it.samples:,} training samples in batches of {it.batch_size}: "
            f"{it.batches_per_epoch:,} batches an epoch, the last of {it.last_batch}",
            f"{it.epochs} epochs of {it.steps_per_epoch:,} steps: {it.steps:,} steps in all",
            f"{self.parameters:,} parameters",
            f"about {self.memory / 2**20:,.0f} MB for data, weights, gradients and one batch",
        ]


def forecast(job: Job) -> Forecast:
    """Foresee a job: its iterations, its parameters, and the memory that it will take."""
    plan = job.plan
    iterations = Iterations.of(len(job.data.train), int(plan.batch_size), job.epochs, plan.accumulate)
    parameters = parameter_count(job.model)
    data = sum(values.nbytes for values in job.data.train.fields.values())
    activations = (
        _activations(job) * int(plan.batch_size) * FLOAT * 2
    )  # kept for backward, and their gradients
    return Forecast(iterations, parameters, data + parameters * FLOAT * COPIES + activations)


def _activations(job: Job) -> int:
    """Numbers that the modules put out for one sample."""
    counted = 0

    def count(_module: nn.Module, _inputs: object, output: object) -> None:
        nonlocal counted
        counted += output.numel() if isinstance(output, Tensor) else 0

    leaves = [module for module in job.model.modules() if not list(module.children())]
    hooks = [module.register_forward_hook(count) for module in leaves]
    try:
        # A family may draw random numbers even in evaluation: the training's stream must not notice.
        with torch.random.fork_rng(devices=[]), evaluating(job.model):
            job.family.predict(job.model, job.data.train.take(job.data.train.index[:1]))
    finally:
        for hook in hooks:
            hook.remove()
    return counted
