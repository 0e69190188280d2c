"""Ensembling: the average of several models' answers, and which members to take.

Shape legend: M members, N samples, K outputs, C classes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from fitwell.errors import PlanError
from fitwell.shape import Target
from fitwell.tuning.objective import log_probabilities, losses

CLEARLY = 2.0  # standard errors


def average(outputs: Sequence[Tensor], target: Target) -> Tensor:
    """The ensemble's outputs, float64, in the form of a model's: all that takes outputs takes them.

    Probabilities are averaged, and given as their logarithms (N, C), or as the logit (N, 1) of two classes; numbers
    are averaged as they are, so the members must share the target's mean and deviation.

    Args:
        outputs: the members' outputs (N, K) on the same samples: logits or numbers.
        target: what is predicted.

    Raises:
        PlanError: there are no members.
    """
    outputs_MNK = _members(outputs)
    if target.kind not in ("classes", "binary"):
        return outputs_MNK.mean(0)
    logs_NC = log_probabilities(outputs_MNK, target).logsumexp(0) - math.log(len(outputs_MNK))
    return logs_NC if target.kind == "classes" else logs_NC[:, 1:] - logs_NC[:, :1]


def choose(outputs: Sequence[Tensor], y: Tensor, target: Target, size: int) -> list[int]:
    """The best members on the validation part, without those that are clearly worse than the best one.

    A member is clearly worse if its loss on the same samples is higher by more than two standard errors. What is left
    cannot be told apart, so each counts once: to choose further, greedily (Caruana et al. 2004) or by the best average,
    fits the validation part where that is small. The loss is the log loss of classes and the squared error of numbers.
    Equal members: the first. Members that are not finite are never taken.

    Args:
        outputs: the candidates' outputs (N, K) on the validation part.
        y: its target.
        target: what y means.
        size: of the ensemble, at most.

    Returns:
        Places in ``outputs``, the best first.

    Raises:
        PlanError: there are no candidates, none is finite, there is no target, or ``size`` is below 1.
    """
    _require(target)
    if size < 1:
        raise PlanError(f"an ensemble of {size} members is asked for", "at least 1", "ask for 5 members")
    outputs_MNK = _members(outputs)
    losses_MN = losses(outputs_MNK, y, target)
    losses_MN[~outputs_MNK.isfinite().flatten(1).all(1)] = math.inf
    means = losses_MN.mean(1).tolist()
    ranked = sorted(range(len(means)), key=means.__getitem__)
    if not math.isfinite(means[ranked[0]]):
        raise PlanError("no candidate has finite outputs", "a model that did not diverge", "leave them out")
    worse_MN = losses_MN - losses_MN[ranked[0]]
    error_M = worse_MN.std(1, correction=0) / math.sqrt(worse_MN.shape[1])
    # Of a member that is not finite the error is no number, and nothing is below that.
    near = (worse_MN.mean(1) <= CLEARLY * error_M).tolist()
    return [place for place in ranked if near[place]][:size]


def _members(outputs: Sequence[Tensor]) -> Tensor:
    if not len(outputs):
        raise PlanError("an ensemble of no members", "at least one model", "train some models first")
    return torch.stack(list(outputs)).double()


def _require(target: Target) -> None:
    if target.kind == "none":
        raise PlanError(
            "an ensemble is judged without a target", "a target", "choose data with a target to compare with"
        )
