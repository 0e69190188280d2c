"""softmax-before-cross-entropy: cross entropy is given probabilities, and applies softmax to them again."""

from typing import Any

from fitwell.diagnosis import Example, Rule, Source
from fitwell.evidence import all_of, any_of, for_some
from fitwell.measures.losses import INPUT_LEAST, LARGEST_ROW_SUM, LEAST_ROW_SUM, OUTPUTS, places
from fitwell.measures.model_places import activation_place
from fitwell.measures.objectives import SOFTMAX, SOFTMAX_OF, softmaxes

WHERE = {"file": "train.py", "line": 31}


def _given(
    low: float, sums: tuple[float, float], name: str = "LogSoftmax", of: str = "Addmm", outputs: int = 10
) -> Any:
    place = {
        "function": "cross_entropy",
        "part": "train",
        "class_axis": 1,
        "where": WHERE,
        "outputs": outputs,
    }
    place |= {"input": [low, 0.9], "sums": [[0.1, 9.0], list(sums)]}
    softmax = {"name": name, "axis": 1, "shape": [64, outputs], "of": of}
    objective = {"maximize": False, "places": [{"where": WHERE, "softmaxes": [softmax]}]}
    return {"signals": {"loss_inputs": {"places": [place]}, "objective": {"": objective}}}


RULE = Rule(
    kind="bug",
    severity="error",
    says="cross entropy is given probabilities, but it applies log-softmax itself: they are squashed twice",
    when=any_of(
        for_some(
            "calls of cross entropy",
            places("cross_entropy"),
            all_of(
                OUTPUTS > 1,
                INPUT_LEAST >= 0,
                # Rounding in bfloat16 moves the sum of a row by up to 0.01; logits that happen to be positive and to
                # sum to one in every row were seen in none of the healthy runs.
                LEAST_ROW_SUM > 0.98,
                LARGEST_ROW_SUM < 1.02,
            ),
        ),
        # Whoever writes the loss by hand, or weighs each sample of it, is seen by the graph. Log-softmax of
        # log-softmax is left alone: the second one changes nothing.
        for_some(
            "softmaxes in the loss",
            softmaxes,
            all_of(SOFTMAX.one_of("LogSoftmax", "Softmax"), SOFTMAX_OF.one_of("Softmax", "Sigmoid")),
        ),
    ),
    because="torch's cross_entropy takes logits. Softmax of probabilities, which lie between 0 and 1, is nearly flat: "
    "with ten classes the loss cannot fall below 1.46, and gradients are small everywhere.",
    may_be_wrong_if="the model gives numbers that are positive and sum to one on purpose, and their logarithm is "
    "not meant.",
    remedies=(
        "give cross_entropy the output of the last linear layer, and use softmax only to show probabilities",
        "keep the probabilities and minimise nll_loss(probabilities.log(), target)",
    ),
    sources=(
        Source(
            "CrossEntropyLoss",
            "https://docs.pytorch.org/docs/stable/generated/torch.nn.CrossEntropyLoss.html",
        ),
        Source("warn on softmax before cross entropy", "https://github.com/pytorch/pytorch/issues/55902"),
    ),
    proves=True,
    explains=("metric-wrong",),
    fires=(
        Example("softmax at the end of the model", _given(0.003, (0.9999, 1.0001), of="View")),
        Example("log-softmax by hand, of what a sigmoid gave", _given(0.003, (2.1, 7.0), of="Sigmoid")),
    ),
    quiet=(
        Example("logits that happen to sum to one", _given(-0.2, (0.9999, 1.0001))),
        Example("positive outputs, rows sum to less", _given(0.003, (0.96, 1.0001))),
        Example("positive outputs, rows sum to more", _given(0.003, (0.9999, 1.04))),
        Example("one output, which softmax makes 1", _given(1.0, (1.0, 1.0), outputs=1)),
        Example(
            "binary cross entropy of a softmax",
            _given(-0.2, (0.2, 3.0), "BinaryCrossEntropyWithLogits", "Softmax"),
        ),
    ),
    where=activation_place("Softmax", "Sigmoid", "LogSoftmax"),
)
