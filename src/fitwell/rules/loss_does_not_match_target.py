"""loss-does-not-match-target: the loss is made for other targets than those it is given."""

from typing import Any

from fitwell.diagnosis import Example, Rule, Source
from fitwell.evidence import all_of, any_of, for_some
from fitwell.measures.losses import (
    CLASS_LABELS,
    FAILURE,
    LABEL_FOR_ALL,
    ONE_OUTPUT,
    REGRESSION,
    SOFT_TARGET_LEAST,
    TARGET_LARGEST,
    TARGET_LEAST,
    TARGET_ROW_SUM,
    place_or_failure,
    places,
)

MESSAGE = "all elements of target should be between 0 and 1"  # of torch
FAILED = {"type": "RuntimeError", "message": MESSAGE, "where": {"file": "train.py", "line": 31}}
BCE = ("binary_cross_entropy_with_logits", "binary_cross_entropy")
SIGNED = ("soft_margin_loss", "hinge_embedding_loss", "cosine_embedding_loss")  # their targets are -1 and 1


REPEATED = {"input_shape": [64, 3], "outputs": 3, "target_repeated": True}


def _given(function: str, target: tuple[float, float], failure: Any = None, **others: Any) -> Any:
    place: dict[str, Any] = {"function": function, "part": "train", "where": {"file": "train.py", "line": 31}}
    place |= {"target": list(target), "target_dtype": "float32", "target_whole": True, "outputs": 1}
    place |= {"input_shape": [64, 1], "labels_are_integers": True, "target_repeated": False, **others}
    return {"signals": {"loss_inputs": {"places": [place]}}, "failure": failure}


RULE = Rule(
    kind="cause",
    severity="error",
    says="the loss is made for other targets than those it is given",
    when=any_of(
        # Squared errors on the numbers of three or more classes; with two classes one output can tell them apart.
        for_some(
            "squared and absolute errors",
            places(*REGRESSION),
            any_of(
                all_of(CLASS_LABELS >= 3, CLASS_LABELS <= 100, ONE_OUTPUT.equals(True)),
                LABEL_FOR_ALL.equals(True),
            ),
        ),
        # Targets of binary cross entropy are probabilities. Resized images may overshoot by a little.
        for_some("binary cross entropies", places(*BCE), any_of(TARGET_LARGEST > 1.05, TARGET_LEAST < -0.05)),
        # Targets of cross entropy that are no indices are probabilities that sum to 1, also after mixing samples.
        for_some(
            "cross entropies",
            places("cross_entropy"),
            any_of(TARGET_ROW_SUM > 1.1, SOFT_TARGET_LEAST < -0.05),
        ),
        for_some("losses whose targets are -1 and 1", places(*SIGNED), TARGET_LEAST.equals(0)),
        FAILURE.equals(MESSAGE),
    ),
    because="A loss says what the target means. Numbers of classes have no order that a squared error could use; "
    "binary cross entropy of targets beyond 0 and 1 has no smallest value; cross entropy needs indices or "
    "probabilities of classes; a margin loss ignores targets of 0.",
    may_be_wrong_if="the whole numbers are quantities, such as counts or ratings, or weights are meant by targets "
    "that do not sum to 1.",
    remedies=(
        "for classes: one output for each of them, and cross_entropy with their indices",
        "for two classes, or several labels at once: binary_cross_entropy_with_logits with targets 0 and 1",
        "for quantities: one output without activation, and mse_loss, l1_loss or huber_loss",
    ),
    sources=(
        Source(
            "CrossEntropyLoss",
            "https://docs.pytorch.org/docs/stable/generated/torch.nn.CrossEntropyLoss.html",
        ),
        Source(
            "BCEWithLogitsLoss",
            "https://docs.pytorch.org/docs/stable/generated/torch.nn.BCEWithLogitsLoss.html",
        ),
        Source("MSELoss", "https://docs.pytorch.org/docs/stable/generated/torch.nn.MSELoss.html"),
    ),
    proves=False,
    explains=(
        "underfitting",
        "loss-plateau",
        "slow-convergence",
        "loss-not-finite",
        "exploding-gradients",
        "output-range-excludes-targets",
        "loss-oscillates",
        "badly-scaled-initialization",
        "learning-rate-too-high",
        "overfitting",
        "label-noise",
        "labels-unrelated-to-input",
        "augmentation-too-strong",
        "class-imbalance",
        "metric-wrong",
        "learning-rate-too-low",
        "weight-decay-too-strong",
        "model-too-small",
        "vanishing-gradients",
        "batch-size-too-small",
    ),
    fires=(
        Example("squared errors on digits", _given("mse_loss", (0.0, 9.0))),
        Example("the label, repeated", _given("mse_loss", (0.0, 2.0), **REPEATED)),
        Example("three classes with one sigmoid", _given("binary_cross_entropy_with_logits", (0.0, 2.0))),
        Example("labels -1 and 1", _given("binary_cross_entropy_with_logits", (-1.0, 1.0))),
        Example("several labels at once", _given("cross_entropy", (0.0, 1.0), target_sum=[0.0, 3.0])),
        Example("cross entropy on quantities", _given("cross_entropy", (-2.0, 1.0), target_sum=[-3.0, 0.9])),
        Example("a margin loss on 0 and 1", _given("soft_margin_loss", (0.0, 1.0))),
        Example("BCELoss on three classes", _given("binary_cross_entropy", (0.0, 1.0), FAILED)),
    ),
    quiet=(
        Example("five models of one quantity", _given("mse_loss", (0.0, 2.0), **REPEATED | {"outputs": 5})),
        Example("a squared error on two classes", _given("mse_loss", (0.0, 1.0))),
        Example(
            "quantities that are whole, as numbers", _given("mse_loss", (0.0, 9.0), labels_are_integers=False)
        ),
        Example("pixels from 0 to 109, as integers", _given("mse_loss", (0.0, 109.0))),
        Example("an embedding", _given("mse_loss", (0.0, 9.0), outputs=8, input_shape=[64, 8])),
        Example("resized images", _given("binary_cross_entropy", (-0.045, 1.04))),
        Example("mixed labels", _given("cross_entropy", (0.0, 1.0), target_sum=[1.0, 1.0])),
        Example("rounded", _given("cross_entropy", (-0.04, 1.0), target_sum=[0.9, 1.02])),
        Example("a margin loss on -1 and 1", _given("soft_margin_loss", (-1.0, 1.0))),
    ),
    where=place_or_failure,
)
