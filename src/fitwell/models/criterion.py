"""What is minimised for a target: a mean over samples, so the mean over batches is exact.

Class weights are N / (K count) as in scikit-learn's ``class_weight="balanced"``; their mean over the training
samples is 1. The weighted losses are divided by the number of samples, not by the sum of the batch's weights
as torch does, whose value would depend on how the samples are divided into batches.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from torch import Tensor, nn

from fitwell.errors import PlanError
from fitwell.plan import LossPlan
from fitwell.shape import Target

# The first function is that of "auto". Cross-entropy of two classes is bce.
FUNCTIONS: dict[str, tuple[str, ...]] = {
    "classes": ("cross-entropy",),
    "binary": ("bce", "cross-entropy"),
    "number": ("mse", "mae", "huber"),
}
# Huber's threshold, 1, is in standard deviations of the target, which is standardised.
NUMBERS: dict[str, type[nn.Module]] = {"mse": nn.MSELoss, "mae": nn.L1Loss, "huber": nn.HuberLoss}


def criterion(plan: LossPlan, target: Target, class_counts: Tensor | None) -> nn.Module:
    """The module that is called with (outputs (B, K), y) and gives the mean loss of a sample.

    Args:
        plan: which function, class weights, label smoothing.
        target: what is predicted.
        class_counts: (number of classes,) samples of each class in the training part (two for ``binary``);
            only needed for class weights.

    Raises:
        PlanError: the function, class weights or label smoothing do not fit the target.
    """
    _check(plan, target)
    if target.kind == "number":
        function = "mse" if plan.function == "auto" else plan.function
        return NUMBERS[function]()
    weights = None
    if isinstance(plan.class_weights, tuple):
        weights = torch.tensor(plan.class_weights)
    elif plan.class_weights and class_counts is not None:
        weights = class_weights(class_counts)
    kind = CrossEntropy if target.kind == "classes" else BinaryCrossEntropy
    return kind(weights, plan.label_smoothing)


def _check(plan: LossPlan, target: Target) -> None:
    fitting = FUNCTIONS.get(target.kind)
    if fitting is None:
        raise PlanError(
            "a loss needs a target, and the data has none",
            "data with a target, or an unsupervised family",
            "name the column with --target, or choose --model autoencoder",
        )
    if plan.function not in ("auto", *fitting):
        raise PlanError(
            f"the loss {plan.function!r} does not fit a target of kind {target.kind!r}",
            f"one of auto, {', '.join(fitting)}",
            f"choose --loss {fitting[0]}, or another --task for the data",
        )
    given = plan.class_weights
    if isinstance(given, tuple) and target.kind != "number" and len(given) != len(target.names):
        raise PlanError(
            f"loss.class_weights has {len(given)} weights for {len(target.names)} classes",
            "one weight for each class",
            f"give them in the order {', '.join(target.names)}",
        )
    for name in ("class_weights", "label_smoothing"):
        if target.kind == "number" and getattr(plan, name):
            raise PlanError(
                f"loss.{name} = {getattr(plan, name)!r} with a target of numbers",
                "a target of classes: numbers have no classes to weight or to smooth over",
                f"leave loss.{name} out, or state --task classes",
            )


def class_weights(counts: Tensor) -> Tensor:
    """(K,) weights N / (K count), whose mean over the counted samples is 1; 1 for a class without samples."""
    present = counts > 0
    weights = counts.sum() / (present.sum() * counts.clamp(min=1).float())
    return weights.where(present, 1.0)


class CrossEntropy(nn.Module):
    """Softmax cross-entropy of logits (B, K); y is (B,) int64 classes or (B, K) probabilities.

    Args:
        weights: (K,) of each class. A sample's weight is the expectation over its probabilities.
        smoothing: share of the target that is spread evenly over all K classes (Szegedy et al. 2016, sec. 7).
    """

    weights: Tensor | None

    def __init__(self, weights: Tensor | None, smoothing: float) -> None:
        super().__init__()
        # Not in the state_dict: the weights belong to the training, not to the saved model.
        self.register_buffer("weights", weights, persistent=False)
        self.smoothing = smoothing

    def forward(self, outputs_BK: Tensor, y: Tensor) -> Tensor:
        """The mean over the batch's samples of weight times cross-entropy, in nats."""
        if self.weights is None:
            return F.cross_entropy(outputs_BK, y, label_smoothing=self.smoothing)
        weight_B = y @ self.weights if y.is_floating_point() else self.weights[y]
        loss_B = F.cross_entropy(outputs_BK, y, reduction="none", label_smoothing=self.smoothing)
        return (weight_B * loss_B).mean()


class BinaryCrossEntropy(nn.Module):
    """Cross-entropy of one logit (B, 1); y is (B, 1) probabilities of the second class.

    Args:
        weights: (2,) of each class.
        smoothing: share of the target that is spread evenly over both classes.
    """

    weights: Tensor | None

    def __init__(self, weights: Tensor | None, smoothing: float) -> None:
        super().__init__()
        self.register_buffer("weights", weights, persistent=False)
        self.smoothing = smoothing

    def forward(self, outputs_B1: Tensor, y_B1: Tensor) -> Tensor:
        """The mean over the batch's samples of weight times cross-entropy, in nats."""
        weight_B1 = None
        if self.weights is not None:
            weight_B1 = self.weights[0] + y_B1 * (self.weights[1] - self.weights[0])
        if self.smoothing:
            y_B1 = y_B1 * (1 - self.smoothing) + self.smoothing / 2
        return F.binary_cross_entropy_with_logits(outputs_B1, y_B1, weight_B1)
