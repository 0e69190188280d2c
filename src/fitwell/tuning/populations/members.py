"""Members: trainings that may become one population, and what they must have in common for that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from fitwell.data.contract import Data
from fitwell.models import ACTIVATIONS, supervised_loss
from fitwell.models.mlp import Codes
from fitwell.plan import Plan
from fitwell.training.job import Job
from fitwell.training.prepare import make_job
from fitwell.tuning.populations.measuring import OBJECTIVE
from fitwell.tuning.populations.stacking.layers.codes import columns
from fitwell.tuning.populations.streams import drawing_from

Form = tuple[object, ...]


@dataclass
class Member:
    """A training within a population: a job, and the random stream that it draws from.

    Args:
        job: at its beginning, or as it was when the population's membership changed.
        stream: what dropout, augmentation and mixup draw from: the state that torch's own generator would have.
        scores: the objective after each epoch, lower is better.
        kept_row: the figures of the epoch whose weights are kept.
        failed: why it ended, if it did not end well.
    """

    job: Job
    stream: torch.Generator
    scores: list[float] = field(default_factory=list)
    kept_row: Mapping[str, float] = field(default_factory=dict)
    failed: str | None = None

    @property
    def finished(self) -> bool:
        """Whether there is nothing left to train."""
        return self.failed is not None or self.job.finished

    def add(self, row: Mapping[str, float]) -> None:
        """Keep the figures of an epoch that is over, whose weights were remembered if they are the best."""
        self.scores.append(row.get(f"{OBJECTIVE}/val", row[f"{OBJECTIVE}/train"]))
        if self.job.best_epoch in (0, self.job.epoch):
            self.kept_row = row

    @property
    def best(self) -> float | None:
        """The objective of the weights that are kept."""
        if not self.scores or self.failed:
            return None
        kept = self.job.best_epoch or self.job.epoch
        return self.scores[kept - 1]


def member(plan: Plan, data: Data) -> Member:
    """A member at its beginning, the very job that ``fit`` would train alone.

    Args:
        plan: decided throughout.
        data: on the plan's device.
    """
    stream = torch.Generator()
    with drawing_from(stream):
        job = make_job(plan, data)  # seeds torch's own generator, which draws the weights
    return Member(job, stream)


def form(job: Job) -> Form:
    """What members of one population have in common; widths, rates and the like may differ."""
    plan = job.plan
    modules = tuple((name, _kind(module)) for name, module in job.model.named_modules())
    parameters = tuple((name, p.ndim, p.requires_grad) for name, p in job.model.named_parameters())
    fields = tuple((name, values.shape[1:], values.dtype) for name, values in job.data.train.fields.items())
    return (
        plan.model.family, modules, parameters, fields, plan.device,
        plan.optimizer.algorithm.lower(), repr(plan.optimizer.options), plan.batch_size, plan.accumulate,
        bool(plan.regularization.mixup), bool(plan.regularization.ema),
    )  # fmt: skip


def _kind(module: nn.Module) -> object:
    """What a module must have in common with those that it is stacked with, apart from its weights."""
    if type(module) in ACTIVATIONS.values():
        return "activation"
    if isinstance(module, Codes):
        return columns(module)
    return type(module)


def obstacle(job: Job) -> str | None:
    """Why a job can't be a member of a population whatever the others are; None if it can."""
    if job.plan.precision != "fp32":
        return f"{job.plan.precision} is rounded differently in a stack"
    if job.family.loss is not supervised_loss:
        return f"the family {job.plan.model.family} has a loss of its own"
    return None


def same_batches(members: Sequence[Member]) -> bool:
    """Whether all members meet the same samples in the same order, so that one batch serves all."""
    first = members[0].job
    return all(
        one.job.plan.seed == first.plan.seed
        and one.job.epoch == first.epoch
        and one.job.position == first.position
        and _same(one.job.data.train.index, first.data.train.index)
        and one.job.data.train.fields is first.data.train.fields
        and not one.job.plan.regularization.augment
        and not one.job.plan.regularization.mixup
        for one in members
    )


def _same(a: Tensor, b: Tensor) -> bool:
    return a is b or (a.shape == b.shape and bool((a == b).all()))
