"""gradients-cleared-before-step: gradients are computed, and cleared before the optimizer uses them."""

from collections.abc import Mapping
from typing import Any

from fitwell.diagnosis import Example, Rule, Source
from fitwell.evidence import View, all_of, any_of
from fitwell.measures.loops import (
    CLEARED_TOO_LATE,
    DISCARDED,
    GRADIENTLESS,
    LOST,
    STEPS_SEEN,
    place_of,
)


def _order(**counts: int) -> dict[str, object]:
    where = {"cleared_between_backward_and_step": {"file": "train.py", "line": 22}}
    lost = counts.pop("lost", 0)
    empty = counts.pop("empty", 0)
    always = {"always_missing": {"count": empty}, "always_zero": {"count": 0}}
    gradients = {"looks": 10, "lost": lost, "parameters": 4, **always}
    return {
        "signals": {"call_order": {"steps": 10, "where": where, **counts}, "missing_gradients": gradients}
    }


def _where(view: View) -> Mapping[str, Any] | None:
    calls = place_of("call_order", "cleared_between_backward_and_step", "discarded_backward")
    return calls(view) or place_of("missing_gradients")(view)


RULE = Rule(
    kind="bug",
    severity="error",
    says="gradients are cleared after backward and before optimizer.step: the step has none to use",
    when=all_of(
        STEPS_SEEN >= 2,
        any_of(
            # A sum of gradients may be put in by hand after clearing (gradient surgery): then they are not missing.
            all_of(CLEARED_TOO_LATE > 0.5, GRADIENTLESS >= 1),
            # Cleared in another way than by zero_grad, such as p.grad = None.
            LOST > 0.5,
            # Accumulation that clears at every batch; a GradScaler or a test of the loss may leave out a few steps.
            DISCARDED > 0.9,
        ),
    ),
    because="optimizer.step uses the gradients that are there when it is called. What was cleared before does not"
    " count: without gradients the weights stay as they are, or only decay; and of batches that were to "
    "be accumulated only the last counts.",
    may_be_wrong_if="gradients are put back by hand between clearing and the step.",
    remedies=(
        "call optimizer.zero_grad() before backward, or right after optimizer.step()",
        "to accumulate, clear only after the step",
    ),
    sources=(
        Source("torch.optim: taking an optimization step", "https://docs.pytorch.org/docs/stable/optim.html"),
    ),
    proves=True,
    explains=(
        "optimizer-never-steps",
        "gradient-path-cut",
        "loss-detached",
    ),
    fires=(
        Example("zero_grad between backward and step", _order(cleared_between_backward_and_step=10, empty=4)),
        Example("p.grad = None between them", _order(lost=9)),
        Example("accumulation cleared at each batch", _order(discarded_backward=10)),
    ),
    quiet=(
        Example("gradients put back after clearing", _order(cleared_between_backward_and_step=10, empty=3)),
        Example("cleared late now and then", _order(cleared_between_backward_and_step=4, empty=4)),
        Example("lost at some steps", _order(lost=4)),
        Example("a step left out now and then", _order(discarded_backward=8)),
        Example(
            "one step",
            {
                "signals": {
                    "call_order": {"steps": 1, "discarded_backward": 1},
                    "missing_gradients": {
                        "looks": 1,
                        "lost": 1,
                        "parameters": 1,
                        "always_missing": {"count": 1},
                        "always_zero": {"count": 0},
                    },
                }
            },
        ),
    ),
    where=_where,
)
