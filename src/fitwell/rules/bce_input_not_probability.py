"""bce-input-not-probability: binary cross entropy takes probabilities, and is given what a layer computed."""

from typing import Any

from fitwell.diagnosis import Example, Rule, Source
from fitwell.evidence import any_of, for_some
from fitwell.measures.losses import FAILURE, RAW, place_or_failure, places

MESSAGE = "all elements of input should be between 0 and 1"  # of torch
FAILED = {"type": "RuntimeError", "message": MESSAGE, "where": {"file": "train.py", "line": 31}}


def _given(made_by: list[str], failure: Any = None) -> Any:
    place: dict[str, Any] = {
        "function": "binary_cross_entropy",
        "part": "train",
        "where": {"file": "train.py", "line": 31},
    }
    place |= {"input": [0.0, 0.8], "made_by": made_by}
    return {"signals": {"loss_inputs": {"places": [place]}}, "failure": failure}


RULE = Rule(
    kind="bug",
    severity="error",
    says="binary_cross_entropy takes probabilities, but is given what a layer computed, without a sigmoid",
    when=any_of(
        for_some("calls of binary cross entropy", places("binary_cross_entropy"), RAW.equals(True)),
        FAILURE.equals(MESSAGE),
    ),
    because="Outside of 0 to 1 the logarithm in the loss is not defined, and torch raises an error. Where ReLU or a "
    "clamp cuts off what lies outside, those samples get a loss of 100 and no gradient.",
    may_be_wrong_if="the last layer is made so that it can only give numbers between 0 and 1.",
    remedies=(
        "minimise binary_cross_entropy_with_logits (nn.BCEWithLogitsLoss) of the last linear layer's output",
        "put a sigmoid at the end of the model",
    ),
    sources=(Source("BCELoss", "https://docs.pytorch.org/docs/stable/generated/torch.nn.BCELoss.html"),),
    proves=True,
    explains=(
        "loss-not-finite",
        "output-range-excludes-targets",
        "shape-mismatch",
        "metric-wrong",
    ),
    fires=(
        Example("a ReLU at the end", _given(["Relu", "Addmm"])),
        Example("raw outputs", _given(["Sigmoid", "Addmm"], FAILED)),
    ),
    quiet=(Example("a sigmoid, and a clamp", _given(["Clamp", "Sigmoid", "Addmm"])),),
    where=place_or_failure,
)
