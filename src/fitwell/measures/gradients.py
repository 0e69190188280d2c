"""What gradients, updates and weights say of a training, from the steps that were watched in detail.

These are few: the first five, and then as many as the budget allows. So medians over them are taken.
"""

from __future__ import annotations

import bisect
import itertools
import math
import statistics
from collections.abc import Mapping
from typing import Any

from fitwell.evidence import Measure, Series, View
from fitwell.measures.curves import steps_taken

DECOUPLED = (
    "AdamW",
    "NAdamW",
    "RAdamW",
    "Lion",
    "Adafactor",
    "Muon",
)  # take weight decay out of the gradient
CLASSIFIERS = ("cross_entropy", "nll_loss")
MOST = 1e6  # that a quotient is said to be
ZERO = 0.01  # of the median weight norm: a layer below that starts at zero, as biases do
TOOK_EFFECT = 1.001  # times the norm after clipping


def _finite(series: Series | None) -> list[float]:
    return [] if series is None else series.finite


def _median(values: list[float]) -> float | None:
    return statistics.median(values) if values else None


def _update(view: View) -> float | None:
    """Of the steps after the first: weights that begin at 0 move by all of their norm in it."""
    series = view.series("update/ratio")
    if series is None:
        return None
    return _median(
        [v for v, n in zip(series.values, series.steps, strict=True) if n > 1 and math.isfinite(v)]
    )


def _largest_update(view: View) -> float | None:
    return max(_finite(view.series("update/ratio")), default=None)


def _rates(view: View) -> Series | None:
    """The learning rate; None unless it was above 0 at some time."""
    rates = view.series("lr")
    return rates if rates is not None and max(rates.finite, default=0.0) > 0 else None


def _rate_at(rates: Series, step: int) -> float:
    """As it was last seen by a step."""
    return rates.values[max(0, bisect.bisect_right(rates.steps, step) - 1)]


def _mean_rate(rates: Series) -> float:
    """Over all steps: each value holds until the next."""
    spans = [after - before for before, after in itertools.pairwise([*rates.steps, rates.steps[-1] + 1])]
    return sum(rate * span for rate, span in zip(rates.values, spans, strict=True)) / sum(spans)


def _longest_step(view: View) -> float | None:
    """Of the steps that were seen, had they been taken at the mean rate: the first say little of one that warms up."""
    updates, rates = view.series("update/ratio"), _rates(view)
    if updates is None or rates is None:
        return _largest_update(view)
    usual = _mean_rate(rates)
    found = [
        (value, rate)
        for value, step in zip(updates.values, updates.steps, strict=True)
        if math.isfinite(value) and (rate := _rate_at(rates, step)) > 0
    ]
    return max((value * usual / rate for value, rate in found), default=None)


def _path(view: View) -> float | None:
    """At most, if every step went the same way, and as far as the longest that was seen."""
    longest, steps = _longest_step(view), steps_taken(view)
    return None if longest is None or steps is None else longest * steps


def _cosine(view: View) -> float | None:
    found = _finite(view.series("gradient/cosine"))
    return _median(found) if len(found) >= 3 else None


def _norm_growth(view: View) -> float | None:
    """The largest norm over the median of those before it."""
    norms = _finite(view.series("gradient/norm_before_clipping") or view.series("gradient/norm"))
    before, growth = sorted(norms[:2]), []
    for norm in norms[2:]:
        middle = before[len(before) // 2]
        if middle > 0:
            growth.append(norm / middle)
        bisect.insort(before, norm)
    return max(growth, default=None)


def _clipped(view: View) -> bool | None:
    """Whether gradients are clipped before steps, and the limit is low enough to matter."""
    after, before = view.series("gradient/norm"), view.series("gradient/norm_before_clipping")
    if after is None or before is None:
        return None if after is None else False
    norms = dict(zip(after.steps, after.values, strict=True))
    pairs = [(v, norms[n]) for v, n in zip(before.values, before.steps, strict=True) if n in norms]
    return any(not long <= TOOK_EFFECT * short for long, short in pairs)


def relative_gradients(view: View) -> dict[str, float]:
    """By layer the median over the watched steps of gradient norm / weight norm; of layers with weights alone.

    Not of those that start at zero, such as biases that are tensors of their own: a share of next to nothing is large.
    """
    gradients = view.layers("gradient_norm")
    weights = {name: _median(_finite(series)) or 0.0 for name, series in view.layers("weight_norm").items()}
    least = ZERO * statistics.median(weights.values()) if weights else 0.0
    found = {}
    for name, series in gradients.items():
        weight = weights.get(name)
        gradient = _median(_finite(series))
        if weight and weight >= least and gradient is not None and len(series) >= 2:
            found[name] = gradient / weight
    return found


def _through_depth(view: View) -> float | None:
    """Relative gradient of the first quarter of the layers over that of the last layer."""
    found = list(relative_gradients(view).values())
    if len(found) < 3:
        return None
    first, last = _median(found[: max(1, len(found) // 4)]), found[-1]
    if first is None or last <= 0:
        return None
    return first / last


def _weight_norm(view: View, at: int) -> float | None:
    """Of all layers together: 0 is at the first watched step, -1 at the last."""
    weights = [series.values[at] for series in view.layers("weight_norm").values()]
    return math.hypot(*weights) if weights and all(map(math.isfinite, weights)) else None


def _gradient_size(view: View, least: float = 1.0) -> float | None:
    """The norm of the whole gradient over that of the whole weights, at the first watched step.

    Over 1 where weights are smaller, which start at zero: next to them any gradient is large.
    """
    gradient, norm = _finite(view.series("gradient/norm")), _weight_norm(view, 0)
    return gradient[0] / max(norm, least) if gradient and norm else None


def _weights_left(view: View) -> float | None:
    before, after = _weight_norm(view, 0), _weight_norm(view, -1)
    return after / before if before and after is not None else None


def settings(view: View) -> Mapping[str, Any]:
    """Of the optimizer's first parameter group; ``optimizer`` is its class."""
    known = view.known("learning_rate") or {}
    return {"optimizer": known.get("optimizer")} | (known.get("first_group") or {})


def _decay(view: View) -> float | None:
    value = settings(view).get("weight_decay")
    return None if value is None else float(value)


def _decay_share(view: View) -> float | None:
    """The step that the decay takes over the step that the gradient takes.

    In the gradient (SGD, Adam) these are ``weight_decay * |w|`` and ``|g|``, at the first step. AdamW shrinks
    weights by ``lr * weight_decay`` of themselves, beside an update that was measured as a share of them, too.
    """
    decay, kind = _decay(view), settings(view).get("optimizer")
    if not decay:
        return None if decay is None else 0.0
    if kind in DECOUPLED:
        update, rates, rate = view.series("update/ratio"), _rates(view), settings(view).get("lr")
        if update is None or (rates is None and rate is None):
            return None
        moved = [(v, step) for v, step in zip(update.values, update.steps, strict=True) if v > 0]
        pulls = [
            (_rate_at(rates, step) if rates else float(rate or 0.0)) * decay / value for value, step in moved
        ]
        return _median([min(MOST, pull) for pull in pulls])
    gradient = _gradient_size(view, 0.0)
    return None if gradient is None else min(MOST, decay / gradient) if gradient else MOST


def _widths(view: View) -> list[int]:
    """Outputs of the linear layers."""
    rows = (view.known("layers") or {}).get("table", [])
    linear = [row for row in rows if row["class"] in ("Linear", "LazyLinear")]
    return [int(row["output"][-1]) for row in linear if row.get("output")]


def _units(view: View) -> int | None:
    """Of the narrowest layer before the last."""
    return min(_widths(view)[:-1], default=None)


def _narrowest(view: View) -> float | None:
    """Outputs of the narrowest layer before the last, by class; None if nothing is classified."""
    widths = _widths(view)
    if len(widths) < 2 or widths[-1] < 3 or not _classifies(view):
        return None if not widths else 1.0
    return float(min(widths[:-1]) / widths[-1])


def _quasi_newton(view: View) -> bool:
    return settings(view).get("optimizer") == "LBFGS"


def _classifies(view: View) -> bool:
    return any(place["function"] in CLASSIFIERS for place in _places(view))


def _parameters(view: View) -> int | None:
    for thread in view.fact("threads") or []:
        if thread["name"] == view.thread:
            return int(thread["parameters"])
    known: Any = view.fact("fit", "parameters")
    return None if known is None else int(known)


def _places(view: View) -> list[Mapping[str, Any]]:
    return [
        place for place in view.fact("signals", "loss_inputs", "places") or [] if place["part"] == "train"
    ]


def _batch(view: View) -> int | None:
    """Samples, or labels where each is classified; None where no data set is known (play, a critic's own answers)."""
    passes = any(thread["epochs"] for thread in view.fact("threads") or [])
    counts: list[int] = []
    for place in _places(view):
        shape = place.get("target_shape") or place.get("input_shape") or [1]
        if place["function"] in CLASSIFIERS:
            counts.append(math.prod(shape))
        elif passes:
            counts.append(int(shape[0]))
    return max(counts, default=None)


UPDATE = Measure("weights moved by a step, at the median", _update, "share of their norm")
LONGEST_STEP = Measure(
    "weights moved by a step at the mean rate, at most", _longest_step, "share of their norm"
)
LARGEST_UPDATE = Measure("weights moved by a step, at most", _largest_update, "share of their norm")
PATH = Measure("weights moved by all steps together, at most", _path, "share of their norm")
COSINE = Measure("cosine between the gradients of successive steps, at the median", _cosine)
NORM_GROWTH = Measure("largest gradient norm over the median before it", _norm_growth)
CLIPPED = Measure("gradients are clipped, to less than they were", _clipped)
THROUGH_DEPTH = Measure(
    "gradient of the first layers over that of the last, relative to their weights", _through_depth
)
GRADIENT_SIZE = Measure("gradient norm over weight norm at the first step", _gradient_size)
WEIGHTS_LEFT = Measure("norm of all weights at the last look over that at the first", _weights_left)
QUASI_NEWTON = Measure("the optimizer is LBFGS, whose steps are long", _quasi_newton)
DECAY = Measure("weight decay", _decay)
DECAY_SHARE = Measure("pull of weight decay over that of the gradient", _decay_share)
BATCH = Measure("samples a step is taken from", _batch, "samples")
UNITS = Measure("units of the narrowest hidden layer", _units)
NARROWEST = Measure("outputs of the narrowest hidden layer by class", _narrowest)
PARAMETERS = Measure("trainable parameters", _parameters)
