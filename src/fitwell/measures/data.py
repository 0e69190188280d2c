"""What enters a model: its scale, what is not finite or constant in it, and whether held-out data is like it."""

from __future__ import annotations

import math
import re
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from fitwell.evidence import Measure, Subject, View
from fitwell.measures.curves import training_curve
from fitwell.measures.skill import constant_loss

NORMALIZING = re.compile(
    "BatchNorm|LayerNorm|GroupNorm|InstanceNorm|RMSNorm|LocalResponseNorm|Embedding|Quantile"
)
WIDEST = 64  # features of a table; more are pixels or words, some of which are always the same
BORDER = 0.4  # of a flattened picture so many pixels are black at times, in a table hardly two columns have one minimum
FEWEST_SAMPLES = 30
CLAIM = re.compile("val|test|dev|hold|held|eval", re.IGNORECASE)
START = 5  # steps whose loss is that of the beginning


def entering(view: View) -> Mapping[str, Any] | None:
    """The statistics of what enters the first model of a thread."""
    found = view.known("input_statistics")
    return found if isinstance(found, Mapping) and "each" in found else None


def _numbers(view: View) -> Mapping[str, Any] | None:
    """The same, of inputs that are measurements: not of indices."""
    found = entering(view)
    return found if found is not None and "float" in found["dtype"] else None


def _pairs(each: Mapping[str, Any], *names: str) -> list[tuple[float, ...]]:
    rows = zip(*(each[name] for name in names), strict=True)
    return [row for row in rows if all(value is not None for value in row)]


def _scale(view: View) -> float | None:
    found = _numbers(view)
    if found is None:
        return None
    return max((math.hypot(mean, std) for mean, std in _pairs(found["each"], "mean", "std")), default=None)


def _offset(view: View) -> float | None:
    """Largest distance of a feature's mean from 0, in units of its spread, or of the typical one if that is larger."""
    found = _numbers(view)
    rows = [] if found is None else [row for row in _pairs(found["each"], "mean", "std") if row[1] > 0]
    if not rows:
        return None
    typical = statistics.median(std for _, std in rows)
    return max(abs(mean) / max(std, typical) for mean, std in rows)


def _normalizes(view: View) -> bool | None:
    """Whether one of the first two layers scales its input itself, or looks it up."""
    layers = view.known("layers")
    if not isinstance(layers, Mapping) or not layers.get("table"):
        return None
    return any(NORMALIZING.search(row["class"]) for row in layers["table"][:2])


def _start(view: View) -> float | None:
    """The first losses, relative to that of a constant answer."""
    series, constant = view.series("loss/batch"), constant_loss(view)
    if series is None or not constant:
        return None
    first = [value for value, step in zip(series.values, series.steps, strict=True) if step <= START]
    return max((value if math.isfinite(value) else math.inf for value in first), default=math.nan) / constant


def _bad_values(view: View) -> int | None:
    found, batches = entering(view), view.fact("signals", "input_statistics", "not_finite_batches")
    if found is None and batches is None:
        return None
    parts = [found, found.get("held_out")] if found is not None else []
    inside = sum(part["not_finite"]["count"] for part in parts if part)
    return int(max(inside, sum(batch["count"] for batch in batches or [])))


def bad_places(view: View) -> Iterable[Subject] | None:
    """Where what is not finite was met: a column of the input, else a place in a loader's batch."""
    found, batches = entering(view), view.fact("signals", "input_statistics", "not_finite_batches")
    if found is None and batches is None:
        return None
    if found is not None and found["axis"] is not None and found["not_finite"]["features"]:
        features = found["not_finite"]["features"]
        return [
            {"place": f"of the model, {'channel' if len(found['shape']) > 2 else 'column'} {f}"}
            for f in features
        ]
    if found is not None and found["not_finite"]["count"]:
        return [{"place": "of the model"}]
    return [{"place": f"of the loader, entry {b['entry']} at {b['first']}"} for b in batches or []] or [
        {"place": "?"}
    ]


def constant_features(view: View) -> Iterable[Subject] | None:
    """The columns of a table that never vary."""
    found = _numbers(view)
    if found is None:
        return None
    if found["axis"] is None or len(found["shape"]) != 2 or not 1 < found["features"] <= WIDEST:
        return []
    lowest, held = found["each"]["min"], found.get("held_out")
    return [
        {"feature": f, "constant": lowest[f], "rows": found["samples"] + (held["samples"] if held else 0)}
        for f in found["constant"]["first"]
        if f < len(lowest) and not _is_border(lowest, f) and not _varies(held, f, lowest[f])
    ]


def _is_border(lowest: Sequence[float | None], feature: int) -> bool:
    """The pixels at the border of a flattened picture are always of the color that others are at times."""
    others = [low for number, low in enumerate(lowest) if number != feature]
    return others.count(lowest[feature]) > BORDER * len(others) and lowest[feature] == _least(others)


def _least(values: Iterable[float | None]) -> float | None:
    return min((value for value in values if value is not None), default=None)


def _varies(held: Mapping[str, Any] | None, feature: int, constant: float | None) -> bool:
    """Whether a column has other values in held-out data."""
    return held is not None and any(held["each"][end][feature] != constant for end in ("min", "max"))


def _shifted(view: View) -> float | None:
    """Features whose mean differs by half their spread in training or more, or whose spread by a factor of 3."""
    found = _numbers(view)
    held = (found or {}).get("held_out")
    if found is None or held is None or min(found["samples"], held["samples"]) < FEWEST_SAMPLES:
        return None
    one, other = (list(zip(part["each"]["mean"], part["each"]["std"], strict=True)) for part in (found, held))
    if len(one) != len(other):
        return None
    known = [(*a, *b) for a, b in zip(one, other, strict=True) if None not in (*a, *b)]
    typical = statistics.median([std for _, std, _, _ in known]) if known else 0.0
    # So much does the difference of two means of mixed data hardly ever exceed (four standard errors).
    least = max(0.5, 4 * math.sqrt(1 / found["samples"] + 1 / held["samples"]))
    moved = [
        _moved(mean, max(std, typical / 10), m, max(s, typical / 10), least) for mean, std, m, s in known
    ]
    return sum(moved) / len(moved) if moved and typical else None


def _noisier(view: View) -> float | None:
    """Features whose spread in training is half as large again as in held-out data, or more."""
    found = _numbers(view)
    held = (found or {}).get("held_out")
    if found is None or held is None or min(found["samples"], held["samples"]) < FEWEST_SAMPLES:
        return None
    one, other = found["each"]["std"], held["each"]["std"]
    pairs = [(a, b) for a, b in zip(one, other, strict=False) if a is not None and b]
    return sum(a > 1.5 * b for a, b in pairs) / len(pairs) if pairs else None


def _moved(mean: float, std: float, other: float, spread: float, least: float) -> bool:
    return abs(other - mean) > least * std or not 1 / 3 < spread / std < 3


def _overlaps(view: View) -> list[Mapping[str, Any]] | None:
    """The held-out parts whose rows can be compared with those of training."""
    found = view.known("sample_hashes")
    if not isinstance(found, Mapping) or "parts" not in found:
        return None
    return [part for name, part in found["parts"].items() if name not in ("train", "train_evaluated")]


def held_out_parts(view: View) -> Iterable[Subject] | None:
    """Each held-out part, with its overlap with the training data."""
    parts = _overlaps(view)
    if parts is None:
        return None
    found = view.known("sample_hashes")
    train = found["parts"]["train"]
    repeated = train["duplicates_in_batches"] / max(1, train["rows"])
    return [{**part, "repeated": repeated, "percent": _percent(part)} for part in parts]


def _percent(part: Mapping[str, Any]) -> str:
    share = part["corrected"] if part["corrected"] is not None else part["share"]
    return f"{100 * share:.0f} %"


def _overlap(view: View) -> float | None:
    share, corrected = view.subject.get("share"), view.subject.get("corrected")
    return corrected if corrected is not None else share


def _meant(view: View) -> bool | None:
    """All of it is training data: then it must be called validation or test to be taken for that."""
    overlap, losses = _overlap(view), view.subject.get("losses")
    if overlap is None or losses is None:
        return None
    return overlap < 0.95 or any(CLAIM.search(line) for line in losses)


def _samples(view: View) -> float | None:
    """Of the training data: told by its loader or tensor, else estimated from rows that were seen again."""
    found, epochs = view.known("sample_hashes"), view.fact("epochs") or {}
    looks = found.get("looks") if isinstance(found, Mapping) else None
    if epochs.get("size") and epochs.get("known_by") == "tensor":
        return float(epochs["size"])
    if epochs.get("size") and epochs.get("known_by") == "loader" and looks:
        return float(epochs["size"] * max(rows for _, rows, _ in looks))
    return found.get("estimated_samples") if isinstance(found, Mapping) else None


def _seen_again(view: View) -> float | None:
    """Rows that were met again in a later pass, as a share of those that would be if they stayed the same."""
    found, samples = view.known("sample_hashes"), _samples(view)
    looks = found.get("looks") if isinstance(found, Mapping) else None
    if not looks or not samples or found["parts"]["train"]["batches"] > len(looks):
        return None
    hashed: dict[float, float] = {}
    for step, rows, count in looks:
        number = (step - 1) * rows // samples
        hashed[number] = hashed.get(number, 0) + count
    new = samples * (1 - math.prod(1 - min(1.0, count / samples) for count in hashed.values()))
    expected = sum(hashed.values()) - new
    train = found["parts"]["train"]
    again = train["rows"] - train["distinct"]
    # By chance none of 4 expected rows is met in one run of fifty; rows that change are hardly ever met.
    told = expected >= 10 or again >= 3 or (expected >= 4 and not again)
    return float(again / expected) if told and expected >= 1 else None


def _dropout(view: View) -> bool | None:
    layers = view.known("layers")
    if not isinstance(layers, Mapping) or "table" not in layers:
        return None
    return any("Dropout" in row["class"] or "DropPath" in row["class"] for row in layers["table"])


def _parameters(view: View) -> int | None:
    threads = view.fact("threads") or []
    return next((thread.get("parameters") for thread in threads if thread["name"] == view.thread), None)


def _parameters_a_sample(view: View) -> float | None:
    parameters, samples = _parameters(view), _samples(view)
    return None if parameters is None or not samples else parameters / samples


def _broken(view: View) -> bool | None:
    batches = view.series("loss/batch")
    values = [*(batches.values if batches is not None else []), *training_curve(view)]
    return any(not math.isfinite(value) for value in values) if values else None


SCALE = Measure("largest root mean square of a feature that enters the model", _scale)
OFFSET = Measure("largest distance of a feature's mean from 0, in standard deviations", _offset)
NORMALIZES = Measure("one of the first two layers normalizes, or looks up embeddings", _normalizes)
START_LOSS = Measure("highest loss of the first five steps, times that of a constant answer", _start)
BAD_VALUES = Measure("numbers of the input that are not finite", _bad_values)
LOSS_BROKE = Measure("a training loss was not finite", _broken)
INPUTS_SEEN = Measure("rows of the input that were seen", lambda view: view.subject.get("rows"))
SHIFTED = Measure("features whose mean or spread is another one in held-out data", _shifted, "share")
NOISIER = Measure("features that are spread wider in training than in held-out data", _noisier, "share")
OVERLAP = Measure("held-out rows that were trained on", _overlap, "share")
OVERLAPPING = Measure(
    "held-out rows that were met in training", lambda view: view.subject.get("found_in_train")
)
EVEN = Measure("all held-out batches overlap alike", lambda view: view.subject.get("even"))
MASKED = Measure(
    "only some rows of a batch count, as the nodes of a graph", lambda view: view.subject.get("masked")
)
REPEATED = Measure(
    "rows that are met twice in a batch of training", lambda view: view.subject.get("repeated"), "share"
)
MEANT = Measure("it is more than a look at the training data", _meant)
SAMPLES = Measure("samples of the training data", _samples)
SEEN_AGAIN = Measure("training rows met again unchanged, of those expected", _seen_again, "share")
DROPOUT = Measure("the model has dropout", _dropout)
PARAMETERS_A_SAMPLE = Measure("parameters for each sample", _parameters_a_sample)
