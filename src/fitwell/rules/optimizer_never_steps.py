"""optimizer-never-steps: gradients are computed, and no parameter is ever changed by them."""

from collections.abc import Mapping
from typing import Any

from fitwell.diagnosis import Example, Rule, Source
from fitwell.evidence import View, all_of, any_of
from fitwell.measures.loops import GRADIENTLESS
from fitwell.measures.places import idle_step_place, unstepped_place
from fitwell.measures.reach import (
    BACKWARDS,
    BACKWARDS_WITHOUT_STEP,
    CHANGED,
    IDLE_OPTIMIZERS,
    LARGEST_RATE,
    LOOKS,
    optimizer_place,
)


def _program(backwards: int = 0, stepped: bool = True, idle: int = 0, **thread: object) -> dict[str, object]:
    optimizer = {"stepped": stepped, "where": {"file": "train.py", "line": 12}}
    coverage = {"backwards": backwards, "optimizers": [optimizer], "idle_optimizers": [optimizer] * idle}
    own = {"looks": 5, "parameters": 4, "reached": 4, "changed": True} | thread
    always = {"always_missing": {"count": own.pop("empty", 0)}, "always_zero": {"count": 0}}
    gradients = {"": {"parameters": 4, **always}}
    return {"signals": {"coverage": coverage | {"threads": {"": own}}, "missing_gradients": gradients}}


def _where(view: View) -> Mapping[str, Any] | None:
    if BACKWARDS_WITHOUT_STEP.read(view):
        return unstepped_place(view)
    if IDLE_OPTIMIZERS.read(view):
        return idle_step_place(view)
    return optimizer_place(view)


RULE = Rule(
    kind="bug",
    severity="error",
    says="backward runs, but no step of the optimizer changes the parameters",
    when=any_of(
        # Gradients may be accumulated over some batches; a program that only looks at gradients has no optimizer.
        BACKWARDS_WITHOUT_STEP >= 5,
        # One of several optimizers is forgotten.
        all_of(IDLE_OPTIMIZERS > 0, BACKWARDS >= 5),
        # It steps, but by nothing: a rate of zero, or a step that computes new values and does not store them.
        all_of(
            CHANGED.equals(False),
            LOOKS >= 3,
            GRADIENTLESS < 1,
            # A rate between these is too low for the precision of a weight, which is another fault.
            any_of(LARGEST_RATE <= 0, LARGEST_RATE > 1e-7),
        ),
    ),
    because="only optimizer.step changes the parameters. Without it, or with a learning rate of zero, the model "
    "stays as it was initialized, whatever the loss says.",
    may_be_wrong_if="gradients are only looked at on purpose, or the optimizer starts later in the program than "
    "it was watched.",
    remedies=(
        "call optimizer.step() after backward, with its brackets",
        "see that the learning rate is not zero, and that the condition around the step becomes true",
    ),
    sources=(
        Source("torch.optim: taking an optimization step", "https://docs.pytorch.org/docs/stable/optim.html"),
    ),
    proves=True,
    explains=(
        "gradients-not-cleared",
        "scheduler-misused",
        "gradient-path-cut",
        "graph-retained",
    ),
    fires=(
        Example("no step", _program(5, stepped=False)),
        Example("the second optimizer never steps", _program(5, idle=1)),
        Example("a rate of zero", _program(5, changed=False), {"lr": [0.0] * 5}),
        Example("a step that stores nothing", _program(5, changed=False), {"lr": [0.1] * 5}),
    ),
    quiet=(
        Example("accumulating so far", _program(4, stepped=False, idle=1), {"lr": [0.1]}),
        Example("changes", _program(9), {"lr": [0.0] * 5}),
        Example(
            "no step yet that could change anything", _program(9, changed=False, looks=2), {"lr": [0.1] * 3}
        ),
        Example("no gradient", _program(9, changed=False, empty=4), {"lr": [0.1] * 5}),
        Example("a rate below the precision", _program(9, changed=False), {"lr": [0.9e-7] * 5}),
    ),
    where=_where,
)
