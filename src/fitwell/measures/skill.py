"""Labels and answers: how often each class occurs, how well it is recognized, and what a constant answer would do.

Skill is 0 for the best constant answer and 1 for a perfect one, so that losses and accuracies can be compared.
"""

from __future__ import annotations

import math
import re
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from fitwell.evidence import Measure, View
from fitwell.measures.curves import steps_taken, training_curve
from fitwell.measures.labels import is_sorted, labels_of, mixing, places_of

CROSS_ENTROPIES = ("cross_entropy", "nll_loss")
LEAST_LABELS = 5  # of a class, to judge how well it is recognized
LEARNED = 0.1  # fall of the training loss by which something was learned
ENOUGH = 30  # labels or targets that tell what a constant answer would lose
PART = re.compile("loss/[^/]+/val")
LATER = 0.5  # part of the passes that count for how it ends


def _ratio(view: View) -> float | None:
    place, held = labels_of(view), labels_of(view, True)
    if place is None or not sum(place["counts"]):
        return None
    others = held["counts"] if held is not None and held["classes"] == place["classes"] else place["counts"]
    used = [n for n, other in zip(place["counts"], others, strict=True) if n or other]
    return max(used) / max(1, min(used)) if len(used) > 1 else 1.0


def later(view: View, *names: str) -> float | None:
    """The median in the later half of the run, of the first of these signals that was seen there."""
    for name in names:
        series = view.series(name)
        if series is None:
            continue
        half = LATER * max(steps_taken(view) or 0, series.steps[-1])
        rows = zip(series.values, series.steps, strict=True)
        found = [value for value, step in rows if step >= half and math.isfinite(value)]
        if found:
            return statistics.median(found)
    return None


def _rare_recall(view: View) -> float | None:
    """Of held-out data in the end, else of the later batches of training."""
    found = later(view, "rare_recall/val", "rare_recall/test")
    if found is not None:
        return found
    place = labels_of(view)
    known = (place or {}).get("answers")
    if not known:
        return _recall_of_few(view)
    enough = [
        (n, right) for n, right in zip(known["labels"], known["right"], strict=True) if n >= LEAST_LABELS
    ]
    if len(enough) < 2:
        return _recall_of_few(view)
    labels, right = min(enough)
    return float(right / labels)


def _common_recall(view: View) -> float | None:
    """Of the later batches of training, else of held-out data, where it is the accuracy."""
    known = (labels_of(view) or {}).get("answers")
    rows = sorted(zip(known["labels"], known["right"], strict=True))[1:] if known else []
    labels = sum(n for n, _ in rows)
    return (
        sum(right for _, right in rows) / labels if labels else later(view, "accuracy/val", "accuracy/test")
    )


def _many_a_row(view: View) -> bool | None:
    place = labels_of(view)
    return None if place is None else bool(place.get("many_a_row"))


def _recall_of_few(view: View) -> float | None:
    """Where too few are met to count them: by how much answers are better than always the commonest class.

    That is at most the recall of the other classes, taken together. None unless something was learned.
    """
    accuracy, learned = _by_accuracy(view), _train_skill(view)
    return max(0.0, accuracy) if accuracy is not None and learned is not None and learned > LEARNED else None


def _seams(view: View) -> float | None:
    seams = (labels_of(view) or {}).get("seams")
    return seams["equal"] / seams["pairs"] if seams and seams["pairs"] else None


def _unseen_classes(view: View) -> float | None:
    """Held-out labels of classes that are ten times as common there as in training."""
    place, held = labels_of(view), labels_of(view, True)
    if place is None or held is None or place["classes"] != held["classes"]:
        return None
    train, other = sum(place["counts"]), sum(held["counts"])
    if min(train, other) < ENOUGH:
        return None
    pairs = zip(place["counts"], held["counts"], strict=True)
    return float(sum(b for a, b in pairs if a / train < 0.1 * b / other) / other)


def _entropy(place: Mapping[str, Any]) -> float | None:
    total = sum(place["counts"])
    if total < ENOUGH:
        return None
    met = [n / total for n in place["counts"] if n]
    # Of a sample it is too small by (classes - 1) / (2 samples), in the mean (Miller 1955).
    return (
        float(-sum(share * math.log(share) for share in met) + (len(met) - 1) / (2 * total))
        if len(met) > 1
        else 0.0
    )


def constant_loss(view: View, held_out: bool = False) -> float | None:
    """What the best constant answer loses: the entropy of the labels, or the spread of the targets.

    None where several losses are computed: which of them was recorded is not known; or where the data is sorted.
    """
    places = places_of(view, "labels", held_out), places_of(view, "targets", held_out)
    if len({place["function"] for each in places for place in each}) != 1:
        return constant_loss(view) if held_out and not any(places) else None
    if places[0]:
        if not held_out and is_sorted(view):
            return None
        return _entropy(max(places[0], key=lambda place: sum(place["counts"])))
    place = max(places[1], key=lambda place: place["samples"])
    return float(place["constant"]) if place["samples"] >= ENOUGH and place["constant"] is not None else None


def _skill(loss: float | None, constant: float | None) -> float | None:
    return None if loss is None or not constant else 1 - loss / constant


def training_end(view: View) -> float | None:
    """The training loss in the end."""
    curve = [value for value in training_curve(view) if math.isfinite(value)]
    return statistics.median(curve[-max(2, len(curve) // 5) :]) if len(curve) >= 2 else None


def _train_skill(view: View) -> float | None:
    return _skill(training_end(view), constant_loss(view))


def _by_accuracy(view: View) -> float | None:
    accuracy = later(view, "accuracy/val", "accuracy/test")
    common = later(view, "common_class/val", "common_class/test")
    if accuracy is None or common is None:
        return None
    return (accuracy - common) / (1 - common) if common < 1 else None


def _held_out_skill(view: View) -> float | None:
    """By loss or by accuracy, whichever is better: a loss may be bad only because answers are too sure."""
    by_loss = _skill(later(view, "loss/val", "loss/test"), constant_loss(view, True))
    found = [each for each in (by_loss, _by_accuracy(view)) if each is not None]
    return max(found, default=None)


def _difference(
    one: Callable[[View], float | None], other: Callable[[View], float | None]
) -> Callable[..., Any]:
    def read(view: View) -> float | None:
        a, b = one(view), other(view)
        return None if a is None or b is None else a - b

    return read


def _loss_ratio(view: View) -> float | None:
    held, train = later(view, "loss/val", "loss/test"), training_end(view)
    held = _least_part(view) if held is None else held
    return held / train if held is not None and train is not None and train > 0 and held > 0 else None


def _least_part(view: View) -> float | None:
    """Of several losses that make one: each of them is at most their sum, so the least is a careful choice."""
    names = {name.removesuffix("/val") for name in view.signals if PART.fullmatch(name)}
    parts = [later(view, f"{name}/val") for name in sorted(names)]
    return min((part for part in parts if part is not None), default=None)


def _sure_errors(view: View) -> float | None:
    return later(view, "sure_errors/val", "sure_errors/test")


def _flatness(view: View) -> float | None:
    sure, accuracy = _sure_errors(view), later(view, "accuracy/val", "accuracy/test")
    return None if sure is None or accuracy is None else sure / (1 - accuracy) if accuracy < 1 else 0.0


def _count(values: Sequence[int] | None) -> int | None:
    return None if values is None else sum(values)


CLASSES = Measure("classes", lambda view: (labels_of(view) or {}).get("classes"))
LABELS_SEEN = Measure(
    "labels of training that were seen", lambda view: _count((labels_of(view) or {}).get("counts"))
)
CLASS_RATIO = Measure("labels of the most common class for one of the rarest", _ratio)
RARE_RECALL = Measure("recall of the rarest class in the end", _rare_recall, "share")
COMMON_RECALL = Measure("recall of the other classes, taken together", _common_recall, "share")
MANY_A_ROW = Measure("a row of the input has many labels, as the letters of a text", _many_a_row)
MIXING = Measure("equal labels in a batch: 0 as in mixed data, 1 if each batch has one class", mixing)
SEAMS = Measure("batches that begin with the label that the one before ended with", _seams, "share")
UNSEEN_CLASSES = Measure("held-out labels of classes that training hardly saw", _unseen_classes, "share")
TRAIN_SKILL = Measure("fall of the training loss from that of a constant answer", _train_skill, "share")
HELD_OUT_SKILL = Measure("skill on held-out data: 0 as a constant answer, 1 perfect", _held_out_skill)
ACCURACY_SKILL = Measure("accuracy on held-out data: 0 as the most common class, 1 perfect", _by_accuracy)
EASIER = Measure(
    "skill on held-out data above that on training data", _difference(_held_out_skill, _train_skill)
)
LOSS_RATIO = Measure("held-out loss in the end, times that of training", _loss_ratio)
SURE_ERRORS = Measure(
    "wrong ones among the quarter of held-out answers that it is surest of", _sure_errors, "share"
)
FLATNESS = Measure("errors of its surest answers, times those of all answers", _flatness)
