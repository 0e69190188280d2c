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
GAP = 0.07  # between the metric on training and on validation data: memory, not knowledge
RISE = 0.15  # share by which the validation loss rises above its best when a model memorises
FALLING = 0.05  # share by which the loss still falls at the end of a training that was stopped too early
CLOSE = 0.02  # share of the best loss within which a curve has converged
DISTINCT = 2.0  # standard errors between two figures that differ
MEMORY = 0.2  # share of the loss at the start by which the validation loss ends above a training loss of nearly nothing
NOTHING = 0.1  # of the validation loss is nearly nothing
LATEST = 3  # epochs at the end, the best of which must still be worse: never one alone
ADD_VALIDATION = "add --validation 0.15"


@dataclass(frozen=True)
class Verdict:
    """The word, the reason in a sentence, and the epoch of convergence if there was one."""

    name: str
    reason: str
    converged_at_epoch: int | None = None


@dataclass(frozen=True)
class Curves:
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
        kept: whether the metric is of the best weights, which were kept; else the weights are those of the end.
        to_validate: what to do to have a validation loss, for who has none.
    """

    train: Sequence[float]
    validation: Sequence[float]
    best_epoch: int
    chance: float | None = None
    metric: tuple[float, float] | None = None
    validation_samples: int = 0
    baseline: float | None = None
    kept: bool = True
    to_validate: str = ADD_VALIDATION


def judge(curves: Curves) -> Verdict:
    """The verdict on a training."""
    train, validation = curves.train, curves.validation
    if any(not math.isfinite(value) for value in (*train, *validation)):
        return Verdict("broken", "the loss left the finite numbers")
    if not validation:
        return Verdict(
            "too-short-to-tell",
            f"no validation data: whether it generalises can't be told ({curves.to_validate})",
        )
    if len(validation) < SHORTEST:
        return Verdict(
            "too-short-to-tell", f"{len(validation)} epochs are too few; train at least {SHORTEST}"
        )
    converged = convergence(validation)
    for case in (_not_converging, _overfitting, _slow, _underfitting):
        verdict = case(curves)
        if verdict is not None:
            return Verdict(verdict.name, verdict.reason, converged if verdict.name == "overfitting" else None)
    return Verdict("just-right", _praise(curves), converged)


def _praise(curves: Curves) -> str:
    losses, epoch = curves.validation, curves.best_epoch or len(curves.validation)
    best, kept, last = min(losses), losses[epoch - 1], losses[-1]
    risen = best + 0.1 * abs(best) + noise(losses)
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
    if len(changes) < 2:
        return 0.0
    drift = math.fsum(changes) / len(changes)
    return math.hypot(*(change - drift for change in changes)) / math.sqrt(2 * (len(changes) - 1))


def learned(curves: Curves) -> float | None:
    """The share by which the best training loss is below that of a constant answer, or else below the first one."""
    if not curves.train:
        return None
    before = curves.train[0] if curves.chance is None else curves.chance
    return (before - min(curves.train)) / abs(before) if before else 0.0


def gap(curves: Curves) -> float | None:
    """By how much the metric is better on training than on validation data, beyond what chance makes of it.

    0 where a loss is all there is, None without validation data.
    """
    if curves.metric is None:
        return 0.0 if curves.validation else None
    train, validation = curves.metric
    return train - validation - DISTINCT * _standard_error(validation, curves.validation_samples)


def rise(curves: Curves) -> float | None:
    """The share by which the validation loss ends above its best, beyond its noise.

    Of the best loss, or half of the first one if that is more: a loss of nearly nothing may double. Without the share
    by which the training loss rose, too, for that is no memory. 0 where the metric of the weights that were kept tells
    more.
    """
    losses = curves.validation
    if len(losses) < SHORTEST:
        return None
    if curves.metric is not None and curves.kept:
        return 0.0
    best, last = min(losses), min(losses[-LATEST:])
    scale = max(abs(best), abs(losses[0]) / 2)
    return (last - best - DISTINCT * noise(losses)) / scale - _lost(curves.train) if scale else 0.0


def _lost(losses: Sequence[float]) -> float:
    """The share by which the training loss ends above its best."""
    if not losses or not (scale := max(abs(min(losses)), abs(losses[0]) / 2)):
        return 0.0
    return (min(losses[-LATEST:]) - min(losses)) / scale


def memory(curves: Curves) -> float | None:
    """The share of the loss at the start by which the validation loss ends above the training loss.

    0 unless the training loss is next to nothing beside it: then the model knows by heart what it was trained on. 0,
    too, where the two losses are of different size from the beginning. In healthy
    programs of the lab 0.14 at most.
    """
    train, validation = curves.train, curves.validation
    if len(validation) < SHORTEST:
        return None
    before = curves.chance if curves.chance is not None else train[0] if train else 0.0
    if curves.kept or len(train) < SHORTEST or before <= 0:
        return 0.0
    ends = statistics.median(train[-LATEST:]), min(validation[-LATEST:])
    alike = validation[0] < 2 * max(before, train[0])
    return (ends[1] - ends[0]) / before if alike and ends[0] < NOTHING * ends[1] else 0.0


def falling(curves: Curves) -> float | None:
    """The share by which the validation loss still fell in the last tenth of the epochs, beyond its noise.

    Of what it was before, or a fifth of the first one if that is more: next to nothing may halve for ever.
    """
    losses = curves.validation
    if len(losses) < SHORTEST:
        return None
    before = losses[-1 - max(1, len(losses) // 10)]
    scale = max(abs(before), abs(losses[0]) / 5)
    return (before - losses[-1] - DISTINCT * noise(losses)) / scale if scale else 0.0


def shortfall(curves: Curves) -> float | None:
    """By how much gradient boosting does better on validation data than this model does anywhere, beyond chance.

    0 where it was not trained, None without validation data.
    """
    if curves.metric is None or curves.baseline is None:
        return 0.0 if curves.validation else None
    error = _standard_error(curves.metric[1], curves.validation_samples)
    return curves.baseline - max(curves.metric) - DISTINCT * error


def _beyond(value: float | None, limit: float) -> bool:
    return value is not None and value > limit


def _not_converging(curves: Curves) -> Verdict | None:
    if len(curves.train) < SHORTEST:
        return None
    best, first, end = min(curves.train), curves.train[0], min(curves.train[-LATEST:])
    if not curves.kept and len(curves.train) > LATEST and end > first > best:
        return Verdict("not-converging", f"the training loss rose from {first:.4g} to {end:.4g}")
    if _beyond(learned(curves), LEARNED):
        return None
    if curves.chance is None:
        return Verdict("not-converging", f"the training loss never fell below its first, {first:.4g}")
    reason = f"the training loss is {best:.4g}, where an answer without looking gives {curves.chance:.4g}"
    return Verdict("not-converging", reason)


def _overfitting(curves: Curves) -> Verdict | None:
    if curves.metric is not None and _beyond(gap(curves), GAP):
        train, validation = curves.metric
        reason = f"{train:.3f} on training data but {validation:.3f} on validation data: it memorises"
        return Verdict("overfitting", reason)
    if _beyond(memory(curves), MEMORY):
        known, unknown = statistics.median(curves.train[-LATEST:]), min(curves.validation[-LATEST:])
        reason = f"the validation loss is {unknown:.4g} where the training loss is {known:.4g}: it memorises"
        return Verdict("overfitting", reason)
    if _beyond(rise(curves), RISE):
        best, last = min(curves.validation), curves.validation[-1]
        reason = f"the validation loss rose from {best:.4g} to {last:.4g} while training went on"
        return Verdict("overfitting", reason)
    return None


def _slow(curves: Curves) -> Verdict | None:
    """The kept weights are among the last, and the loss was still falling by more than its noise."""
    losses = curves.validation
    if curves.best_epoch < len(losses) or not _beyond(falling(curves), FALLING):
        return None
    before = losses[-1 - max(1, len(losses) // 10)]
    return Verdict(
        "slow", f"the validation loss was still falling ({before:.4g} to {losses[-1]:.4g}): train longer"
    )


def _underfitting(curves: Curves) -> Verdict | None:
    if curves.metric is None or not _beyond(shortfall(curves), LEARNED):
        return None
    reached, baseline = curves.metric[1], curves.baseline
    return Verdict(
        "underfitting", f"{reached:.3f} on validation data, where gradient boosting reaches {baseline:.3f}"
    )


def _standard_error(share: float, samples: int) -> float:
    return math.sqrt(max(share * (1 - share), 0.0) / samples) if samples else 0.0


def best_of(metrics: Mapping[str, float], name: str) -> tuple[float, float] | None:
    """The figure of the training and of the validation part, if both were measured."""
    pair = metrics.get(f"train/{name}"), metrics.get(f"val/{name}")
    return (pair[0], pair[1]) if pair[0] is not None and pair[1] is not None else None
