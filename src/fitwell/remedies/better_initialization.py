"""Begin with weights that keep the size of what passes through a layer (Glorot and Bengio 2010; He et al. 2015)."""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence

from fitwell.experiment import Change
from fitwell.measures.places import lines
from fitwell.patch import Code, Edit, called
from fitwell.patching.expressions import beside
from fitwell.patching.names import full_name
from fitwell.patching.statements import line_of, removed
from fitwell.patching.weights import redrawn, tensors
from fitwell.remedy import About, Remedy

SETS = re.compile(r"^(normal|uniform|constant|fill|zero|zeros|ones|trunc_normal|mul|copy)_$")
SCHEMES = {"kaiming": "kaiming_uniform_", "xavier": "xavier_uniform_"}


def _live(about: About) -> Sequence[Change]:
    return (Change("initialize", about.dose),)


def _patch(code: Code, about: About) -> Sequence[Edit]:
    """Without the statement that spoils the weights, for layers begin well by themselves; or with another one."""
    statement = _spoils(code, about)
    if statement is None:
        return _drawn(code) if about.dose["scheme"] == "kaiming" else ()
    if about.dose["scheme"] == "kaiming":
        return removed(code, [statement])
    call = statement.value
    if (
        not isinstance(call, ast.Call)
        or not full_name(code, call.func).rpartition(".")[0].endswith("init")
        or not call.args
    ):
        return ()
    weights, scheme = (
        code.segment(call.args[0]),
        beside(code, call, SCHEMES[about.dose["scheme"]], "torch.nn.init"),
    )
    named = scheme is not None and weights.endswith("weight")
    return (code.replace(call, f"{scheme}({weights})"),) if named else ()


def _spoils(code: Code, about: About) -> ast.Expr | None:
    """The statement in the finding's line that sets weights, else the only one that was seen to."""
    drawn = [line_of(code, line) for line in lines(about.view, "initializes") if line["way"] != "standard"]
    for found in ([about.line], drawn):
        statements = {at: _setting(code, at) for at in found if at}
        known = [statement for statement in statements.values() if statement is not None]
        if len(known) == 1:
            return known[0]
    return None


def _setting(code: Code, line: int) -> ast.Expr | None:
    """The statement of a line, if all it does is to set a tensor."""
    statement = code.statement(line)
    if not isinstance(statement, ast.Expr) or not isinstance(statement.value, ast.Call):
        return None
    text = code.segment(statement.value)
    return statement if SETS.match(called(statement.value)) and "grad" not in text else None


def _drawn(code: Code) -> list[Edit]:
    """Weights that a program draws by itself, ``randn(rows, columns) * 4``, for products such as ``x @ w``."""
    drawn = [each for each in tensors(code) if not each.is_constant] if _multiplies(code) else []
    edits = [redrawn(code, each) for each in drawn]
    return [edit for edit in edits if edit is not None]


def _multiplies(code: Code) -> bool:
    """Whether inputs stand before weights in all products, so that rows are what a unit takes."""
    products = [
        node
        for node in ast.walk(code.tree)
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.MatMult)
    ]
    return bool(products) and all(isinstance(node.right, ast.Name) for node in products)


REMEDY = Remedy(
    says="begin with weights as {scheme} draws them",
    treats={
        "saturated-activations": 1,
        "dead-units": 1,
        "exploding-gradients": 2,
        "vanishing-gradients": 3,
        "loss-plateau": 5,
    },
    costs="nothing",
    not_when="the first weights are meant, as those of a model that was trained before",
    doses=({"scheme": "kaiming"}, {"scheme": "xavier"}),
    live=_live,
    patch=_patch,
)
