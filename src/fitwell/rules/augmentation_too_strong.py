"""augmentation-too-strong: what is trained on is much harder than held-out data, and changes from pass to pass."""

from typing import Any

from fitwell.diagnosis import Example, Rule, Source
from fitwell.evidence import all_of, any_of
from fitwell.measures.data import NOISIER, SEEN_AGAIN
from fitwell.measures.skill import EASIER, HELD_OUT_SKILL, TRAIN_SKILL


def _seen(train: float, held_out: float, again: int = 0, noisy: int = 0) -> dict[str, Any]:
    """Of ten features so many have twice the spread that they have in held-out data."""
    places = [
        {"function": "mse_loss", "part": part, "samples": 500, "constant": 1.0} for part in ("train", "val")
    ]
    looks = [[1 + number, 50, 50] for number in range(10)]
    hashes = {"looks": looks, "parts": {"train": {"rows": 500, "distinct": 500 - again, "batches": 10}}}
    facts: dict[str, Any] = {
        "epochs": {"known_by": "tensor", "size": 100},
        "signals": {"targets": {"places": places}},
    }
    facts["signals"]["sample_hashes"] = {"threads": {"": hashes}}
    spread = {"mean": [0.0] * 10, "std": [2.0] * noisy + [1.0] * (10 - noisy)}
    plain = {"mean": [0.0] * 10, "std": [1.0] * 10}
    entered = {
        "dtype": "float32",
        "samples": 300,
        "each": spread,
        "held_out": {"samples": 100, "each": plain},
    }
    facts["signals"]["input_statistics"] = {"threads": {"": entered}}
    return {"facts": facts, "signals": {"loss/train": [1 - train] * 5, "loss/val": [1 - held_out] * 5}}


RULE = Rule(
    kind="cause",
    severity="warning",
    says="training samples are changed so much that the model learns little from them: held-out data is far easier",
    when=all_of(
        any_of(
            all_of(
                SEEN_AGAIN < 0.5,  # else most are the same in each pass, and nothing is changed
                EASIER > 0.15,
            ),
            # Nothing was learned that held-out data could be easier by: noise is seen in the spread.
            NOISIER > 0.5,
        ),
        TRAIN_SKILL < 0.5,
        # Mixed samples are hard on purpose, and what comes of it is good.
        HELD_OUT_SKILL < 0.8,
    ),
    because="Augmentation must leave in a sample what its label is about. Where noise, crops or masks destroy that, "
    "the model is trained on samples that nobody could tell.",
    may_be_wrong_if="the training loss is higher for another reason: dropout, mixed labels, a penalty.",
    remedies=(
        "look at some augmented samples: can you tell their labels",
        "halve the strength of the augmentation, or apply it to half of the samples",
    ),
    sources=(Source("Cubuk et al. 2020, RandAugment", "https://arxiv.org/abs/1909.13719"),),
    proves=False,
    verdict="underfitting",
    explains=(
        "underfitting",
        "slow-convergence",
        "loss-plateau",
        "dropout-too-strong",
        "model-too-small",
        "labels-unrelated-to-input",
        "distribution-shift",
        "label-noise",
    ),
    fires=(
        Example("noise that drowns the input", **_seen(0.15, 0.5)),
        Example("noise of which nothing can be learned", **_seen(0.03, 0.02, noisy=10)),
    ),
    quiet=(
        Example("the same samples in each pass", **_seen(0.15, 0.5, again=210)),
        Example("held-out data is a little easier", **_seen(0.4, 0.54)),
        Example("half of the features are noisier", **_seen(0.03, 0.02, noisy=5)),
        Example("half is learned", **_seen(0.52, 0.75)),
        Example("mixed samples, good results", **_seen(0.3, 0.85)),
    ),
)
