"""too-little-data: a few samples are learned by heart."""

from typing import Any

from fitwell.diagnosis import Example, Rule, Source
from fitwell.evidence import all_of
from fitwell.measures.data import PARAMETERS_A_SAMPLE, SAMPLES
from fitwell.measures.skill import LOSS_RATIO


def _seen(samples: int, parameters: int, ratio: float) -> dict[str, Any]:
    facts = {
        "epochs": {"known_by": "tensor", "size": samples},
        "threads": [{"name": "", "steps": 5, "parameters": parameters}],
    }
    return {"facts": facts, "signals": {"loss/train": [1.0] * 5, "loss/val": [ratio] * 5}}


RULE = Rule(
    kind="cause",
    severity="advice",
    says="there are few training samples for a model of this size, and it does much worse on held-out data",
    when=all_of(
        SAMPLES < 1000,
        PARAMETERS_A_SAMPLE > 5,
        LOSS_RATIO > 1.4,
    ),
    because="A model with more parameters than samples can learn each one by heart. More samples narrow the gap to "
    "held-out data most surely.",
    may_be_wrong_if="the held-out data is of another kind than the training data.",
    remedies=(
        "get more samples, or make more of them by augmentation",
        "begin with a model that was trained on similar data, and train its last layers only",
        "make the model smaller, use weight decay or dropout, and stop early",
    ),
    sources=(
        Source(
            "Hestness et al. 2017, deep learning scaling is predictable", "https://arxiv.org/abs/1712.00409"
        ),
    ),
    proves=False,
    fires=(Example("a hundred samples, ten thousand parameters", **_seen(100, 10_000, 5.0)),),
    quiet=(
        Example("eleven hundred samples", **_seen(1100, 100_000, 5.0)),
        Example("a small model", **_seen(100, 450, 5.0)),
        Example("a small gap", **_seen(100, 10_000, 1.3)),
    ),
)
