"""How a model is built and how its weights began, from what was tried in a forked child and from its layers.

Facts of the signals ``examination`` and ``initial_weights``; subjects are models, or weights of layers.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping
from typing import Any

from fitwell.evidence import Measure, Subject, Value, View

LATEST = 2  # looks that a share of units is read from; each counts several batches
AFFINE_LAYERS = ("Linear", "Conv1d", "Conv2d", "Conv3d", "LSTM", "GRU", "RNN", "ParametrizedLinear")
NORMS = ("BatchNorm", "LayerNorm", "GroupNorm", "InstanceNorm", "RMSNorm", "LocalResponseNorm")


def models(view: View) -> list[Subject] | None:
    """The models of a thread that were examined in a forked child, each with its name as ``model``."""
    seen = view.known("examination")
    examined = [{"model": n} | found for n, found in (seen or {}).items() if "random" in found]
    return examined or None


def _at(*path: str) -> Callable[[View], Value]:
    def read(view: View) -> Value:
        found: Any = view.subject
        for key in path:
            found = found.get(key) if isinstance(found, Mapping) else None
        return found  # type: ignore[no-any-return]

    return read


def _line_of_dropout(view: View) -> bool | None:
    random = view.subject.get("random") or {}
    if not random.get("repeats"):
        return None
    return bool(random["differs"] and random.get("dropout") and not _many_times(view))


def _many_times(view: View) -> bool:
    """Whether chance is meant: the same samples are evaluated again and again (Monte Carlo)."""
    line = (view.subject.get("random") or {}).get("dropout") or {}
    told = "training=True" in line.get("text", "").replace(" ", "")
    unseen = told and not (view.subject.get("calls") or {}).get("held_out")  # who writes that out may mean it
    return bool(view.subject.get("repeated") or unseen)


def _noise(view: View) -> bool | None:
    random = view.subject.get("random") or {}
    if not random.get("repeats"):
        return None
    places = view.fact("signals", "loss_inputs", "places") or []
    classifies = any(p["function"] in ("cross_entropy", "nll_loss") for p in places if p["part"] == "train")
    drawn = random.get("noise") and not random.get("dropout")
    return bool(random["differs"] and drawn and classifies and not _many_times(view))


def line_of_dropout(view: View) -> Mapping[str, Any] | None:
    """The line of the dropout that is at work in evaluation mode, or of other random numbers."""
    random = view.subject.get("random") or {}
    where: Mapping[str, Any] | None = random.get("dropout") or random.get("noise")
    return where


def _others_changed(view: View) -> Value:
    """Noise that is scaled by what the batch holds changes all samples, which tells nothing of the model."""
    random, mixed = view.subject.get("random") or {}, view.subject.get("mixed")
    return None if random.get("differs") and random.get("noise") and mixed == 1 else mixed


DROPOUT_IN_EVALUATION = Measure(
    "in evaluation mode equal inputs give other outputs, and dropout drew numbers", _line_of_dropout
)
NOISE_IN_EVALUATION = Measure(
    "in evaluation mode a classifier gives other outputs for equal inputs, and forward drew random numbers",
    _noise,
)
OTHERS_CHANGED = Measure(
    "samples of a batch whose output changes with another sample", _others_changed, "share of the others"
)
INPUT_MATTERS = Measure(
    "output depends on the input (no; now: only with other weights; never; constant: it is given one number alone)",
    _at("ignored"),
)
AFFINE_ERROR = Measure(
    "distance of the model from one affine map, on random inputs",
    _at("affine", "error"),
    "share of its outputs",
)
ACTIVATIONS = Measure(
    "activations and other nonlinear operations before the last weights, pooling left out",
    _at("affine", "activations"),
    "operations",
)
REDUNDANT_PAIRS = Measure(
    "pairs of affine layers in a row that do no more than one could", _at("affine", "redundant"), "pairs"
)


def weights(view: View) -> list[Subject] | None:
    """The weights of linear, convolutional and recurrent layers, with the line that calls the layer.

    Each says whether it is the ``last`` one: what the loss is computed from. Where no module is called, the weights
    are plain tensors, in the order in which the optimizer holds them.
    """
    seen, table = view.known("initial_weights"), (view.known("layers") or {}).get("table")
    if not seen or not (table or _of_tensors(view)):
        return None
    rows: Mapping[str, Mapping[str, Any]] = {row["name"]: row for row in table or []}
    kept = [each for each in seen if not rows or rows.get(each["layer"], {}).get("class") in AFFINE_LAYERS]
    order = list(rows) or [each["layer"] for each in seen]
    last = max(kept, key=lambda each: order.index(each["layer"]), default=None)
    places = {name: row.get("where") for name, row in rows.items()}
    return [dict(each) | {"last": each is last, "where": places.get(each["layer"])} for each in kept]


def _of_tensors(view: View) -> bool:
    """Whether the thread has no module: its weights are tensors that the program made by itself."""
    threads = view.fact("threads") or []
    return any(thread["name"] == view.thread and thread.get("models") == [] for thread in threads)


def scaled_place(view: View) -> Mapping[str, Any] | None:
    """The line that calls the layer with the largest initial weights, if they are too large, else the smallest."""
    known = [each for each in weights(view) or [] if not each["zero"] and each["where"]]
    largest = max(known, key=lambda each: each["gain"], default=None)
    if largest is not None and largest["gain"] < 1:
        largest = min(known, key=lambda each: each["gain"])
    return largest["where"] if largest is not None else None


def _alike_share(view: View) -> float | None:
    looks = view.subject.get("looks")
    return float(view.subject["alike_looks"] / looks) if looks else None


UNITS = Measure("units of the layer", lambda view: view.subject.get("units"), "units")
ALIKE_LOOKS = Measure(
    "steps after which its units were seen", lambda view: view.subject.get("looks"), "steps"
)
ALIKE = Measure(
    "of these, steps after which all units had equal weights and gradients", _alike_share, "share"
)
BEGAN_ALIKE = Measure(
    "all units began with the same weights, other than 0",
    lambda view: view.subject["alike"] and not view.subject["zero"] if "alike" in view.subject else None,
)
LAST_LAYER = Measure("it is the last layer", lambda view: view.subject.get("last"))


def _gains(view: View) -> list[float]:
    return [each["gain"] for each in weights(view) or [] if not each["zero"] and each["units"] > 1]


def _first_loss(view: View) -> float | None:
    """The loss of the first step over that of a constant answer: of the label counts, or a target's spread."""
    batches, places = view.series("loss/batch"), view.fact("signals", "loss_inputs", "places") or []
    places = [place for place in places if place["part"] == "train"]
    if batches is None or batches.steps[0] > 1 or len(places) != 1 or not math.isfinite(batches.values[0]):
        return None
    function, outputs = places[0]["function"], places[0].get("outputs")
    if function in ("cross_entropy", "nll_loss"):
        return float(batches.values[0] / math.log(outputs)) if outputs and outputs > 1 else None
    if function == "binary_cross_entropy_with_logits":
        return batches.values[0] / math.log(2)
    target = places[0].get("target")
    if function != "mse_loss" or not target or target[1] == target[0]:
        return None
    return float(batches.values[0] / max((target[1] - target[0]) ** 2 / 12, (sum(target) / 2) ** 2))


def _output_spread(view: View) -> float | None:
    """Of the last layer at the first step."""
    series = view.layers("activation_std")
    return next((s.finite[0] for s in reversed(series.values()) if s.finite and s.steps[0] == 1), None)


OUTPUT_SPREAD = Measure("spread of what the last layer gives at the first step", _output_spread)
FIRST_LOSS = Measure("loss of the first step, over that of a constant answer", _first_loss)


def _largest_gain(view: View) -> float | None:
    return max(_gains(view), default=None)


def _typical_gain(view: View) -> float | None:
    gains = _gains(view)
    return statistics.median(gains) if len(gains) > 1 else None


def _normalized(view: View) -> bool | None:
    table = (view.known("layers") or {}).get("table")
    return any(row["class"].startswith(NORMS) for row in table) if table else None


LARGEST_GAIN = Measure(
    "largest initial scale of a layer's weights (root mean square times root of its inputs)", _largest_gain
)
TYPICAL_GAIN = Measure(
    "median initial scale of the layers' weights (root mean square times root of their inputs)", _typical_gain
)
NORMALIZED = Measure("the model has normalization layers", _normalized)


def unit_layers(signal: str) -> Callable[[View], list[Subject] | None]:
    """The layers that have a share of dead or saturated units.

    Args:
        signal: ``dead_share`` or ``saturated_share``.
    """

    def subjects(view: View) -> list[Subject] | None:
        series = view.layers(signal)
        rows = {row["name"]: row for row in (view.known("layers") or {}).get("table", [])}
        known = view.known("saturated_units") or {}
        found: list[Subject] = [
            {"layer": name, "values": values.finite, "epochs": values.epochs[-1],
             "output": (known.get(name) or {}).get("loss") is not None,
             "where": rows.get(name, {}).get("where")}
            for name, values in series.items()
        ]  # fmt: skip
        return found or None

    return subjects


def _latest_share(view: View) -> float | None:
    values = view.subject.get("values") or []
    return min(values[-LATEST:]) if len(values) >= LATEST else None


UNIT_SHARE = Measure("least share of its units in that state in the last two looks", _latest_share, "share")
UNIT_EPOCHS = Measure("passes over the data by then", lambda view: view.subject.get("epochs"), "epochs")
IS_OUTPUT = Measure("a loss is computed from this activation", lambda view: view.subject.get("output"))
