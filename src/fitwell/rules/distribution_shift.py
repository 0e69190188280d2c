"""distribution-shift: held-out data is unlike the training data, and the model fails on it."""

from typing import Any

from fitwell.diagnosis import Example, Rule, Source
from fitwell.evidence import all_of, any_of
from fitwell.measures.data import SHIFTED
from fitwell.measures.skill import LOSS_RATIO, UNSEEN_CLASSES


def _seen(moved: int, unseen: int, ratio: float) -> dict[str, Any]:
    """Ten features of which so many are moved; so many held-out labels in a hundred are of a class not trained on."""
    each = {"mean": [0.0] * 10, "std": [1.0] * 10}
    other = {"mean": [5.0] * moved + [0.0] * (10 - moved), "std": [1.0] * 10}
    entered: dict[str, Any] = {
        "dtype": "float32",
        "samples": 300,
        "each": each,
        "held_out": {"samples": 100, "each": other},
    }
    places = [
        {"function": "cross_entropy", "part": "train", "classes": 2, "counts": [100, 0]},
        {"function": "cross_entropy", "part": "val", "classes": 2, "counts": [100 - unseen, unseen]},
    ]
    facts = {"signals": {"input_statistics": {"threads": {"": entered}}, "labels": {"places": places}}}
    return {"facts": facts, "signals": {"loss/train": [1.0] * 5, "loss/val": [ratio] * 5}}


RULE = Rule(
    kind="cause",
    severity="warning",
    says="held-out data is unlike the training data, and the model fails on it",
    when=all_of(
        any_of(
            # A random half of the data moves by a tenth of the spread, seldom by all of it.
            SHIFTED > 0.35,
            UNSEEN_CLASSES > 0.3,
        ),
        LOSS_RATIO > 1.5,
    ),
    because="A model is right about data like that it was trained on. Most often one part is scaled and the other is "
    "not, or the data was split in the order of classes, places or times.",
    may_be_wrong_if="other data is meant to be met there, as in a test of how far the model carries.",
    remedies=(
        "prepare both parts with the same code: means and spreads are those of the training data",
        "shuffle before splitting, stratified by class, unless the order is that of time",
    ),
    sources=(
        Source("Rabanser, Günnemann and Lipton 2019, Failing Loudly", "https://arxiv.org/abs/1810.11953"),
        Source("common pitfalls in scikit-learn", "https://scikit-learn.org/stable/common_pitfalls.html"),
    ),
    proves=False,
    explains=("overfitting", "labels-unrelated-to-input", "too-little-data", "label-noise"),
    fires=(
        Example("all features are scaled otherwise", **_seen(10, 0, 6.0)),
        Example("a class that training never saw", **_seen(0, 60, 6.0)),
    ),
    quiet=(
        Example("a few other features", **_seen(3, 0, 6.0)),
        Example("a few samples of new classes", **_seen(0, 28, 6.0)),
        Example("other data that it copes with", **_seen(10, 60, 1.4)),
    ),
)
