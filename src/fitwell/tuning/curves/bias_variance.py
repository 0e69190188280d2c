"""Bias and variance: what models trained on resampled training parts err in together, and what each errs in alone.

Shape legend: R models, N samples, K outputs, C classes.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

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
    if target.kind == "none":
        raise PlanError("errors are decomposed without a target", "a target", "choose data with one")
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


def _decomposition(loss: Tensor, bias: Tensor, variance: Tensor) -> Decomposition:
    return Decomposition(float(loss.mean()), float(bias.mean()), float(variance.mean()))
