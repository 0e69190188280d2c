"""labels-unrelated-to-input: what is learned from the training data says nothing about held-out data."""

from typing import Any

from fitwell.diagnosis import Example, Rule, Source
from fitwell.evidence import all_of
from fitwell.measures.skill import EASIER, HELD_OUT_SKILL, TRAIN_SKILL


def _seen(train: float, held_out: float) -> dict[str, Any]:
    places = [
        {"function": "mse_loss", "part": part, "samples": 500, "constant": 1.0} for part in ("train", "val")
    ]
    signals = {"loss/train": [1.0, *[1 - train] * 9], "loss/val": [1 - held_out] * 10}
    return {"facts": {"signals": {"targets": {"places": places}}}, "signals": signals}


RULE = Rule(
    kind="cause",
    severity="warning",
    says="the training data is learned by heart, but on held-out data the model is no better than a constant answer",
    when=all_of(
        TRAIN_SKILL > 0.025,
        HELD_OUT_SKILL < 0.02,
        EASIER < -0.03,  # early in a training of a hard problem both are near 0
    ),
    because="If inputs and labels belong together, something of what is learned holds for other samples. Nothing does: "
    "the order of labels and inputs differs, a column was joined wrongly, or the input says nothing about the label.",
    may_be_wrong_if="there are only a few training samples, the held-out data is prepared in another way, or the "
    "problem is nearly unpredictable.",
    remedies=(
        "look at some pairs of input and label just before they enter the model",
        "shuffle, sort, filter and join inputs and labels only together",
    ),
    sources=(Source("Zhang et al. 2017, rethinking generalization", "https://arxiv.org/abs/1611.03530"),),
    proves=False,
    verdict="underfitting",
    explains=(
        "overfitting",
        "too-little-data",
        "label-noise",
        "underfitting",
        "slow-convergence",
        "loss-plateau",
    ),
    fires=(Example("shuffled labels", **_seen(0.6, -0.3)),),
    quiet=(
        Example("nothing is learned", **_seen(0.022, -0.02)),
        Example("a hard problem, of which a little is learned", **_seen(0.04, 0.014)),
        Example("a problem of much noise", **_seen(0.4, 0.022)),
    ),
)
