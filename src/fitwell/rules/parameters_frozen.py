"""parameters-frozen: the parameters that are meant to learn do not require a gradient."""

from fitwell.diagnosis import Example, Rule, Source
from fitwell.evidence import all_of, any_of
from fitwell.measures.places import first_of, frozen_place
from fitwell.measures.reach import (
    BLANK_FROZEN,
    BLANK_HEAD,
    DETACHED_LOSSES,
    EMPTY_OPTIMIZER_OF_FROZEN,
    ENDED_WITHOUT_GRAPH,
    FROZEN_SHARE,
    PARAMETERS,
    optimizer_place,
)


def _model(
    frozen: int, blank: bool = False, ended: str = "", text: str = "", parameters: int = 4, detached: int = 0
) -> dict[str, object]:
    where = {"file": "train.py", "line": 14, "text": text}
    failure = {"type": "RuntimeError", "message": ended, "where": where} if ended else None
    model = {
        "name": "model",
        "thread": "model",
        "parameters": 4,
        "frozen": {"count": frozen},
        "blank_head": blank,
        "blank_held": frozen,
    }
    thread = {
        "looks": 5,
        "parameters": parameters,
        "reached": parameters,
        "ran": 5,
        "detached_losses": detached,
    }
    threads = {"model": thread}
    coverage = {"backwards": 5, "models": [model], "threads": threads}
    return {"failure": failure, "signals": {"coverage": coverage}}


_NO_GRAPH = "element 0 of tensors does not require grad and does not have a grad_fn"


RULE = Rule(
    kind="bug",
    severity="error",
    says="what should learn is frozen: requires_grad is False for all parameters, or for the last layer",
    when=any_of(
        all_of(ENDED_WITHOUT_GRAPH.equals(True), FROZEN_SHARE >= 1),
        EMPTY_OPTIMIZER_OF_FROZEN.equals(True),
        PARAMETERS <= 0,
        # A frozen body below a head that learns is usual; the other way round the head stays random.
        BLANK_HEAD.equals(True),
        # One of several heads is: its loss has nothing to propagate back to.
        all_of(BLANK_FROZEN > 0, DETACHED_LOSSES >= 1),
    ),
    because="parameters with requires_grad=False get no gradient and never change. A frozen body makes sense if "
    "it was trained before; a last layer that was never trained maps to random outputs for good.",
    may_be_wrong_if="the last layer is meant to stay random, or it was given its weights in a way that is not seen.",
    remedies=(
        "freeze before the new head is made, or set requires_grad_(True) on the head afterwards",
        "to fine-tune all, do not freeze anything",
    ),
    sources=(
        Source(
            "Locally disabling gradient computation",
            "https://docs.pytorch.org/docs/stable/notes/autograd.html#locally-disabling-gradient-computation",
        ),
    ),
    proves=True,
    explains=(
        "statistics-updated-by-evaluation",
        "evaluated-in-training-mode",
        "loss-detached",
        "optimizer-never-steps",
        "gradient-path-cut",
    ),
    fires=(
        Example("all frozen, backward fails", _model(4, ended=_NO_GRAPH), thread="model"),
        Example(
            "an optimizer of nothing",
            _model(0, ended="optimizer got an empty parameter list", text="if p.requires_grad"),
            thread="model",
        ),
        Example("an optimizer whose parameters are all frozen", _model(4, parameters=0), thread="model"),
        Example("a frozen new head", _model(2, blank=True), thread="model"),
        Example("one of two heads is frozen", _model(2, detached=5), thread="model"),
    ),
    quiet=(
        Example("a frozen body", _model(2, detached=4), thread="model"),
        Example("a score is computed beside the loss", _model(0, detached=5), thread="model"),
        Example(
            "no graph though one of the parameters is not frozen", _model(3, ended=_NO_GRAPH), thread="model"
        ),
        Example("another failure while all are frozen", _model(4, ended="out of memory"), thread="model"),
        Example(
            "nearly all frozen",
            {
                "failure": {"message": _NO_GRAPH},
                "signals": {
                    "coverage": {
                        "backwards": 5,
                        "models": [{"thread": "model", "parameters": 10, "frozen": {"count": 9}}],
                        "threads": {"model": {"looks": 5, "parameters": 1}},
                    }
                },
            },
            thread="model",
        ),
    ),
    where=first_of(frozen_place, optimizer_place),
)
