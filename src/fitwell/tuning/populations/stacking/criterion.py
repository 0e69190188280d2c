"""The losses of all members at once, each with its own label smoothing and class weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, huber_loss, l1_loss, mse_loss

from fitwell.models.criterion import BinaryCrossEntropy, CrossEntropy
from fitwell.tuning.populations.stacking.rows import Unstackable

NUMBERS: dict[type[nn.Module], Callable[..., Tensor]] = {
    nn.MSELoss: mse_loss, nn.L1Loss: l1_loss, nn.HuberLoss: huber_loss,
}  # fmt: skip


class StackedCriterion:
    """Called with (outputs (K, B, O), y) it gives (K,) mean losses; y is shared (1, B, ...) or (K, B, ...).

    Args:
        criteria: of each member, all of one kind: see ``fitwell.models.criterion``.

    Raises:
        Unstackable: the kind is none of those.
    """

    def __init__(self, criteria: Sequence[Any]) -> None:
        self.kind = type(criteria[0])
        if {type(one) for one in criteria} != {self.kind} or self.kind not in (
            CrossEntropy,
            BinaryCrossEntropy,
            *NUMBERS,
        ):
            raise Unstackable(f"a loss of {self.kind.__name__}")
        self.smoothing_K1: Tensor | None = None
        self.weights_KC: Tensor | None = None
        if self.kind not in NUMBERS:
            smoothing, weights = [one.smoothing for one in criteria], [one.weights for one in criteria]
            if any(smoothing):
                self.smoothing_K1 = torch.tensor(smoothing)[:, None]
            given = next((weight for weight in weights if weight is not None), None)
            if given is not None:
                rows = [torch.ones_like(given) if weight is None else weight for weight in weights]
                self.weights_KC = torch.stack(rows)

    def __call__(self, outputs_KBO: Tensor, y: Tensor) -> Tensor:
        """(K,) the mean of each member's batch."""
        y = y.expand(len(outputs_KBO), *y.shape[1:])
        if self.kind is CrossEntropy:
            return self._cross_entropy(outputs_KBO, y)
        if self.kind is BinaryCrossEntropy:
            return self._binary(outputs_KBO, y)
        return NUMBERS[self.kind](outputs_KBO, y, reduction="none").mean((1, 2))

    def with_gradient(self, outputs_KBO: Tensor, y: Tensor, share: float) -> tuple[Tensor, Tensor]:
        """The losses (K,), and the gradient of their sum times ``share`` by the outputs (K, B, O)."""
        plain = self.kind is CrossEntropy and self.smoothing_K1 is None and self.weights_KC is None
        if plain and not y.is_floating_point():
            return _cross_entropy(outputs_KBO.mT, y, share)
        with torch.enable_grad():
            outputs_KBO = outputs_KBO.detach().requires_grad_()
            losses_K = self(outputs_KBO, y)
        (gradient_KBO,) = torch.autograd.grad(losses_K, outputs_KBO, torch.full_like(losses_K, share))
        return losses_K.detach(), gradient_KBO

    def _cross_entropy(self, outputs_KBC: Tensor, y: Tensor) -> Tensor:
        """See ``CrossEntropy``: (1 - smoothing) of the target, and smoothing spread over all classes."""
        logits_KCB = outputs_KBC.mT
        soft = y.is_floating_point()
        loss_KB = cross_entropy(logits_KCB, y.mT if soft else y, reduction="none")
        if self.smoothing_K1 is not None:
            smoothing_K1 = self.smoothing_K1.to(loss_KB)
            uniform_KB = -logits_KCB.log_softmax(1).mean(1)
            loss_KB = (1 - smoothing_K1) * loss_KB + smoothing_K1 * uniform_KB
        if self.weights_KC is not None:
            weights_KC = self.weights_KC.to(loss_KB)
            weight_KB = torch.bmm(y, weights_KC[:, :, None])[:, :, 0] if soft else weights_KC.gather(1, y)
            loss_KB = weight_KB * loss_KB
        return loss_KB.mean(1)

    def _binary(self, outputs_KB1: Tensor, y_KB1: Tensor) -> Tensor:
        """See ``BinaryCrossEntropy``."""
        weight = None
        if self.weights_KC is not None:
            weights_KC = self.weights_KC.to(outputs_KB1)
            none, some = weights_KC[:, 0, None, None], weights_KC[:, 1, None, None]
            weight = none + y_KB1 * (some - none)
        if self.smoothing_K1 is not None:
            smoothing = self.smoothing_K1.to(outputs_KB1)[:, :, None]
            y_KB1 = y_KB1 * (1 - smoothing) + smoothing / 2
        loss = binary_cross_entropy_with_logits(outputs_KB1, y_KB1, weight, reduction="none")
        return loss.mean((1, 2))


def _cross_entropy(logits_KCB: Tensor, y_KB: Tensor, share: float) -> tuple[Tensor, Tensor]:
    """The mean cross-entropies (K,) and their gradients (softmax - one-hot) share / B, (K, B, C), in few operations."""
    count, _, batch = logits_KCB.shape
    y_K1B = y_KB[:, None].expand(count, -1, -1)
    logs_KCB = logits_KCB.log_softmax(1)
    losses_K = -logs_KCB.gather(1, y_K1B).mean((1, 2))
    gradient_KCB = logs_KCB.exp_().mul_(share / batch)
    gradient_KCB.scatter_(1, y_K1B, -share / batch, reduce="add")
    return losses_K, gradient_KCB.mT
