"""Let hidden units pass gradients wherever they are (Maas, Hannun and Ng 2013)."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence

from fitwell.experiment import Change
from fitwell.measures.places import lines
from fitwell.patch import Code, Edit, called
from fitwell.patching.expressions import beside
from fitwell.patching.layers import hidden_activations
from fitwell.patching.names import name_of
from fitwell.plan import Plan
from fitwell.remedy import About, Remedy

MODULES = {"gelu": "GELU", "leaky_relu": "LeakyReLU"}
SQUASHING, RECTIFYING = ("sigmoid", "tanh"), ("relu",)


def _bad(finding: str) -> tuple[str, ...]:
    """The activations that a finding blames; others are left alone."""
    return RECTIFYING if finding == "dead-units" else SQUASHING


def _plan(plan: Plan, about: About) -> Plan | None:
    bad = (*SQUASHING, *RECTIFYING)
    return plan.change(activation=about.dose["name"]) if plan.model.activation in bad else None


def _live(about: About) -> Sequence[Change]:
    """Where those that are blamed were seen, as layers or as functions."""
    table = (about.view.known("layers") or {}).get("table") or []
    seen = [
        *(row.get("class") for row in table),
        *(line["operation"] for line in lines(about.view, "activations")),
    ]
    blamed = any(str(each).lower() in _bad(about.finding) for each in seen)
    return (Change("activation", about.dose),) if blamed else ()


def _patch(code: Code, about: About) -> Sequence[Edit]:
    """Those that surely are within the model: a layer's output goes in, and another layer takes what comes out."""
    bad, new = _bad(about.finding), about.dose["name"]
    functions = name_of(code, "torch.nn.functional")
    edits = [
        code.replace(call, f"{other}()")
        for _, call in hidden_activations(code)
        if called(call).lower() in bad and (other := beside(code, call, MODULES[new]))
    ]
    if functions is not None:
        edits += [code.replace(call.func, f"{functions}.{new}") for call in _applied(code, bad)]
    return edits


def _applied(code: Code, names: tuple[str, ...]) -> Iterator[ast.Call]:
    """``h = torch.tanh(layer(x))`` where a later call or product takes ``h``."""
    for call in code.calls(*names):
        statement = code.statement(call)
        layer = call.args[0] if len(call.args) == 1 and not call.keywords else None
        if not isinstance(statement, ast.Assign) or statement.value is not call or not _is_layer(layer):
            continue
        target = statement.targets[0]
        if isinstance(target, ast.Name) and _is_taken(code, statement, target.id):
            yield call


def _is_layer(node: ast.expr | None) -> bool:
    """Whether it is what ``self.layer(x)`` or ``x @ w + b`` computes."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        node = node.left
    product = isinstance(node, ast.BinOp) and isinstance(node.op, ast.MatMult)
    return product or (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute | ast.Subscript))


def _is_taken(code: Code, statement: ast.stmt, name: str) -> bool:
    """Whether layers or products, and nothing else, take a variable after a statement, or in a loop's next turn."""
    loops = code.loops(statement)
    start = loops[-1].lineno if loops else statement.lineno + 1
    uses = [
        code.parent(node)
        for node in ast.walk(code.function(statement))
        if isinstance(node, ast.Name)
        and node.id == name
        and isinstance(node.ctx, ast.Load)
        and node.lineno >= start
    ]
    return bool(uses) and all(
        (isinstance(use, ast.Call) and _is_layer(use))
        or (isinstance(use, ast.BinOp) and isinstance(use.op, ast.MatMult))
        for use in uses
    )


REMEDY = Remedy(
    says="use {name} in hidden layers",
    treats={
        "vanishing-gradients": 1,
        "saturated-activations": 3,
        "dead-units": 3,
        "loss-plateau": 6,
    },
    costs="outputs of hidden layers that have no bounds",
    not_when="units are meant to be gates, or to be zero for most samples",
    doses=({"name": "leaky_relu"}, {"name": "gelu"}),
    plan=_plan,
    live=_live,
    patch=_patch,
)
