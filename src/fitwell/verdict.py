"""The verdict: one word on how well a training fits, from its curves and their noise.

just-right, overfitting, underfitting, slow, not-converging, broken, too-short-to-tell
"""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

SHORTEST = 3  # epochs from which anything can be told
LEARNED = 0.02  # share of the loss by which it must fall to count as learning
GAP = 0.05  # between the metric on training and on validation data: memory, not knowledge
RISE = 0.1  # share above its best to which the validation loss rises when a model memorises
FALLING = 0.05  # share by which the loss still falls at the end of a training that was stopped too early
CLOSE = 0.02  # share of the best loss within which a curve has converged
DISTINCT = 2.0  # standard errors between two figures that differ


@dataclass(frozen=True)
class Verdict:
    """The word, the reason in a sentence, and the epoch of convergence if there was one."""

    name: str
    reason: str
    converged_at_epoch: int | None = None


@dataclass(frozen=True)
class Evidence:
    """What the verdict is read from.

    Args:
        train: loss of the training part in evaluation mode, an epoch each.
        validation: loss of the validation part; empty when there is none.
        best_epoch: whose weights were kept, counted from 1; 0 if none were chosen.
        chance: training loss of the best constant answer; None without a target.
        metric: the main figure of training and validation part for the kept weights, where 1 is perfect and
            higher is better; None without one.
        validation_samples: of the validation part, if the metric is a share of them; else 0.
        baseline: the same figure of gradient boosting on the validation part, if it was trained.
    """

    train: Sequence[float]
    validation: Sequence[float]
    best_epoch: int
    chance: float | None = None
    metric: tuple[float, float] | None = None
    validation_samples: int = 0
    baseline: float | None = None


def judge(evidence: Evidence) -> Verdict:
    """The verdict on a training."""
    train, validation = evidence.train, evidence.validation
    if any(not math.isfinite(value) for value in (*train, *validation)):
        return Verdict("broken", "the loss left the finite numbers")
    if not validation:
        return Verdict(
            "too-short-to-tell",
            "no validation data: whether it generalises can't be told (add --validation 0.15)",
        )
    if len(validation) < SHORTEST:
        return Verdict(
            "too-short-to-tell", f"{len(validation)} epochs are too few; train at least {SHORTEST}"
        )
    converged = convergence(validation)
    for case in (_not_converging, _overfitting, _slow, _underfitting):
        verdict = case(evidence)
        if verdict is not None:
            return Verdict(verdict.name, verdict.reason, converged if verdict.name == "overfitting" else None)
    return Verdict("just-right", _praise(evidence), converged)


def _praise(evidence: Evidence) -> str:
    losses, epoch = evidence.validation, evidence.best_epoch or len(evidence.validation)
    best, kept, last = min(losses), losses[epoch - 1], losses[-1]
    risen = best + RISE * abs(best) + noise(losses)
    if kept > risen:
        return (
            f"the metric was best at epoch {epoch}, though the validation loss had risen from {best:.4g} to "
            f"{kept:.4g}: the answers are not worse, but their probabilities are too sure"
        )
    if last > risen:
        return (
            f"the weights of epoch {epoch} were kept: after it the validation loss rose from {best:.4g} to "
            f"{last:.4g}, for the model began to memorise"
        )
    return f"the validation loss settled at {kept:.4g}, and nothing speaks against it"


def convergence(losses: Sequence[float]) -> int | None:
    """The first epoch, counted from 1, from which the loss is within its noise of the best one."""
    best, near = min(losses), max(CLOSE * abs(min(losses)), noise(losses))
    first = next(i for i, value in enumerate(losses, start=1) if value <= best + near)
    return first if first < len(losses) else None


def noise(losses: Sequence[float]) -> float:
    """The standard deviation of a curve around its trend, from differences in its second half."""
    half = list(losses[len(losses) // 2 :])
    changes = [b - a for a, b in itertools.pairwise(half)]
    # Differences of independent noise have twice its variance.
    return statistics.stdev(changes) / math.sqrt(2) if len(changes) > 1 else 0.0


def _not_converging(evidence: Evidence) -> Verdict | None:
    best, first = min(evidence.train), evidence.train[0]
    if evidence.chance is None:
        if best > first - LEARNED * abs(first):
            return Verdict("not-converging", f"the training loss never fell below its first, {first:.4g}")
    elif best > evidence.chance - LEARNED * abs(evidence.chance):
        return Verdict(
            "not-converging",
            f"the training loss is {best:.4g}, where an answer without looking gives {evidence.chance:.4g}",
        )
    return None


def _overfitting(evidence: Evidence) -> Verdict | None:
    if evidence.metric is not None:
        train, validation = evidence.metric
        error = _standard_error(validation, evidence.validation_samples)
        if train - validation > GAP + DISTINCT * error:
            return Verdict(
                "overfitting",
                f"{train:.3f} on training data but {validation:.3f} on validation data: it memorises",
            )
        return None
    best, last = min(evidence.validation), evidence.validation[-1]
    if (
        last > best + RISE * abs(best) + DISTINCT * noise(evidence.validation)
        and evidence.train[-1] < evidence.train[0]
    ):
        return Verdict(
            "overfitting", f"the validation loss rose from {best:.4g} to {last:.4g} while training went on"
        )
    return None


def _slow(evidence: Evidence) -> Verdict | None:
    """The kept weights are among the last, and the loss was still falling by more than its noise."""
    losses = evidence.validation
    if evidence.best_epoch < len(losses):
        return None
    before = losses[-1 - max(1, len(losses) // 10)]
    fall = before - losses[-1]
    if fall > FALLING * abs(before) + DISTINCT * noise(losses):
        return Verdict(
            "slow", f"the validation loss was still falling ({before:.4g} to {losses[-1]:.4g}): train longer"
        )
    return None


def _underfitting(evidence: Evidence) -> Verdict | None:
    if evidence.metric is None or evidence.baseline is None:
        return None
    train, validation = evidence.metric
    error = _standard_error(validation, evidence.validation_samples)
    if evidence.baseline - max(train, validation) > LEARNED + DISTINCT * error:
        return Verdict(
            "underfitting",
            f"{validation:.3f} on validation data, where gradient boosting reaches {evidence.baseline:.3f}",
        )
    return None


def _standard_error(share: float, samples: int) -> float:
    return math.sqrt(max(share * (1 - share), 0.0) / samples) if samples else 0.0


def best_of(metrics: Mapping[str, float], name: str) -> tuple[float, float] | None:
    """The figure of the training and of the validation part, if both were measured."""
    pair = metrics.get(f"train/{name}"), metrics.get(f"val/{name}")
    return (pair[0], pair[1]) if pair[0] is not None and pair[1] is not None else None
