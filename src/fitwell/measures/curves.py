"""How the losses of a training went: from the curves of all its epochs, windows and watched steps.

The curve of the training loss is that of windows of some steps (``loss/window``) after the first watched steps
(``loss/batch``), or that of its epochs. What stands in a rule is a median or a mean of several values of it.
"""

from __future__ import annotations

import bisect
import itertools
import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from fitwell import verdict
from fitwell.evidence import Measure, Value, View
from fitwell.measures.labels import is_sorted
from fitwell.verdict import Curves

FIRST = 5  # watched steps that give the loss at the start
LAST = 0.2  # part of the curve that gives the loss at the end
FEWEST = 4  # values of a curve of which anything is said
WIDEST = 40  # values that the signs of changes are counted in
FEW = 8  # samples, of which the loss of one batch says little
CROSS_ENTROPIES = ("cross_entropy", "nll_loss", "binary_cross_entropy", "binary_cross_entropy_with_logits")
UNKNOWN_SAMPLES = 100  # of validation data, where their number was not seen
FEWEST_EPOCHS = 3
LEAST_WEIGHT = 0.5  # of a cross entropy among several losses
TRAINED = 0.7  # times the loss of a constant answer, below which a model has learned before
WATCHED = "compute the loss on held-out data after each epoch, without gradients"


def _values(view: View, signal: str) -> list[float]:
    series = view.series(signal)
    return [] if series is None else list(series.values)


def _finite(values: Sequence[float]) -> list[float]:
    return [value for value in values if math.isfinite(value)]


def training_curve(view: View) -> list[float]:
    """The training loss from the first step to the last; NaN where it was not finite."""
    windows, epochs = _values(view, "loss/window"), _values(view, "loss/train")
    coarse = len(windows) < min(2 * FEWEST, len(epochs))  # as where every epoch is a step of LBFGS
    return epochs if coarse or (epochs and view.fact("fit") is not None) else windows or epochs


def _start(view: View) -> float | None:
    """The loss before anything was learned: of the first step, or the first of the curve."""
    batches = view.series("loss/batch")
    first = list(batches.values[: bisect.bisect_right(batches.steps, FIRST)]) if batches else []
    finite = _finite(first)
    if finite:
        # The later ones are larger when the first steps went too far, but the first alone may be an odd sample.
        return statistics.median(finite) if (_samples(view) or FEW) < FEW else finite[0]
    curve = _finite(training_curve(view))
    return curve[0] if curve else None


def _samples(view: View) -> int | None:
    """Of a batch; None where no loss function told."""
    return max((int((place.get("target_shape") or [1])[0]) for place in _places(view)), default=None)


def _places(view: View) -> list[Mapping[str, Any]]:
    """Where losses of training are computed."""
    return [
        place for place in view.fact("signals", "loss_inputs", "places") or [] if place["part"] == "train"
    ]


def _reweighted(view: View) -> bool:
    """Whether classes have weights, or labels are smoothed: then the loss of a constant answer is another one."""
    arguments = [place.get("arguments") or {} for place in _places(view)]
    return any(each.get("weight") is not None or each.get("label_smoothing") for each in arguments)


def _tail(view: View) -> list[float]:
    curve = training_curve(view)
    return curve[-max(2, round(LAST * len(curve))) :]


def _end(view: View) -> float | None:
    tail = _finite(_tail(view))
    return statistics.median(tail) if tail and len(training_curve(view)) >= 2 else None


def steps_taken(view: View) -> int | None:
    """Optimizer steps of this thread."""
    for thread in view.fact("threads") or []:
        if thread["name"] == view.thread:
            return int(thread["steps"])
    steps: Any = view.fact("fit", "steps")
    return None if steps is None else int(steps)


def _chance(view: View) -> float | None:
    """The loss of a constant answer: what ``fit`` knows, or the entropy of the labels that were seen."""
    known: Any = view.fact("fit", "judged", "chance")
    if known is not None:
        return float(known)
    places = [place for place in view.fact("signals", "labels", "places") or [] if place["part"] == "train"]
    if len(places) != 1 or places[0]["function"] not in ("cross_entropy", "nll_loss") or _reweighted(view):
        return None
    if is_sorted(view):
        return None
    counts = [count for count in places[0]["counts"] if count]
    total = sum(counts)
    return -sum(n / total * math.log(n / total) for n in counts) if total >= 30 and len(counts) > 1 else None


def _fall(view: View) -> float | None:
    """The share by which the loss at the end is below that at the start; below chance, if the start was above it."""
    before, end = _known_before(view), _end(view)
    if before is None or end is None:
        return None
    return (before - end) / abs(before) if before else 0.0


def _peak(view: View) -> float | None:
    start = _start(view)
    values = _finite([*_values(view, "loss/batch"), *training_curve(view)])
    return max(values) / start if start is not None and start > 0 and values else None


def not_finite(view: View) -> bool | None:
    """Whether a loss of training was not finite."""
    values = [*_values(view, "loss/batch"), *training_curve(view)]
    return any(not math.isfinite(value) for value in values) if values else None


def _noise(view: View) -> float | None:
    """Of the training curve's second half around its trend, as a share of its level."""
    curve = _finite(training_curve(view))
    if len(curve) < FEWEST:
        return None
    level = statistics.median(curve[len(curve) // 2 :])
    return verdict.noise(curve) / abs(level) if level else None


def _change_at_end(view: View) -> float | None:
    """How much the loss still fell over the second half of the curve, as a share, smoothed at both ends."""
    curve = _finite(training_curve(view))
    if len(curve) < 2 * FEWEST:
        return None
    half = curve[len(curve) // 2 :]
    part = max(2, len(half) // 4)
    before, after = statistics.fmean(half[:part]), statistics.fmean(half[-part:])
    return (before - after) / abs(before) if before else 0.0


def _significance(view: View) -> float | None:
    """The same fall in units of its noise."""
    curve, change = _finite(training_curve(view)), _change_at_end(view)
    if change is None:
        return None
    half = curve[len(curve) // 2 :]
    part = max(2, len(half) // 4)
    spread = verdict.noise(curve) * math.sqrt(2 / part)
    fall = statistics.fmean(half[:part]) - statistics.fmean(half[-part:])
    return fall / spread if spread else math.copysign(1e6, fall) if fall else 0.0


def _turns(view: View) -> float | None:
    """The share of the changes of the curve that go against the one before: 2/3 in noise, 1 in a zigzag."""
    curve = _finite(training_curve(view))[-WIDEST:]
    changes = [b - a for a, b in itertools.pairwise(curve)]
    pairs = list(itertools.pairwise(changes))
    return sum(a * b < 0 for a, b in pairs) / len(pairs) if len(pairs) >= FEWEST else None


def _late_part(view: View) -> float | None:
    """How much of the whole fall came in the second half: 0.5 of a steady one."""
    curve = _finite(training_curve(view))
    if len(curve) < 2 * FEWEST or not (whole := max(curve[0], _start(view) or curve[0]) - curve[-1]):
        return None
    return (statistics.fmean(curve[len(curve) // 2 - 1 : len(curve) // 2 + 1]) - curve[-1]) / abs(whole)


def _trained_before(view: View) -> bool | None:
    start, chance = _start(view), _chance(view)
    return None if start is None else chance is not None and start < TRAINED * chance


def curves_of(view: View) -> Curves:
    """What the verdict is read from: of ``fit`` what it measured itself, else what was seen."""
    train, validation = _values(view, "loss/train"), _values(view, "loss/val") or _other_validation(view)
    best = min(range(len(validation)), key=validation.__getitem__, default=-1) + 1
    fit: Any = view.fact("fit")
    if fit is None:
        metric, samples = _watched_metric(view, train), _validation_samples(view)
        return Curves(
            train,
            validation,
            best,
            _known_before(view),
            metric,
            samples or UNKNOWN_SAMPLES,
            kept=False,
            to_validate=WATCHED,
        )
    judged = fit.get("judged") or {}
    metric = judged.get("metric")
    return Curves(
        train,
        validation,
        fit.get("best_epoch", best),
        judged.get("chance"),
        None if metric is None else (metric[0], metric[1]),
        judged.get("validation_samples", 0),
        judged.get("baseline"),
    )


def _other_validation(view: View) -> list[float]:
    """The loss on held-out data where it is another function than what is trained on; the sum of several."""
    names = [name for name in view.signals if name.startswith("loss/") and name.endswith("/val")]
    found = [series for name in names if (series := view.series(name)) is not None]
    by_step = [dict(zip(series.steps, series.values, strict=True)) for series in found]
    common = set(by_step[0]).intersection(*by_step) if by_step else set()
    return [math.fsum(losses[step] for losses in by_step) for step in sorted(common)]


def _known_before(view: View) -> float | None:
    """The loss of a constant answer or at the start, whichever is less; None if neither was seen."""
    return min((value for value in (_start(view), _chance(view)) if value is not None), default=None)


def _watched_metric(view: View, train: Sequence[float]) -> tuple[float, float] | None:
    """Accuracies at the end: the median of the last epochs.

    Those of training are judged now and then only. Where they are not known at the end, the loss tells what they are
    at least: a wrong answer costs a cross entropy of ln 2 or more, and half of that if other losses are added to it.
    """
    seen, held_out = view.series("accuracy/train"), view.series("accuracy/val")
    if held_out is None or len(held_out) < FEWEST_EPOCHS or len(train) < FEWEST_EPOCHS:
        return None
    reached = statistics.median(held_out.values[-FEWEST_EPOCHS:])
    last: Any = view.series("loss/train")
    if (
        seen is not None
        and len(seen) >= FEWEST_EPOCHS
        and seen.steps[-FEWEST_EPOCHS] >= last.steps[-FEWEST_EPOCHS]
    ):
        return statistics.median(seen.values[-FEWEST_EPOCHS:]), reached
    entropies = [place for place in _places(view) if place["function"] in CROSS_ENTROPIES]
    loss = statistics.median(train[-FEWEST_EPOCHS:])
    if len(entropies) != 1 or _reweighted(view) or not 0 <= loss < math.inf:
        return None
    weight = 1.0 if len(_places(view)) == 1 else LEAST_WEIGHT
    return max(0.0, 1 - loss / (weight * math.log(2))), reached


def _validation_samples(view: View) -> int | None:
    places = view.fact("signals", "labels", "places") or []
    counts = [sum(place["counts"]) for place in places if place["part"] == "val"]
    return max(counts, default=None)


def _of_curves(read: Callable[[Curves], float | None]) -> Callable[[View], Value]:
    """Reads a figure of the verdict; None where a loss was not finite."""

    def of_view(view: View) -> float | None:
        curves = curves_of(view)
        return read(curves) if all(map(math.isfinite, (*curves.train, *curves.validation))) else None

    return of_view


def _validated(view: View) -> bool | None:
    curves = curves_of(view)
    return len(curves.validation) >= FEWEST_EPOCHS if curves.train else None


def _starts_finite(view: View) -> bool | None:
    series = view.series("loss/batch") or view.series("loss/window")
    return math.isfinite(series.values[0]) if series is not None else None


STEPS = Measure("steps taken", steps_taken, "steps")
FALL = Measure("fall of the training loss over the run", _fall, "share of the loss at the start")
PEAK = Measure("highest training loss seen", _peak, "times the loss at the start")
STARTS_FINITE = Measure("the first training loss is finite", _starts_finite)
NOT_FINITE = Measure("a training loss was not finite", not_finite)
NOISE = Measure("noise of the training loss in the second half", _noise, "share of the loss")
LATE_FALL = Measure("fall of the training loss in the second half", _change_at_end, "share of the loss")
LATE_CERTAINTY = Measure("the same fall over its noise", _significance, "standard errors")
TURNS = Measure("changes of the training loss that go against the one before", _turns, "share")
LATE_PART = Measure("part of the fall that came in the second half", _late_part, "share")
TRAINED_BEFORE = Measure("the loss starts far below that of a constant answer", _trained_before)
LEARNED = Measure("best training loss below chance or the first", _of_curves(verdict.learned), "share")
GAP = Measure(
    "metric on training data above that on validation data, beyond twice its standard error",
    _of_curves(verdict.gap),
)
RISE = Measure(
    "rise of the validation loss at the end above its best, beyond twice its noise",
    _of_curves(verdict.rise),
    "share",
)
MEMORY = Measure(
    "validation loss at the end above the training loss, where that is next to nothing beside it",
    _of_curves(verdict.memory),
    "share of the loss at the start",
)
SHORTFALL = Measure(
    "metric of gradient boosting above that of this model, beyond twice the standard error",
    _of_curves(verdict.shortfall),
)
VALIDATED = Measure("a validation loss was seen in at least three epochs", _validated)
