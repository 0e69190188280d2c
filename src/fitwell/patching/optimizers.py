"""Where a program makes its optimizers, what rate it gives them, and where they take a step."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from fitwell.evidence import View
from fitwell.measures.model_places import made_place
from fitwell.patch import Code, Edit, argument, called
from fitwell.patching.assignments import Named, made_by
from fitwell.patching.statements import alone, is_on, line_of
from fitwell.patching.values import once, scaled
from fitwell.remedy import About

KINDS = re.compile(
    r"^(SGD|ASGD|LBFGS|Rprop|RMSprop|Muon|Lion|LAMB|Lamb|Adafactor|Ranger|Ada\w+|\w*Adam(W|ax|W8bit)?)$"
)
OPTIMIZER = re.compile(
    r"(^|_)opt(im)?s?(_?[A-Z0-9]|_|$)|[oO]ptimi[sz]er|[a-z]Opt(im)?(_|$)|^(sgd|adam|adamw|lbfgs)$"
)
SCHEDULER = re.compile(r"sched|warmup|annealing", re.IGNORECASE)
# The optimizers of torch and their own learning rates.
RATES = {
    "SGD": 1e-3, "Adam": 1e-3, "AdamW": 1e-3, "RMSprop": 1e-2, "Adagrad": 1e-2, "Adadelta": 1.0, "Adamax": 2e-3,
    "NAdam": 2e-3, "RAdam": 1e-3, "LBFGS": 1.0, "Rprop": 1e-2, "ASGD": 1e-2,
}  # fmt: skip
SET_BY_SCHEDULE = {"OneCycleLR": ("max_lr",), "CyclicLR": ("base_lr", "max_lr")}


def constructions(code: Code, about: About) -> list[ast.Call]:
    """The calls that make the optimizer of a finding: in its line, or where it was seen, or the only one there is."""
    found = code.calls(*RATES)
    for line in (about.line, line_of(code, made_place(about.view))):
        here = [call for call in found if is_on(call, line)]
        if here:
            return here
    return found if len(found) == 1 else []


def scaled_rates(code: Code, about: About, factor: float) -> list[Edit]:
    """The learning rate times a factor: of the optimizer of a finding, and of those that are given the same one.

    Two nets that compete keep their balance so. A schedule that sets the rate by itself is given another one, too.
    """
    made = constructions(code, about)
    texts = {_rate_text(code, call) for call in made}
    others = [call for call in code.calls(*RATES) if call not in made and _rate_text(code, call) in texts]
    seen = _seen_rates(about.view)
    edits = [edit for call in (*made, *others) for edit in _scaled_rate(code, call, factor, seen)]
    if edits:
        for call in code.calls(*SET_BY_SCHEDULE):
            rates = [argument(call, name) for name in SET_BY_SCHEDULE[called(call)]]
            edits += [scaled(code, rate, factor) for rate in rates if rate is not None]
    return once(edits)


def _rate_text(code: Code, call: ast.Call) -> str:
    rate = argument(call, "lr", 1)
    return code.segment(rate) if rate is not None else called(call)


def _seen_rates(view: View) -> list[float]:
    """The rates that the optimizer may have been made with, as far as it was seen; a schedule warms up to the last."""
    group = (view.known("learning_rate") or {}).get("first_group") or {}
    series = view.series("lr")
    highest = [max(series.finite)] if series is not None and series.finite else []
    return [rate for rate in (group.get("lr"), *highest) if rate is not None]


def _scaled_rate(code: Code, call: ast.Call, factor: float, seen: Sequence[float]) -> Iterator[Edit]:
    rate = argument(call, "lr", 1)
    own = [
        value
        for node in ast.walk(call)
        if isinstance(node, ast.Dict)
        for key, value in zip(node.keys, node.values, strict=True)
        if isinstance(key, ast.Constant) and key.value == "lr"
    ]
    yield from (scaled(code, value, factor) for value in own)
    if rate is not None:
        yield scaled(code, rate, factor, () if own else seen)
    elif not own and all(keyword.arg for keyword in call.keywords) and len(call.args) == 1:
        yield code.set_argument(call, "lr", f"{RATES[called(call)] * factor:g}")


@dataclass(frozen=True)
class Step:
    """A step of an optimizer.

    Args:
        call: of ``step``.
        statement: that it is in.
        optimizer: its text in the program.
        scaler: the text of the GradScaler that steps it; None if it is stepped itself.
    """

    call: ast.Call
    statement: ast.stmt
    optimizer: str
    scaler: str | None = None


def optimizers(code: Code) -> dict[str, ast.Call]:
    """The calls that make optimizers, by the text of the variable that holds one."""
    return made_by(code, KINDS)


def is_optimizer(code: Code, node: ast.AST) -> bool:
    """Whether a variable is an optimizer: made as one, or called so."""
    if not isinstance(node, Named | ast.Subscript):
        return False
    text = code.segment(node)
    made = {_last(each) for each in optimizers(code)}  # another object may hold it under the same name
    return _last(text) in made or is_optimizers_name(text)


def is_optimizers_name(text: str) -> bool:
    """Whether a variable is called like an optimizer."""
    last = re.sub(r"\[[^\]]*\]$", "", text).rpartition(".")[2]
    return bool(OPTIMIZER.search(last)) and not SCHEDULER.search(last)


def steps(code: Code) -> list[Step]:
    """The steps of optimizers, also those by a GradScaler, in order."""
    found = []
    for call in code.calls("step"):
        statement, function = code.statement(call), call.func
        if statement is None or not isinstance(function, ast.Attribute):
            continue
        if is_optimizer(code, function.value):
            found.append(Step(call, statement, code.segment(function.value)))
        elif call.args and is_optimizer(code, call.args[0]):
            found.append(Step(call, statement, code.segment(call.args[0]), code.segment(function.value)))
    return found


def takes_closure(step: Step) -> ast.expr | None:
    """The closure that a step is given."""
    return None if step.scaler is not None else argument(step.call, "closure", 0)


def step(code: Code, about: About) -> Step | None:
    """The step of the optimizer of a finding, if there is one such statement."""
    found = [each for each in steps(code) if _is_plain(code, each)]
    if len(found) > 1:
        targets = {target for call in constructions(code, about) for target in _targets(code, call)}
        found = [each for each in found if _last(each.optimizer) in targets]
    return found[0] if len(found) == 1 else None


def _is_plain(code: Code, step: Step) -> bool:
    """Whether a step is a statement with lines of its own, and calls no closure."""
    whole = isinstance(step.statement, ast.Expr) and step.statement.value is step.call
    return whole and alone(code, step.statement) and takes_closure(step) is None


def _last(text: str) -> str:
    return text.rpartition(".")[2]


def _targets(code: Code, call: ast.Call) -> Iterator[str]:
    """The last names of what a call is assigned to."""
    above = code.parent(call)
    for target in above.targets if isinstance(above, ast.Assign) else ():
        yield _last(code.segment(target))
