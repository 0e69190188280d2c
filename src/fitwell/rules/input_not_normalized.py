"""input-not-normalized: features are large or far from 0, and training suffers."""

from typing import Any

from fitwell.diagnosis import Example, Rule, Source
from fitwell.evidence import all_of, any_of
from fitwell.experiment import Change, Check
from fitwell.measures.data import LOSS_BROKE, NORMALIZES, OFFSET, SCALE, START_LOSS
from fitwell.measures.skill import TRAIN_SKILL


def _seen(mean: float, std: float, start: float, end: float, norm: bool = False) -> dict[str, Any]:
    each = {"mean": [mean, 0.0], "std": [std, std]}
    layer = "BatchNorm1d" if norm else "Linear"
    signals: dict[str, Any] = {"input_statistics": {"threads": {"": {"dtype": "float32", "each": each}}}}
    signals |= {"layers": {"threads": {"": {"table": [{"name": "0", "class": layer}]}}}}
    signals |= {
        "targets": {"places": [{"function": "mse_loss", "part": "train", "samples": 99, "constant": 1.0}]}
    }
    return {"facts": {"signals": signals}, "signals": {"loss/batch": [start], "loss/train": [end] * 5}}


RULE = Rule(
    kind="cause",
    severity="warning",
    says="features of the input are large or far from 0, and training suffers from it",
    when=all_of(
        any_of(
            # Standardized features have 1; pixels from 0 to 255 have 80, raw columns of tables hundreds.
            SCALE > 8,
            # Numbers from 0 to 1 have up to 3.
            OFFSET > 5,
        ),
        NORMALIZES.equals(False),
        any_of(
            # With inputs of unit scale the first losses lie near that of a constant answer.
            START_LOSS > 2,
            TRAIN_SKILL < 0.5,
            LOSS_BROKE.equals(True),
        ),
    ),
    because="The gradient of a weight grows with what enters it, and the curvature with its square: no "
    "learning rate suits all weights, the first answers are extreme, and units saturate or die.",
    may_be_wrong_if="the model scales its input by itself, and something else is wrong.",
    remedies=(
        "subtract the mean of each feature and divide by its standard deviation, both of the training data",
        "divide pixels by 255",
        "begin the model with BatchNorm1d or LayerNorm",
    ),
    sources=(
        Source(
            "LeCun et al. 1998, Efficient BackProp", "https://yann.lecun.com/exdb/publis/pdf/lecun-98b.pdf"
        ),
        Source("StandardScaler", "https://scikit-learn.org/stable/modules/preprocessing.html"),
    ),
    proves=False,
    explains=(
        "loss-not-finite",
        "learning-rate-too-high",
        "badly-scaled-initialization",
        "exploding-gradients",
        "vanishing-gradients",
        "dead-units",
        "saturated-activations",
        "loss-oscillates",
        "loss-plateau",
        "slow-convergence",
        "underfitting",
        "label-noise",
        "augmentation-too-strong",
        "class-imbalance",
    ),
    check=Check((Change("standardize"),), least=0.2, steps=60, fresh=True),
    suspects=all_of(any_of(SCALE > 4, OFFSET > 3), NORMALIZES.equals(False)),
    fires=(
        Example("raw columns", **_seen(0.0, 300.0, 400.0, 0.3)),
        Example("a year", **_seen(7.0, 0.5, 9.0, 0.3)),
        Example("slow", **_seen(0.0, 300.0, 1.5, 0.9)),
        Example("the loss left the finite numbers", **_seen(0.0, 300.0, 1.5, float("nan"))),
    ),
    quiet=(
        Example("numbers up to ten", **_seen(0.0, 7.0, 9.0, 0.3)),
        Example("a mean of 4.5 standard deviations", **_seen(4.5, 1.0, 9.0, 0.3)),
        Example("batch normalization first", **_seen(0.0, 300.0, 400.0, 0.3, norm=True)),
        Example("it does no harm", **_seen(0.0, 300.0, 1.8, 0.45)),
    ),
)
