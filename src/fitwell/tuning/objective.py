"""Objective: what trials are compared by. Lower is better, and neutral to a trial's own loss.

Label smoothing, class weights or another loss change what ``val/loss`` means, so trials that differ in them are
compared by what their outputs alone say. All of it works under ``torch.vmap`` over a dimension of models.

Shape legend: N samples, K outputs, C classes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from torch import Tensor

from fitwell.errors import PlanError
from fitwell.shape import Target

# Below, the accuracy has steps of 1/N and a standard error above 1 % even at 95 %: it ties trials that differ.
ENOUGH = 500
TINY = 1e-12  # variance of numbers that are all the same

Score = Callable[[Tensor, Tensor, Target], Tensor]


@dataclass(frozen=True)
class Objective:
    """What trials are compared by.

    Args:
        metric: its name, as in a run's metrics: ``accuracy``, ``r2``; ``log_loss``, that of classes without smoothing
            or weights; ``loss``, the family's own, where there is no target.
        higher: whether a higher figure is better. The score is then 1 - figure, else it is the figure.
    """

    metric: str
    higher: bool

    def score(self, outputs_NK: Tensor, y: Tensor, target: Target) -> Tensor:
        """A scalar, float64; lower is better, infinite for a model whose outputs are not finite.

        Args:
            outputs_NK: logits, or standardised numbers.
            y: what is true, as the field ``y``.
            target: what y means.

        Raises:
            PlanError: the figure is not of outputs and target: without a target the family's own score is.
        """
        score = self.each(outputs_NK, y, target).mean()
        # The largest of NaN is the first class: without this, a model that diverged would have an accuracy.
        return torch.where(outputs_NK.isfinite().all(), score, torch.inf)

    def each(self, outputs_NK: Tensor, y: Tensor, target: Target) -> Tensor:
        """What each sample adds to the score, which is the mean: (N,), float64. The rest as of ``score``."""
        if self.metric == "log_loss":
            return losses(outputs_NK, y, target)
        if self.metric == "accuracy":
            right_N = outputs_NK.argmax(1) == y if target.kind == "classes" else (outputs_NK > 0) == (y > 0.5)
            return 1 - right_N.double().flatten()
        if self.metric == "r2":
            variance_K = (y.double() - y.double().mean(0)).square().mean(0)
            return ((outputs_NK.double() - y.double()).square() / variance_K.clamp_min(TINY)).mean(-1)
        raise PlanError(
            "without a target outputs have no figure",
            "the loss that the family gives in evaluation",
            "take the score of the family",
        )

    def shown(self, score: float) -> float:
        """The figure of a score, as people read it; also the score of a figure, for 1 - x is its own inverse.

        >>> Objective("accuracy", higher=True).shown(0.25)
        0.75
        """
        return 1 - score if self.higher else score


def choose_objective(target: Target, validation_samples: int) -> Objective:
    """Accuracy for classes, the log loss where fewer than 500 samples are validated on; R2 for numbers; else the loss.

    The log loss tells trials apart that give the same answers with other confidence.
    """
    if target.kind in ("classes", "binary"):
        if validation_samples >= ENOUGH:
            return Objective("accuracy", higher=True)
        return Objective("log_loss", higher=False)
    return Objective("r2", higher=True) if target.kind == "number" else Objective("loss", higher=False)


def log_probabilities(outputs: Tensor, target: Target) -> Tensor:
    """Logarithms of the class probabilities (..., C), float64, from logits (..., K)."""
    outputs = outputs.double()
    if target.kind == "binary":
        return torch.cat([F.logsigmoid(-outputs), F.logsigmoid(outputs)], dim=-1)
    return outputs.log_softmax(-1)


def losses(outputs: Tensor, y: Tensor, target: Target) -> Tensor:
    """The loss of each sample, float64: -log(probability of the true class), in nats, or the squared error of numbers.

    Args:
        outputs: (..., N, K): logits or numbers.
        y: what is true, of N samples, as the field ``y``.
        target: what y means.

    Returns:
        (..., N).
    """
    if target.kind == "number":
        return (outputs.double() - y.double()).square().mean(-1)
    logs = log_probabilities(outputs, target)
    return -logs.gather(-1, y.long().reshape(-1, 1).expand(*logs.shape[:-1], 1)).squeeze(-1)


def log_loss(outputs_NK: Tensor, y: Tensor, target: Target) -> Tensor:
    """The mean of -log(probability of the true class), float64, in nats."""
    return losses(outputs_NK, y, target).mean()
