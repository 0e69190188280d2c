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
from fitwell.tuning.objective import log_probabilities

ROUNDING = 1e-10  # a longer ensemble that is better by less is no better


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
    """The members whose average is best on the validation part, greedily, a member as often as it helps.

    Begins with the best member; then each step adds the one with which the ensemble's loss is least (Caruana et al.
    2004, Ensemble selection from libraries of models). The loss is the log loss of classes and the squared error of
    numbers, which have no ties as the accuracy has. Of all ensembles on the way the best is taken, so its loss is
    never above the best member's. Equal members: the first. Members that are not finite are never taken.

    Args:
        outputs: the candidates' outputs (N, K) on the validation part.
        y: its target.
        target: what y means.
        size: of the ensemble, at most.

    Returns:
        Places in ``outputs``, in the order in which they were chosen, with repeats.

    Raises:
        PlanError: there are no candidates, none is finite, there is no target, or ``size`` is below 1.
    """
    _require(target)
    if size < 1:
        raise PlanError(f"an ensemble of {size} members is asked for", "at least 1", "ask for 5 members")
    outputs_MNK = _members(outputs)
    scores_MN = _scores(outputs_MNK, y, target)
    scores_MN[~outputs_MNK.isfinite().flatten(1).all(1)] = math.nan
    numbers = target.kind == "number"
    chosen: list[int] = []
    losses: list[float] = []
    total = torch.full_like(scores_MN[0], 0.0 if numbers else -math.inf)
    for step in range(1, size + 1):
        totals = total + scores_MN if numbers else torch.logaddexp(total, scores_MN)
        step_losses = _losses(totals, step, target)
        best = min(range(len(step_losses)), key=step_losses.__getitem__)
        chosen.append(best)
        losses.append(step_losses[best])
        total = totals[best]
    if not math.isfinite(losses[0]):
        raise PlanError("no candidate has finite outputs", "a model that did not diverge", "leave them out")
    least = min(losses) * (1 + ROUNDING) + ROUNDING
    return chosen[: next(length for length, loss in enumerate(losses, 1) if loss <= least)]


def _scores(outputs_MNK: Tensor, y: Tensor, target: Target) -> Tensor:
    """What adds up in an ensemble's loss: log-probabilities of the true class (M, N), or errors (M, N, K)."""
    if target.kind == "number":
        return outputs_MNK - y.double()
    logs_MNC = log_probabilities(outputs_MNK, target)
    return logs_MNC.gather(-1, y.long().view(1, -1, 1).expand(len(logs_MNC), -1, -1)).squeeze(-1)


def _losses(totals: Tensor, count: int, target: Target) -> list[float]:
    """The loss of each ensemble of ``count`` members from the sums over them; infinite where it is not finite."""
    numbers = target.kind == "number"
    losses = (totals / count).square().mean(dim=(1, 2)) if numbers else math.log(count) - totals.mean(1)
    return [loss if math.isfinite(loss) else math.inf for loss in losses.tolist()]


def _members(outputs: Sequence[Tensor]) -> Tensor:
    if not len(outputs):
        raise PlanError("an ensemble of no members", "at least one model", "train some models first")
    return torch.stack(list(outputs)).double()


def _require(target: Target) -> None:
    if target.kind == "none":
        raise PlanError(
            "an ensemble is judged without a target", "a target", "choose data with a target to compare with"
        )
