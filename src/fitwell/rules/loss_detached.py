"""loss-detached: no gradient of the loss reaches any parameter."""

from fitwell.diagnosis import Example, Rule, Source
from fitwell.evidence import all_of, any_of
from fitwell.measures.loops import GRADIENTLESS
from fitwell.measures.places import detached_place
from fitwell.measures.reach import (
    ENDED_WITHOUT_GRAPH,
    FROZEN_SHARE,
    LOOKS,
    PARAMETERS,
    REACHED_ANYWHERE,
)


def _loss(
    looks: int, reached: int, empty: int, frozen: int = 0, ended: str = "", parameters: int = 4
) -> dict[str, object]:
    always = {"always_missing": {"count": empty}, "always_zero": {"count": 0}}
    gradients = {"model": {"parameters": 4, **always}}
    model = {"parameters": 10, "frozen": {"count": frozen}, "thread": "model"}
    coverage = {"backwards": looks, "reached_parameters": reached, "models": [model]}
    coverage |= {"threads": {"model": {"looks": looks, "parameters": parameters}}}
    failure = {"message": ended} if ended else None
    return {"failure": failure, "signals": {"coverage": coverage, "missing_gradients": gradients}}


_NO_GRAPH = "element 0 of tensors does not require grad and does not have a grad_fn"


RULE = Rule(
    kind="bug",
    severity="error",
    says="the loss is cut off from the parameters: backward reaches none of them",
    when=any_of(
        all_of(ENDED_WITHOUT_GRAPH.equals(True), FROZEN_SHARE < 1),
        all_of(LOOKS >= 2, PARAMETERS > 0, GRADIENTLESS >= 1, REACHED_ANYWHERE <= 0),
    ),
    because="gradients flow along the operations that computed the loss. detach, .data, .item(), NumPy, argmax, "
    "torch.tensor and no_grad end that path; requires_grad on what comes after them only silences the "
    "error, and the weights never change.",
    may_be_wrong_if="gradients are computed by other means than backward, and put into the parameters by hand.",
    remedies=(
        "compute the loss from the output of the model with operations of torch alone, outside of no_grad",
        "use .item() or detach only to record the loss",
    ),
    sources=(
        Source("Autograd mechanics", "https://docs.pytorch.org/docs/stable/notes/autograd.html"),
        Source("Tensor.detach", "https://docs.pytorch.org/docs/stable/generated/torch.Tensor.detach.html"),
    ),
    proves=True,
    explains=(
        "optimizer-never-steps",
        "gradient-path-cut",
        "unused-parameters",
    ),
    fires=(
        Example("a loss that was wrapped anew", _loss(5, 0, 4), thread="model"),
        Example("the output was detached", _loss(0, 0, 0, ended=_NO_GRAPH), thread="model"),
    ),
    quiet=(
        Example("reached", _loss(5, 4, 4), thread="model"),
        Example("one step", _loss(1, 0, 4), thread="model"),
        Example("a gradient put in by hand", _loss(5, 0, 3), thread="model"),
        Example("nothing to reach", _loss(5, 0, 4, parameters=0), thread="model"),
        Example("all is frozen", _loss(0, 0, 0, 10, _NO_GRAPH), thread="model"),
        Example("another failure", _loss(0, 0, 0, ended="out of memory"), thread="model"),
        Example(
            "some gradient at nearly every parameter",
            {
                "failure": None,
                "signals": {
                    "coverage": {
                        "backwards": 5,
                        "reached_parameters": 0,
                        "models": [],
                        "threads": {"model": {"looks": 5, "parameters": 10}},
                    },
                    "missing_gradients": {
                        "model": {
                            "parameters": 10,
                            "always_missing": {"count": 9},
                            "always_zero": {"count": 0},
                        }
                    },
                },
            },
            thread="model",
        ),
    ),
    where=detached_place,
)
