"""label-noise: the labels contradict answers that the model is sure of, and is as often wrong about as the others."""

from typing import Any

from fitwell.diagnosis import Example, Rule, Source
from fitwell.evidence import all_of, any_of
from fitwell.measures.data import DROPOUT, SEEN_AGAIN
from fitwell.measures.skill import ACCURACY_SKILL, EASIER, FLATNESS, HELD_OUT_SKILL, SURE_ERRORS


def _held_out(accuracy: float, sure: float) -> dict[str, Any]:
    return {"signals": {"accuracy/val": [accuracy], "sure_errors/val": [sure], "common_class/val": [0.25]}}


def _train(skill: float = 1.0, again: int = 400, dropout: bool = False) -> dict[str, Any]:
    """Ten batches of 50 from a hundred samples, so many of which were met before."""
    place: dict[str, Any] = {"function": "cross_entropy", "part": "train", "classes": 4, "counts": [100] * 4}
    looks = [[1 + number, 50, 50] for number in range(10)]
    hashes = {"looks": looks, "parts": {"train": {"rows": 500, "distinct": 500 - again, "batches": 10}}}
    signals: dict[str, Any] = {"labels": {"places": [place]}, "sample_hashes": {"threads": {"": hashes}}}
    signals |= {
        "layers": {"threads": {"": {"table": [{"name": "0", "class": "Dropout" if dropout else "Linear"}]}}}
    }
    facts: dict[str, Any] = {"epochs": {"known_by": "tensor", "size": 100}, "signals": signals}
    return {"facts": facts, "curve": [1.3863 * (1 - skill)] * 5}


def _recorded(held_out: dict[str, Any], train: dict[str, Any]) -> dict[str, Any]:
    return {"facts": train["facts"], "signals": held_out["signals"] | {"loss/train": train["curve"]}}


RULE = Rule(
    kind="cause",
    severity="warning",
    says="many labels contradict what the model has learned where it is surest: they may be wrong",
    when=any_of(
        # The labels of the held-out data are wrong, too.
        all_of(
            SURE_ERRORS > 0.12,
            # Where classes overlap the surest answers are the best ones by far; wrong labels hit all alike.
            FLATNESS > 0.75,
            # Where little was learned, for whatever reason, the model is sure of nothing.
            ACCURACY_SKILL > 0.3,
        ),
        # Only those of the training data are: held-out data is far easier, and nothing else makes training hard.
        all_of(EASIER > 0.3, HELD_OUT_SKILL > 0.4, SEEN_AGAIN > 0.5, DROPOUT.equals(False)),
    ),
    because="A model that tells the classes apart is right about the samples far from their border. If labels disagree "
    "there as often as elsewhere, it is they that are wrong: learning them by heart spoils the model.",
    may_be_wrong_if="some samples carry no information about their class, or confidence means nothing because the "
    "model memorized its training data.",
    remedies=(
        "look at the held-out samples with the highest loss, and correct labels there and in the training data",
        "use a loss that forgives wrong labels, such as cross_entropy with label_smoothing, and stop early",
    ),
    sources=(
        Source("Northcutt, Jiang and Chuang 2021, Confident Learning", "https://arxiv.org/abs/1911.00068"),
        Source("Zhang et al. 2017, rethinking generalization", "https://arxiv.org/abs/1611.03530"),
    ),
    proves=False,
    verdict="underfitting",
    explains=("overfitting", "underfitting", "loss-plateau", "too-little-data"),
    fires=(
        Example("a third of all labels is wrong", **_recorded(_held_out(0.66, 0.28), _train(0.5))),
        Example("a third of the labels of training is wrong", **_recorded(_held_out(0.95, 0.0), _train(0.4))),
    ),
    quiet=(
        Example("few errors where it is sure", **_recorded(_held_out(0.88, 0.11), _train(0.8))),
        Example("errors near the borders", **_recorded(_held_out(0.66, 0.22), _train(0.6))),
        Example("little learned", **_recorded(_held_out(0.45, 0.5), _train(0.1))),
        Example("a little learned, by accuracy only", **_recorded(_held_out(0.52, 0.1), _train(0.0))),
        Example("held-out data is easier", **_recorded(_held_out(0.95, 0.0), _train(0.66))),
        Example("samples that change", **_recorded(_held_out(0.95, 0.0), _train(0.4, again=190))),
        Example("dropout", **_recorded(_held_out(0.95, 0.0), _train(0.4, dropout=True))),
    ),
)
