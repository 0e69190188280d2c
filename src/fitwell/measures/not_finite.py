"""Where a NaN or an infinity came from, from the facts of the signal ``non_finite``."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from fitwell.evidence import Measure, Subject, View
from fitwell.measures.curves import not_finite

Facts = Mapping[str, Any]


def origins(view: View) -> list[Subject] | None:
    """The step at which the loss of training left the finite numbers, with what made it, and its line.

    None at all if it did not; None if no loss was seen.
    """
    known: Facts = view.fact("signals", "non_finite") or {}
    first: Facts | None = (known.get("first") or {}).get(view.thread)
    pending: Facts | None = known.get("pending")
    seen = not_finite(view)
    told = next((facts for facts in (first, pending) if facts and facts.get("loss")), None)
    if seen is not True and told is None:
        return None if seen is None else []
    facts = first or pending or {}
    step = facts.get("step") or _first_step(view)
    return [{"step": step or "?", "made_by": made_by(facts), "where": _line(facts)}]


def _first_step(view: View) -> int | None:
    steps = []
    for signal in ("loss/batch", "loss/window", "loss/train"):
        series = view.series(signal)
        if series is not None:
            steps += [
                at for value, at in zip(series.values, series.steps, strict=True) if not math.isfinite(value)
            ]
    return min(steps, default=None)


def made_by(facts: Facts) -> str:
    """What made it, in words: the first that made such a value of finite ones."""
    operation, module, loss = (facts.get(what) or {} for what in ("operation", "module", "loss"))
    if operation:
        given = [f"{low:.4g} to {high:.4g}" for low, high in operation.get("inputs", {}).values()]
        return f"the operation {operation['operation']}" + (f" of {' and '.join(given)}" if given else "")
    if module and module.get("parameters_finite") is False:
        return f"the weights of {_named(module)} were not finite any more: a step before was too large"
    if module and module.get("inputs_finite"):
        return f"the module {_named(module)}, of finite inputs"
    if module:
        return f"the input of the module {_named(module)} was not finite"
    if loss.get("function") and loss.get("input_finite"):
        return f"the loss {loss['function']}, of finite inputs"
    if facts.get("gradients"):
        return f"the gradients of {facts['gradients'][0]} were not finite"
    return "where it began was not watched"


def _named(module: Facts) -> str:
    return f"{module['name']} ({module['class']})" if module.get("name") else str(module.get("class"))


def _line(facts: Facts) -> Facts | None:
    """Of the loss, whose line also an operation is near to; of the module, if it made the value."""
    module: Facts = facts.get("module") or {}
    loss: Facts = facts.get("loss") or {}
    own = module.get("inputs_finite") and module.get("parameters_finite")
    line: Facts | None = (own and module.get("where")) or loss.get("where") or module.get("where")
    return line


STEP = Measure(
    "first step at which the training loss was not finite", lambda view: view.subject.get("step"), "steps"
)
MADE_BY = Measure("it was made by", lambda view: view.subject.get("made_by"))
