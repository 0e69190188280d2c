"""class-imbalance: a rare class is hardly ever recognized."""

from typing import Any

from fitwell.diagnosis import Example, Rule, Source
from fitwell.evidence import all_of
from fitwell.measures.skill import (
    CLASS_RATIO,
    CLASSES,
    COMMON_RECALL,
    LABELS_SEEN,
    MANY_A_ROW,
    RARE_RECALL,
)


def _seen(
    common: int,
    rare: int,
    recall: float,
    *,
    classes: int = 2,
    rest: int = 100,
    right: int = 990,
    many: bool = False,
) -> dict[str, Any]:
    counts = [common, rare, *[rest] * (classes - 2)]
    place: dict[str, Any] = {
        "function": "cross_entropy",
        "part": "train",
        "classes": classes,
        "counts": counts,
    }
    place |= {"answers": {"labels": [1000, 100], "right": [right, round(100 * recall)]}, "many_a_row": many}
    return {"facts": {"signals": {"labels": {"places": [place]}}}}


RULE = Rule(
    kind="cause",
    severity="warning",
    says="one class is much rarer than another, and the model hardly ever recognizes it",
    when=all_of(
        CLASS_RATIO > 8,  # ten times, as it looks in a few batches
        RARE_RECALL < 0.3,
        COMMON_RECALL > 0.5,  # else hardly anything is learned yet
        MANY_A_ROW.equals(False),  # letters and pixels are rare or common by nature
        LABELS_SEEN > 100,  # by fewer the ratio is not known
        CLASSES <= 20,  # of words or identities some are rare in any data, and nobody minds
    ),
    because="The mean loss is dominated by the common class: an answer that ignores the rare one costs little, and "
    "accuracy stays high while what is looked for is not found.",
    may_be_wrong_if="the classes cannot be told apart better, the model has not been trained for long enough, or "
    "probabilities are wanted rather than decisions.",
    remedies=(
        "weight the classes in the loss: cross_entropy(..., weight=...), or pos_weight for two classes",
        "draw the rare class more often with WeightedRandomSampler",
        "look at recall and precision of each class, and move the threshold of the decision",
    ),
    sources=(
        Source("Buda, Maki and Mazurowski 2018, class imbalance in CNNs", "https://arxiv.org/abs/1710.05381"),
        Source("Lin et al. 2017, Focal Loss for Dense Object Detection", "https://arxiv.org/abs/1708.02002"),
    ),
    proves=False,
    explains=("loss-plateau", "underfitting"),
    fires=(Example("one positive in twenty, found once in ten times", **_seen(950, 50, 0.1)),),
    quiet=(
        Example("one in eight", **_seen(800, 105, 0.1)),
        Example("a third of the rare class is found", **_seen(950, 50, 0.33)),
        Example("ninety labels were seen", **_seen(88, 5, 0.1)),
        Example("little is learned yet", **_seen(950, 50, 0.1, right=450)),
        Example("letters of a text", **_seen(950, 50, 0.1, many=True)),
        Example("words of a text", **_seen(950, 50, 0.1, classes=24)),
    ),
)
