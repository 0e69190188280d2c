"""labels-out-of-range: a class number, or an index into an embedding, for which there is no output or row."""

from fitwell.diagnosis import Example, Rule, Source
from fitwell.evidence import any_of, for_some
from fitwell.measures.failures import (
    ERROR_IS_ABOUT,
    LABELS_TOO_HIGH,
    LEAST_LABEL,
    class_losses,
    ended,
    errors,
)
from fitwell.measures.messages import INDICES, LABELS


def _losses(low: float | None, high: float | None) -> dict[str, object]:
    """The labels of a model of 10 classes; those that the loss ignores are left out."""
    place = {"function": "cross_entropy", "part": "train", "target_dtype": "int64", "outputs": 10}
    places = [place | {"target": [low, high], "where": {"file": "train.py", "line": 31}}]
    return {"failure": None, "signals": {"loss_inputs": {"places": places}}}


RULE = Rule(
    kind="bug",
    severity="error",
    says="a label or an index is out of range: {said}",
    when=any_of(
        for_some("errors that ended the program", errors, ERROR_IS_ABOUT.one_of(LABELS, INDICES)),
        # Some devices compute on without an error.
        for_some("losses of class numbers", class_losses, any_of(LABELS_TOO_HIGH > 0, LEAST_LABEL < 0)),
    ),
    because="The label of a class is the number of its output, from 0 to classes - 1; the index of an embedding is the "
    "number of its row. Labels that begin with 1, a class that was forgotten, and a vocabulary that is larger "
    "than the embedding lead beyond them: an error on the CPU, a failed assertion or silence elsewhere.",
    may_be_wrong_if="a failed assertion of a GPU was about something else, which its own message on stderr says.",
    remedies=(
        "map labels to 0, 1, 2, ...: torch.unique(y, return_inverse=True), or y - 1 if they begin with 1",
        "give the last layer as many outputs as there are classes, and the embedding as many rows as there are tokens",
        "name labels that are to be left out by ignore_index",
    ),
    sources=(
        Source(
            "CrossEntropyLoss",
            "https://docs.pytorch.org/docs/stable/generated/torch.nn.CrossEntropyLoss.html",
        ),
        Source("Embedding", "https://docs.pytorch.org/docs/stable/generated/torch.nn.Embedding.html"),
    ),
    proves=True,
    explains=(
        "optimizer-never-steps",
        "loss-not-finite",
    ),
    fires=(
        Example("a class too many", ended("Target 10 is out of bounds.", kind="IndexError")),
        Example("a token that the embedding lacks", ended("index out of range in self", kind="IndexError")),
        Example("a class too many, and no error", _losses(0, 10)),
        Example("a label of -1, and no error", _losses(-1, 9)),
    ),
    quiet=(
        Example("as many classes as outputs", _losses(0, 9)),
        Example("every label is ignored", {"failure": None, "signals": {"loss_inputs": {"places": []}}}),
        Example("an index of a list", _losses(0, 9) | ended("list index out of range", kind="IndexError")),
    ),
)
