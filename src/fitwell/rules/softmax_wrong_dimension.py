"""softmax-wrong-dimension: softmax runs over the samples, or over positions, and not over the classes."""

from typing import Any

from fitwell.diagnosis import Example, Rule, Source
from fitwell.evidence import all_of, any_of, for_some
from fitwell.measures.losses import NORMALIZED_ELSEWHERE, places
from fitwell.measures.model_places import activation_place
from fitwell.measures.objectives import ALONG_BATCH, SOFTMAX, softmaxes

WHERE = {"file": "train.py", "line": 31}
OTHER = [0.3, 4.0]
ONE = [0.9999, 1.0001]


def _given(
    sums: list[list[float]], name: str = "LogSoftmax", axis: int = 1, shape: tuple[int, ...] = (64, 10)
) -> Any:
    place: dict[str, Any] = {
        "function": "nll_loss",
        "part": "train",
        "class_axis": 1,
        "where": WHERE,
        "input": [-3.0, -0.1],
    }
    place |= {"input_shape": [64, 10], "sums": [OTHER, OTHER], "exp_sums": sums}
    softmax = {"name": name, "axis": axis, "shape": list(shape), "of": "Addmm"}
    objective = {"maximize": False, "places": [{"where": WHERE, "softmaxes": [softmax]}]}
    return {"signals": {"loss_inputs": {"places": [place]}, "objective": {"": objective}}}


RULE = Rule(
    kind="bug",
    severity="error",
    says="softmax runs over the wrong axis: it sums to 1 over the samples or positions, not over the classes",
    when=any_of(
        for_some("calls of losses", places(), NORMALIZED_ELSEWHERE.equals(True)),
        for_some(
            "softmaxes in the loss",
            softmaxes,
            all_of(SOFTMAX.one_of("LogSoftmax", "Softmax"), ALONG_BATCH.equals(True)),
        ),
    ),
    because="The probabilities of one sample then depend on the other samples of its batch, and do not sum to 1: "
    "what is learned is which sample of a batch is most like a class.",
    may_be_wrong_if="probabilities over the batch are meant, as in losses that compare samples with each other.",
    remedies=(
        "give softmax or log_softmax the axis of the classes: dim=1 for (N, C, ...), dim=-1 where it is last",
        "leave softmax out and use cross_entropy, which takes axis 1",
    ),
    sources=(Source("Softmax", "https://docs.pytorch.org/docs/stable/generated/torch.nn.Softmax.html"),),
    proves=True,
    explains=(
        "nll-without-log-softmax",
        "samples-mixed",
        "bce-input-not-probability",
        "metric-wrong",
    ),
    fires=(
        Example("log-softmax over the batch, then nll_loss", _given([ONE, OTHER])),
        Example("cross entropy by hand", _given([OTHER, ONE], axis=0)),
    ),
    quiet=(
        Example("log-softmax over the classes", _given([OTHER, ONE])),
        Example("samples against samples, in both directions", _given([OTHER, ONE], axis=0, shape=(64, 64))),
        Example("a binary cross entropy", _given([OTHER, ONE], "BinaryCrossEntropyWithLogits", axis=0)),
    ),
    where=activation_place("Softmax", "LogSoftmax"),
)
