"""data-not-shuffled: batches come class by class."""

from typing import Any

from fitwell.diagnosis import Example, Rule, Source
from fitwell.evidence import all_of
from fitwell.measures.places import unshuffled_place
from fitwell.measures.skill import LABELS_SEEN, MIXING, SEAMS


def _seen(mates: float, seams: float, labels: int = 320) -> dict[str, Any]:
    place: dict[str, Any] = {
        "function": "cross_entropy",
        "part": "train",
        "classes": 2,
        "counts": [labels // 2] * 2,
    }
    place |= {"batch_mates": {"pairs": 1000, "equal": round(1000 * (0.5 + 0.5 * mates))}}
    place |= {"seams": {"pairs": 100, "equal": round(100 * seams)}}
    return {"facts": {"signals": {"labels": {"places": [place]}}}}


RULE = Rule(
    kind="cause",
    severity="warning",
    says="the training data comes class by class: most labels of a batch are equal",
    when=all_of(
        # Mixed labels give 0 with an error of about 0.02; samplers that draw a few of each class stay below 0.2.
        MIXING > 0.4,
        # Else batches of one class alternate, as real and generated samples do.
        SEAMS > 0.4,
        LABELS_SEEN > 30,
    ),
    because="Each step then pulls the model to the class of its batch, and the next ones pull it away: the gradient of "
    "a batch is no estimate of that of the data, and the classes that came last win.",
    may_be_wrong_if="the classes are to be learned one after another (continual learning), or a batch is one sequence.",
    remedies=(
        "give the DataLoader shuffle=True",
        "where batches are slices: permute samples and labels together, anew in each epoch",
    ),
    sources=(
        Source(
            "Bottou 2012, Stochastic Gradient Descent Tricks",
            "https://leon.bottou.org/publications/pdf/tricks-2012.pdf",
        ),
        Source("DataLoader", "https://docs.pytorch.org/docs/stable/data.html"),
    ),
    proves=False,
    explains=(
        "distribution-shift",
        "labels-unrelated-to-input",
        "loss-oscillates",
        "loss-plateau",
        "slow-convergence",
        "underfitting",
        "overfitting",
        "learning-rate-too-high",
        "batch-size-too-small",
        "class-imbalance",
        "label-noise",
        "too-little-data",
        "augmentation-too-strong",
    ),
    fires=(Example("sorted by class", **_seen(0.95, 0.9)),),
    quiet=(
        Example("some order within mixed batches", **_seen(0.34, 0.9)),
        Example("batches of one class that alternate", **_seen(0.95, 0.34)),
        Example("a few labels", **_seen(0.95, 0.9, labels=28)),
    ),
    where=unshuffled_place,
)
