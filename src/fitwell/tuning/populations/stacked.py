"""The model of some members, as one: what it minimises, and what it says."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from fitwell.models import input_fields
from fitwell.shape import Batch
from fitwell.training.job import Job
from fitwell.tuning.populations.stacking import Unstackable, stack
from fitwell.tuning.populations.stacking.chain import Chain
from fitwell.tuning.populations.stacking.criterion import StackedCriterion
from fitwell.tuning.populations.stacking.mapped import Mapped
from fitwell.tuning.populations.stacking.rows import View


class Stacked:
    """The models of consecutive members, and their losses.

    Args:
        view: the members' rows.
        jobs: of the members.

    Raises:
        Unstackable: the models can't be stacked.
    """

    def __init__(self, view: View, jobs: Sequence[Job]) -> None:
        self.view = view
        self.module = stack([job.model for job in jobs], view)
        self.chain = Chain(self.module)
        self.criterion = StackedCriterion([job.model.criterion for job in jobs])
        if any(isinstance(module, Mapped) for module in self.module.modules()):
            self._try(jobs[0])

    def _try(self, job: Job) -> None:
        """Run what is mapped once: vmap refuses random draws, and some operations, only when it meets them."""
        self.module.eval()  # the other layers draw nothing, and keep their statistics
        for module in self.module.modules():
            if isinstance(module, Mapped):
                module.train()
        batch = job.data.train.take(job.data.train.index[:2])
        try:
            with torch.enable_grad():
                outputs = self.module(*(values[None] for values in input_fields(batch)))
                outputs.sum().backward()
        except RuntimeError as error:
            raise Unstackable(f"torch.vmap can't map it: {error}") from error
        self.module.train()

    def learn(self, batch: Batch, share: float) -> Tensor:
        """The losses of a batch in training mode, (K,); their gradients times ``share`` go to their matrix.

        Args:
            batch: fields (1, B, ...) that all members share, or (K, B, ...).
            share: of the step that the batch is.
        """
        outputs = self.chain.ahead(*input_fields(batch))
        losses_K, gradient = self.criterion.with_gradient(outputs, batch["y"], share)
        self.chain.back(gradient)
        return losses_K

    def outputs(self, batch: Batch) -> Tensor:
        """(K, B, O) what the members say of a batch."""
        outputs: Tensor = self.module(*input_fields(batch))
        return outputs
