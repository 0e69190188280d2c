"""sigmoid-before-bce-with-logits: a binary cross entropy that applies sigmoid itself is given probabilities."""

from typing import Any

from fitwell.diagnosis import Example, Rule, Source
from fitwell.evidence import all_of, any_of, for_some
from fitwell.measures.losses import INPUT_LARGEST, INPUT_LEAST, PROBABILITY_MAKER, places
from fitwell.measures.model_places import activation_place
from fitwell.measures.objectives import SOFTMAX, SOFTMAX_OF, softmaxes

WHERE = {"file": "train.py", "line": 31}


def _given(
    input: tuple[float, float], made_by: list[str], name: str = "LogSoftmax", of: str = "Addmm"
) -> Any:
    function = "binary_cross_entropy_with_logits"
    place: dict[str, Any] = {
        "function": function,
        "part": "train",
        "where": WHERE,
        "input": list(input),
        "made_by": made_by,
    }
    softmax = {"name": name, "axis": None, "shape": [64, 1], "of": of}
    objective = {"maximize": False, "places": [{"where": WHERE, "softmaxes": [softmax]}]}
    return {"signals": {"loss_inputs": {"places": [place]}, "objective": {"": objective}}}


RULE = Rule(
    kind="bug",
    severity="error",
    says="binary_cross_entropy_with_logits is given probabilities, but it applies the sigmoid itself",
    when=any_of(
        for_some(
            "calls of binary cross entropy with logits",
            places("binary_cross_entropy_with_logits"),
            all_of(PROBABILITY_MAKER.equals(True), INPUT_LEAST >= 0, INPUT_LARGEST <= 1),
        ),
        # A loss of each sample by itself (reduction="none") is seen by the graph.
        for_some(
            "binary cross entropies in the loss",
            softmaxes,
            all_of(SOFTMAX.equals("BinaryCrossEntropyWithLogits"), SOFTMAX_OF.one_of("Sigmoid", "Softmax")),
        ),
    ),
    because="The sigmoid of a number between 0 and 1 lies between 0.5 and 0.73: no sample can be called negative with "
    "confidence, the loss cannot fall below 0.31 for positives and 0.69 for negatives, and gradients shrink.",
    may_be_wrong_if="the loss is meant to be given numbers between 0 and 1, for example as a margin.",
    remedies=(
        "give the loss the output of the last linear layer, and apply sigmoid only to predict",
        "keep the sigmoid and minimise binary_cross_entropy (nn.BCELoss)",
    ),
    sources=(
        Source(
            "BCEWithLogitsLoss",
            "https://docs.pytorch.org/docs/stable/generated/torch.nn.BCEWithLogitsLoss.html",
        ),
    ),
    proves=True,
    explains=("metric-wrong",),
    fires=(
        Example("a sigmoid and then a clamp", _given((0.1, 0.9), ["Clamp", "Sigmoid", "Addmm"])),
        Example(
            "weighted samples", _given((-3.0, 2.0), ["Addmm"], "BinaryCrossEntropyWithLogits", "Sigmoid")
        ),
    ),
    quiet=(
        Example("small logits that happen to be positive", _given((0.1, 0.9), ["Addmm"])),
        Example("half minus a sigmoid", _given((-0.5, 0.5), ["Rsub", "Sigmoid", "Addmm"])),
        Example("1.1 minus a sigmoid", _given((0.1, 1.1), ["Rsub", "Sigmoid", "Addmm"])),
        Example("a softmax of a sigmoid", _given((-3.0, 2.0), ["Addmm"], "LogSoftmax", "Sigmoid")),
        Example(
            "logits, sample by sample",
            _given((-3.0, 2.0), ["Addmm"], "BinaryCrossEntropyWithLogits", "Addmm"),
        ),
    ),
    where=activation_place("Sigmoid", "Softmax"),
)
