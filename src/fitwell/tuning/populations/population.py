"""A population: many trainings of one form, as one model with a leading dimension on one copy of the data.

Each member is what it would be alone: the same initial weights, batches, masks, rates and decisions, equal but for the
rounding of sums that are taken in another order. Nothing of one member reaches another.

Shape legend: K members, P weights, B samples of a batch, S steps.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Iterator, Sequence
from contextlib import nullcontext

import torch
from torch import Tensor

from fitwell.shape import Batch
from fitwell.training.loop import steps_of_epoch, vary
from fitwell.tuning.populations.ema import RowsEma
from fitwell.tuning.populations.measuring import measure_members
from fitwell.tuning.populations.members import Member, same_batches
from fitwell.tuning.populations.stacked import Stacked
from fitwell.tuning.populations.stacking.optimizers import stacked_optimizer
from fitwell.tuning.populations.stacking.rows import Rows
from fitwell.tuning.populations.streams import drawing_from

TRIES = 3  # steps that are timed

Step = list[tuple[Tensor, float]]  # batches of sample indices, and their share of the step


class Population:
    """Members that train in step.

    Args:
        members: of one form, see ``members.form``; each between two epochs.

    Raises:
        Unstackable: their models can't be stacked.
    """

    def __init__(self, members: Sequence[Member]) -> None:
        # Those with most steps first: when the others are through with their epoch, the first rows go on.
        # Those of one activation together: then one call does for all of them.
        self.members = sorted(
            members, key=lambda one: (-len(one.job.data.train), one.job.plan.model.activation)
        )
        self.jobs = [one.job for one in self.members]
        self.rows = Rows([job.model for job in self.jobs], [one.stream for one in self.members])
        self.optimizer = stacked_optimizer(
            [job.plan.optimizer for job in self.jobs], self.rows, [job.optimizer for job in self.jobs]
        )
        self.ema = RowsEma(self.rows, self.jobs) if self.jobs[0].ema is not None else None
        self.device = self.jobs[0].device
        kind = torch.float32 if self.device.type == "mps" else torch.float64
        self.tally_K = torch.zeros(len(self.jobs), dtype=kind, device=self.device)  # see ``Job.tally``
        self._stacks: dict[tuple[int, int], Stacked] = {}
        clips = [job.plan.regularization.clip or math.inf for job in self.jobs]
        self.clip_K1 = torch.tensor(clips, device=self.device)[:, None]
        self.clipped = any(math.isfinite(clip) for clip in clips)
        self.stack(0, len(members))

    def stack(self, first: int, last: int) -> Stacked:
        """The stacked model of some consecutive members, in training mode if it is new."""
        if (first, last) not in self._stacks:
            self._stacks[first, last] = Stacked(self.rows.between(first, last), self.jobs[first:last])
        return self._stacks[first, last]

    def epoch(self) -> list[dict[str, float]]:
        """Train every member for one epoch, and measure it.

        Returns:
            The figures of each member, in the order of ``members``, as ``loop.end_epoch`` names them, and
            ``objective``. A member whose loss is not finite has failed.
        """
        self.tally_K.zero_()
        self._train()
        with self.ema.applied() if self.ema is not None else nullcontext():
            figures = measure_members(self)
            rows = [
                _end_epoch(member, tally, row)
                for member, tally, row in zip(self.members, self.tally_K.tolist(), figures, strict=True)
            ]
        self.optimizer.tell([job.optimizer for job in self.jobs])
        return rows

    def _train(self) -> None:
        shared = same_batches(self.members)
        count = len(self.jobs)
        different = self.jobs[:1] if shared else self.jobs
        steps = [steps_of_epoch(job) for job in different] * (count if shared else 1)
        every = self._rates([len(own) for own in steps])
        for stack in self._stacks.values():
            stack.module.train()
        for number, rates in enumerate(every):
            now = [own[number] for own in steps if number < len(own)]
            for first, last in _runs(now, shared):
                self._step(first, last, now[first:last], shared)
                self.optimizer.step(first, last, rates[first:last])
                if self.ema is not None:
                    self.ema.update(first, last)
        for job, own in zip(self.jobs, steps, strict=True):
            job.step += len(own)

    def step_seconds(self) -> float:
        """The least time of some steps that move nothing. What an epoch prepares once is not in it."""
        shared = same_batches(self.members)
        now = [steps_of_epoch(job)[0] for job in (self.jobs[:1] if shared else self.jobs)]
        runs = list(_runs(now * len(self.jobs) if shared else now, shared))
        taken = []
        for _ in range(TRIES):
            start = time.perf_counter()
            for first, last in runs:
                self._step(first, last, now if shared else now[first:last], shared)
                self.optimizer.step(first, last, [0.0] * (last - first))
            taken.append(time.perf_counter() - start)
        return min(taken)

    def _rates(self, counts: Sequence[int]) -> list[list[float]]:
        """For each of the coming epoch's steps the rates of all members, which have so many steps."""
        shares: dict[object, list[float]] = {}  # most members have the same curve, whatever its peak
        columns = []
        for job, count in zip(self.jobs, counts, strict=True):
            schedule = job.schedule
            curve = (schedule.plan, schedule.steps, schedule.done, count)
            if curve not in shares:
                shares[curve] = schedule.ahead(count) + [0.0] * (max(counts) - count)
            columns.append((schedule.peaks[0] * schedule.scale, shares[curve]))
            schedule.skip(count)
        return [[peak * own[step] for peak, own in columns] for step in range(max(counts))]

    def _step(self, first: int, last: int, now: Sequence[Step], shared: bool) -> None:
        """Forward and backward for members whose batches are of the same sizes."""
        stack = self.stack(first, last)
        stack.view.begin_step()
        for batches in zip(*(now[:1] if shared else now), strict=True):
            batch = self._batch(first, [index for index, _ in batches], shared)
            losses_K = stack.learn(batch, batches[0][1])
            stack.view.adding = True
            # Added at once: small tensors that are kept would leave the memory of the layers in pieces.
            self.tally_K[first:last].add_(losses_K, alpha=len(batches[0][0]))
        stack.view.end_step()
        if self.rows.mask_KP is not None:
            self.rows.gradients_KP[first:last] *= self.rows.mask_KP[first:last]
        if self.clipped:
            self._clip(first, last)

    def _clip(self, first: int, last: int) -> None:
        """Scale each member's gradient to its largest norm, as ``torch.nn.utils.clip_grad_norm_`` does."""
        gradients_KP = self.rows.gradients_KP[first:last]
        norm_K1 = gradients_KP.norm(dim=1, keepdim=True)
        gradients_KP *= (self.clip_K1[first:last] / (norm_K1 + 1e-6)).clamp_(max=1.0)

    def _batch(self, first: int, indices: Sequence[Tensor], shared: bool) -> Batch:
        """The fields of a step's batch: (1, B, ...) if all members share it, else (K, B, ...)."""
        if shared:
            taken = self.jobs[first].data.train.take(indices[0])
            return {name: values[None] for name, values in taken.items()}
        own = [
            self._own_batch(member, index)
            for member, index in zip(self.members[first:], indices, strict=False)
        ]
        return {name: torch.stack([batch[name] for batch in own]) for name in own[0]}

    def _own_batch(self, member: Member, index: Tensor) -> Batch:
        batch = member.job.data.train.take(index)
        regularization = member.job.plan.regularization
        if not (regularization.augment or regularization.mixup):
            return batch
        with drawing_from(member.stream):
            return vary(member.job, batch)


def _runs(now: Sequence[Step], shared: bool) -> Iterator[tuple[int, int]]:
    """Consecutive members whose steps have batches of the same sizes: (first, last + 1)."""
    if shared:
        yield 0, len(now)
        return
    first = 0
    for _, group in itertools.groupby(now, key=lambda step: [len(index) for index, _share in step]):
        last = first + len(list(group))
        yield first, last
        first = last


def _end_epoch(member: Member, tally: float, figures: dict[str, float]) -> dict[str, float]:
    """What ``loop.end_epoch`` does for a job alone, given the sum of its losses and what was measured."""
    job = member.job
    row = {"loss/optimized": tally / len(job.data.train), "lr": job.schedule.lr}
    job.epoch += 1
    if not math.isfinite(row["loss/optimized"]):
        member.failed = f"the loss became {row['loss/optimized']} in epoch {job.epoch}"
        return row
    row |= figures
    job.remember(row)
    member.add(row)
    job.schedule.end_epoch(row.get("loss/val", row["loss/optimized"]))
    return row
