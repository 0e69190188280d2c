"""Give each feature of the input a mean of 0 and a deviation of 1 (LeCun et al. 1998)."""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence

from fitwell.experiment import Change
from fitwell.measures.data import OFFSET, SCALE
from fitwell.patch import Code, Edit
from fitwell.patching.names import free
from fitwell.patching.statements import alone
from fitwell.remedy import About, Remedy

MOST = 3.0  # scale, and distance from 0, of inputs that are left alone: numbers from 0 to 1 have less
TRAINED = re.compile(r"^(.*?)(training|train|fit|tr)(.*)$")
HELD_OUT = ("val", "valid", "validation", "test", "testing", "held", "held_out", "dev", "te", "eval")
INPUTS = re.compile(r"(^|_)(x|xs|inputs?|images?|features?|data|samples?|in)(_|$)", re.IGNORECASE)


def _needed(about: About) -> bool:
    """Whether the input was seen to be of another scale, or far from 0."""
    seen = about.view.value(SCALE), about.view.value(OFFSET)
    return any(isinstance(value, int | float) and value > MOST for value in seen)


def _live(about: About) -> Sequence[Change]:
    return (Change("standardize"),) if _needed(about) else ()


def _patch(code: Code, about: About) -> Sequence[Edit]:
    """Behind the line that has set the inputs of the last part: by the mean and deviation of the training part."""
    if not _needed(about):
        return ()
    stored = _stored(code)
    for name, statement in stored.items():
        others = _others(name, stored)
        if not others or not isinstance(statement, ast.Assign) or not INPUTS.search(_without_part(name)):
            continue
        last = max([statement, *(stored[other] for other in others)], key=lambda each: each.lineno)
        together = {id(code.function(stored[each])) for each in (name, *others)}
        if len(together) == 1 and alone(code, last) and not code.loops(last):
            return (code.after(last, _text(code, name, others)),)
    return ()


def _stored(code: Code) -> dict[str, ast.stmt]:
    """The last statement that assigns each variable."""
    found: dict[str, ast.stmt] = {}
    for node in sorted((n for n in ast.walk(code.tree) if isinstance(n, ast.Name)), key=code.span):
        statement = code.statement(node)
        if isinstance(node.ctx, ast.Store) and isinstance(statement, ast.Assign):
            found[node.id] = statement
    return found


def _others(name: str, stored: dict[str, ast.stmt]) -> list[str]:
    """The variables that are called like one of training data, for held-out data."""
    match = TRAINED.match(name) or TRAINED.match(name.lower())
    if match is None:
        return []
    before, part, after = name[: match.end(1)], name[match.start(2) : match.end(2)], name[match.start(3) :]
    swapped = [
        each.upper() if part.isupper() else each.title() if part.istitle() else each for each in HELD_OUT
    ]
    return [f"{before}{each}{after}" for each in swapped if f"{before}{each}{after}" in stored]


def _without_part(name: str) -> str:
    return TRAINED.sub(r"\1\3", name).strip("_")


def _text(code: Code, name: str, others: Sequence[str]) -> str:
    """Columns that never change are left as they are; works for tensors and arrays."""
    mean, std = free(code, "mean"), free(code, "std")
    lines = [f"{mean}, {std} = {name}.mean(0), {name}.std(0)", f"{std}[{std} == 0] = 1"]
    return "\n".join([*lines, *(f"{each} = ({each} - {mean}) / {std}" for each in (name, *others))])


REMEDY = Remedy(
    says="standardize the inputs by the mean and the deviation of the training data",
    treats={
        "input-not-normalized": 1,
        "saturated-activations": 2,
        "dead-units": 4,
        "loss-not-finite": 4,
        "exploding-gradients": 4,
        "vanishing-gradients": 5,
    },
    costs="the same numbers must be kept for new data",
    not_when="the model normalizes its input itself",
    live=_live,
    patch=_patch,
)
