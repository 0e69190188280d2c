"""output-range-excludes-targets: the last activation cannot produce what is asked of it."""

from typing import Any

from fitwell.diagnosis import Example, Rule, Source
from fitwell.evidence import any_of, for_some
from fitwell.measures.losses import LAST_OPERATION, REGRESSION, UNREACHABLE, places
from fitwell.measures.model_places import LAST, activation_place
from fitwell.measures.objectives import UNREACHABLE_BY_HAND, objectives


def _given(function: str, last: str, unreachable: float = 0.0, by_hand: float = 0.0) -> Any:
    place: dict[str, Any] = {"function": function, "part": "train", "where": {"file": "train.py", "line": 31}}
    place |= {"made_by": [last, "Addmm"], "target_unreachable": unreachable}
    objective = {"maximize": False, "places": [{"where": place["where"], "unreachable": by_hand}]}
    return {"signals": {"loss_inputs": {"places": [place]}, "objective": {"": objective}}}


RULE = Rule(
    kind="bug",
    severity="error",
    says="the last activation cannot produce the targets: they lie outside of its range",
    when=any_of(
        # A few outliers beyond tanh, or beyond a sigmoid, do little harm: one target in twenty is left to them.
        for_some("squared and absolute errors", places(*REGRESSION), UNREACHABLE > 0.05),
        for_some("cross entropies", places("cross_entropy"), LAST_OPERATION.equals("Tanh")),
        # A logit that is never negative says "at least one half" of every sample.
        for_some(
            "binary cross entropies with logits",
            places("binary_cross_entropy_with_logits"),
            LAST_OPERATION.one_of("Tanh", "Relu", "Softplus", "Exp", "Abs"),
        ),
        for_some("losses written by hand", objectives, UNREACHABLE_BY_HAND > 0.05),
    ),
    because="A sigmoid gives 0 to 1, tanh -1 to 1, ReLU nothing below 0. What lies outside can only be "
    "approached by driving the unit into saturation, where its gradient vanishes.",
    may_be_wrong_if="targets out of reach are meant to be cut off.",
    remedies=(
        "leave the last activation out: a linear output for quantities, raw logits for cross entropy",
        "or scale the targets into the range of the activation, and the predictions back",
    ),
    sources=(
        Source(
            "Goodfellow, Bengio and Courville, Deep Learning, 6.2.2: output units",
            "https://www.deeplearningbook.org/contents/mlp.html",
        ),
    ),
    proves=True,
    explains=(
        "input-ignored",
        "metric-wrong",
    ),
    fires=(
        Example("a sigmoid for prices", _given("mse_loss", "Sigmoid", 0.97)),
        Example("tanh before cross entropy", _given("cross_entropy", "Tanh")),
        Example("ReLU before binary cross entropy", _given("binary_cross_entropy_with_logits", "Relu")),
        Example("((tanh(x) - y) ** 2).mean()", _given("l1_loss", "Addmm", by_hand=0.3)),
    ),
    quiet=(
        Example("the same for a few outliers", _given("l1_loss", "Addmm", by_hand=0.045)),
        Example("a few outliers beyond tanh", _given("mse_loss", "Tanh", 0.045)),
        Example("cross entropy of logits", _given("cross_entropy", "Addmm")),
        Example("binary cross entropy of logits", _given("binary_cross_entropy_with_logits", "Addmm")),
    ),
    where=activation_place(*LAST),
)
