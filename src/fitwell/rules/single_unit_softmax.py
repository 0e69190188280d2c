"""single-unit-softmax: softmax over a single unit is 1 whatever the model says."""

from typing import Any

from fitwell.diagnosis import Example, Rule, Source
from fitwell.evidence import all_of, any_of, for_some
from fitwell.measures.losses import LOSS_LARGEST, LOSS_LEAST, OUTPUTS, places
from fitwell.measures.model_places import activation_place
from fitwell.measures.objectives import SOFTMAX, SOFTMAX_SIZE, softmaxes

WHERE = {"file": "train.py", "line": 31}


def _given(outputs: int, loss: tuple[float, float], name: str = "Softmax", size: int = 10) -> Any:
    place = {
        "function": "cross_entropy",
        "part": "train",
        "where": WHERE,
        "outputs": outputs,
        "value": list(loss),
    }
    softmax = {"name": name, "axis": 1, "shape": [64, size], "of": "Addmm"}
    objective = {"maximize": False, "places": [{"where": WHERE, "softmaxes": [softmax]}]}
    return {"signals": {"loss_inputs": {"places": [place]}, "objective": {"": objective}}}


RULE = Rule(
    kind="bug",
    severity="error",
    says="softmax runs over a single unit: its output is 1 whatever the model computes, and nothing can be learned",
    when=any_of(
        for_some(
            "calls of losses of classes",
            places("cross_entropy", "nll_loss"),
            all_of(OUTPUTS.equals(1), LOSS_LEAST >= 0, LOSS_LARGEST <= 0),
        ),
        for_some(
            "softmaxes in the loss",
            softmaxes,
            all_of(SOFTMAX.one_of("Softmax", "LogSoftmax"), SOFTMAX_SIZE.equals(1)),
        ),
    ),
    because="exp(x) / exp(x) is 1. Cross entropy of one class is 0 for every sample, and its gradient is 0, too.",
    may_be_wrong_if="the number of candidates varies and there is now and then only one of them.",
    remedies=(
        "for two classes with one unit: sigmoid, or better binary_cross_entropy_with_logits without it",
        "else give the last layer one unit for each class",
    ),
    sources=(
        Source("Softmax", "https://docs.pytorch.org/docs/stable/generated/torch.nn.Softmax.html"),
        Source(
            "CrossEntropyLoss",
            "https://docs.pytorch.org/docs/stable/generated/torch.nn.CrossEntropyLoss.html",
        ),
    ),
    proves=True,
    explains=(
        "loss-detached",
        "gradient-path-cut",
        "output-range-excludes-targets",
        "optimizer-never-steps",
        "softmax-before-cross-entropy",
        "softmax-wrong-dimension",
        "input-ignored",
        "symmetric-initialization",
        "metric-wrong",
        "loss-detached",
    ),
    fires=(
        Example("cross entropy of one unit, compiled", _given(1, (0.0, 0.0))),
        Example("softmax of one unit, then a squared error", _given(10, (2.0, 2.4), size=1)),
    ),
    quiet=(
        Example("ten units, and all is right", _given(10, (0.0, 0.0))),
        Example("one unit, but a loss that varies", _given(1, (0.0, 0.4))),
        Example("one unit, a loss below 0", _given(1, (-0.4, 0.0))),
        Example(
            "binary cross entropy of one unit", _given(10, (2.0, 2.4), "BinaryCrossEntropyWithLogits", 1)
        ),
    ),
    where=activation_place("Softmax", "LogSoftmax"),
)
