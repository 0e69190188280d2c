"""Bias and variance: what models trained on resampled training parts err in together, and what each errs in alone.

Shape legend: R models, N samples, K outputs, C classes.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from torch import Tensor

from fitwell.errors import PlanError
from fitwell.shape import Target
from fitwell.tuning.objective import log_probabilities


@dataclass(frozen=True)
class Decomposition:
    """The expected loss of a model: loss = bias + variance.

    Args:
        loss: the mean over models and samples.
        bias: the loss of the main prediction, in which all models are one; noise of the target is inside it.
        variance: what the models lose by differing from the main prediction.
    """

    loss: float
    bias: float
    variance: float

    def plain(self) -> dict[str, float]:
        """As JSON."""
        return asdict(self)


def decompose(outputs_RNK: Tensor, y: Tensor, target: Target) -> Decomposition:
    """Bias and variance of the squared error of numbers, or of the log loss of classes.

    Numbers: the main prediction is the mean of the models', the bias its squared error (bias² + noise), the variance
    the mean squared distance from it (Geman, Bienenstock & Doursat 1992). Units are those of y, in which 1 is the
    variance of the training part's targets; columns are averaged.

    Classes: the main prediction is the normalised geometric mean of the models' probabilities, the bias its log loss,
    the variance the mean Kullback-Leibler divergence from it to the models (Heskes 1998, Neural Computation 10).

    The variance is that between these R models: with few it is underestimated, of numbers by the factor (R - 1) / R,
    and what is missing counts as bias.

    Args:
        outputs_RNK: the models' outputs on the same held-out samples: logits, or standardised numbers.
        y: the samples' target.
        target: what y means, the same for all models.

    Raises:
        PlanError: there is no target.
    """
    _require(target)
    if target.kind == "number":
        outputs, true = outputs_RNK.double(), y.double()
        main_NK = outputs.mean(0)
        return _decomposition(
            loss=(outputs - true).square(),
            bias=(main_NK - true).square(),
            variance=(outputs - main_NK).square(),
        )
    logs_RNC = log_probabilities(outputs_RNK, target)
    main_NC = logs_RNC.mean(0).log_softmax(-1)
    true_N1 = y.long().view(-1, 1)
    of_true_RN = logs_RNC.gather(-1, true_N1.expand(len(logs_RNC), -1, -1)).squeeze(-1)
    return _decomposition(
        loss=-of_true_RN,
        bias=-main_NC.gather(-1, true_N1),
        variance=(main_NC.exp() * (main_NC - logs_RNC)).sum(-1),
    )


def decompose_errors(outputs_RNK: Tensor, y: Tensor, target: Target) -> Decomposition:
    """Bias and variance of the share of wrong answers (Domingos 2000, A unified bias-variance decomposition).

    The main prediction is the vote of the models, the bias its share of errors. A model that differs from the vote
    loses where the vote is right, and wins where the vote is wrong and the model right: the variance is the losses
    less the wins, and may be negative.

    Args:
        outputs_RNK: the models' logits on the same held-out samples.
        y: the samples' target.
        target: what y means.

    Raises:
        PlanError: the target is not classes.
    """
    _require(target, classes=True)
    predicted_RN = log_probabilities(outputs_RNK, target).argmax(-1)
    true_N = y.long().view(-1)
    votes_NC = F.one_hot(predicted_RN, len(target.names)).sum(0)
    main_N = votes_NC.argmax(-1)
    losses_N = (predicted_RN != main_N).double().mean(0)
    wins_N = (predicted_RN == true_N).double().mean(0)
    return _decomposition(
        loss=(predicted_RN != true_N).double(),
        bias=(main_N != true_N).double(),
        variance=torch.where(main_N == true_N, losses_N, -wins_N),
    )


def _require(target: Target, classes: bool = False) -> None:
    if target.kind == "none" or (classes and target.kind == "number"):
        raise PlanError(
            f"errors are decomposed for a target of kind {target.kind!r}",
            "a target of classes" if classes else "a target",
            "choose data with such a target",
        )


def _decomposition(loss: Tensor, bias: Tensor, variance: Tensor) -> Decomposition:
    return Decomposition(float(loss.mean()), float(bias.mean()), float(variance.mean()))
