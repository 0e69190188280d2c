"""Put an activation behind each hidden layer."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from itertools import pairwise

from fitwell.patch import Code, Edit, called
from fitwell.patching.activations import LAST
from fitwell.patching.assignments import assigned
from fitwell.patching.expressions import beside
from fitwell.patching.layers import SHIFTS, affine, items, module_of
from fitwell.patching.names import name_of
from fitwell.remedy import About, Remedy

OTHERS = ("GELU", "SiLU", "ELU", "LeakyReLU", "Mish", "SELU", "PReLU", "gelu", "silu", "elu", "leaky_relu", "mish",
          "selu", "activation", "act", "nonlinearity")  # fmt: skip


HIDDEN = ("ReLU", "GELU", "SiLU", "ELU", "LeakyReLU", "Mish", "SELU", "Tanh", "Softplus")
MODULES = {"relu": "ReLU", "tanh": "Tanh"}


def _patch(code: Code, about: About) -> Sequence[Edit]:
    name = str(about.dose.get("name", "relu"))
    edits = [*_listed(code, name), *_in_loops(code, name), *_in_comprehensions(code, name)]
    own = code.statement(about.line) if about.line is not None else None
    for function in ast.walk(code.tree):
        if not isinstance(function, ast.FunctionDef):
            continue
        scope = _class(code, function) or function
        here = own is not None and (own is scope or scope in code.around(own))
        if here or not _has_activation(scope):
            edits += _called(code, function, name)
    return edits


def _class(code: Code, node: ast.AST) -> ast.ClassDef | None:
    return next((outer for outer in [node, *code.around(node)] if isinstance(outer, ast.ClassDef)), None)


def _has_activation(scope: ast.AST) -> bool:
    calls = [each for each in ast.walk(scope) if isinstance(each, ast.Call)]
    applied = [each for each in calls if called(each)[:1].islower()]
    return any(called(each) in (*LAST, *OTHERS) for each in applied)


def _listed(code: Code, name: str) -> Iterator[Edit]:
    """Between two affine layers of a list, also with norms or dropout between them."""
    done: set[int] = set()
    for node in ast.walk(code.tree):
        listed = items(node)
        if not listed or isinstance(node, ast.Tuple) or any(isinstance(each, ast.Tuple) for each in listed):
            continue
        if isinstance(node, ast.Call) and called(node) == "ModuleList":
            continue
        if isinstance(code.parent(node), ast.Call) and called(code.parent(node)) == "ModuleList":  # type: ignore[arg-type]
            continue
        layers = [each for each in listed if not SHIFTS.match(called(module_of(each)))]
        for first, second in pairwise(layers):
            if affine(first) and affine(second) and id(second) not in done:
                done.add(id(second))
                yield _between(code, listed, second, name)


def _between(code: Code, listed: list[ast.expr], second: ast.expr, name: str) -> Edit:
    """In the place of an identity before it, if there is one; else a new item."""
    before = listed[listed.index(second) - 1]
    assert isinstance(second, ast.Call)  # noqa: S101 - an affine layer
    relu = _module(code, second, name)
    if called(before) == "Identity":
        return code.replace(before, relu)
    end, start = code.span(before)[1], code.span(second)[0]
    gap = code.text[end:start]
    space = gap[gap.rfind("\n") :] if "\n" in gap else " "
    return Edit(start, start, f"{relu},{space}")


def _module(code: Code, layer: ast.Call, name: str) -> str:
    """The activation that stands between layers elsewhere in the program, for the first dose; else one of this name."""
    others = [
        module_of(each) for node in ast.walk(code.tree) if isinstance(node, ast.Call)
        for each in items(node)[:-1] if called(module_of(each)) in HIDDEN
    ]  # fmt: skip
    if others and name == "relu":
        return code.segment(others[0])
    return f"{beside(code, layer, MODULES[name]) or MODULES[name]}()"


def _in_loops(code: Code, name: str) -> Iterator[Edit]:
    """``layers.append(nn.Linear(...))`` in a loop that appends nothing else."""
    for loop in ast.walk(code.tree):
        if not isinstance(loop, ast.For):
            continue
        added = [each for each in ast.walk(loop) if isinstance(each, ast.Call) and called(each) == "append"]
        if not added or not all(each.args and affine(each.args[0]) for each in added):
            continue
        statement, layer = code.statement(added[0]), added[0].args[0]
        if statement is not None and isinstance(added[0].func, ast.Attribute) and isinstance(layer, ast.Call):
            owner = code.segment(added[0].func.value)
            if not any(
                "ModuleList" in ast.unparse(value) for _, value in assigned(code, called(added[0].func.value))
            ):
                text = f"if len({owner}) > 0:\n    {owner}.append({_module(code, layer, name)})"
                yield code.before(statement, text)


def _in_comprehensions(code: Code, name: str) -> Iterator[Edit]:
    """``nn.Sequential(*[nn.Linear(a, b) for ...])``."""
    for node in ast.walk(code.tree):
        if not isinstance(node, ast.ListComp | ast.GeneratorExp) or not affine(node.elt):
            continue
        star = code.parent(node)
        holder = code.parent(star) if isinstance(star, ast.Starred) else None
        if (
            not isinstance(holder, ast.Call)
            or called(holder) != "Sequential"
            or not isinstance(node.elt, ast.Call)
        ):
            continue
        start, end = code.span(node.elt)[1], code.span(node)[1] - 1
        loops = code.text[start:end].strip()
        relu = _module(code, node.elt, name)
        text = f"[each {loops} for each in ({code.segment(node.elt)}, {relu})]"
        yield code.replace(node, text if holder.args[-1] is not star else f"{text}[:-1]")


def _called(code: Code, function: ast.FunctionDef, name: str) -> Iterator[Edit]:
    """Around the result of an affine layer that goes into the next one."""
    relu = name_of(code, f"torch.{name}") or name_of(code, f"torch.nn.functional.{name}")
    own = [
        each for each in ast.walk(function) if isinstance(each, ast.expr) and code.function(each) is function
    ]
    for node in own:
        if not _is_affine(code, node):
            continue
        outer = _climbed(code, node)
        if _goes_on(code, function, outer):
            start, end = code.span(outer)
            yield Edit(start, start, f"{relu or ''}(")  # not the whole: another one may be within it
            yield Edit(end, end, ")" if relu else f").{name}()")


def _is_affine(code: Code, node: ast.expr) -> bool:
    """Whether it is the result of an affine layer, or of a product with a matrix of weights."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.MatMult):
        return isinstance(node.right, ast.Name) and "requires_grad" in code.text
    if not isinstance(node, ast.Call) or not node.args:
        return False
    return any(affine(value) for _, value in assigned(code, called(node)))


def _climbed(code: Code, node: ast.expr) -> ast.expr:
    """With the bias, norms and dropout that are put around it."""
    while True:
        above = code.parent(node)
        added = isinstance(above, ast.BinOp) and isinstance(above.op, ast.Add)
        if not added and not (isinstance(above, ast.Call) and node in above.args and _shifts(code, above)):
            return node
        assert isinstance(above, ast.expr)  # noqa: S101 - one of the two
        node = above


def _shifts(code: Code, call: ast.Call) -> bool:
    if called(call) == "dropout":
        return True
    made = [value for _, value in assigned(code, called(call)) if isinstance(value, ast.Call)]
    return any(SHIFTS.match(called(value)) for value in made)


def _goes_on(code: Code, function: ast.FunctionDef, node: ast.expr) -> bool:
    """Whether the next thing that is done with it is to give it to an affine layer."""
    above = code.parent(node)
    if isinstance(above, ast.Call) and node in above.args and _is_affine(code, above):
        return True
    if isinstance(above, ast.BinOp) and isinstance(above.op, ast.MatMult):
        return above.left is node and _is_affine(code, above)
    if not isinstance(above, ast.Assign) or not isinstance(above.targets[0], ast.Name):
        return False
    return _is_used_by_affine(code, function, above, above.targets[0].id)


def _is_used_by_affine(code: Code, function: ast.FunctionDef, statement: ast.stmt, name: str) -> bool:
    end = statement.end_lineno or 0
    read = [each for each in ast.walk(function) if isinstance(each, ast.Name) and each.id == name]
    later = [each for each in read if isinstance(each.ctx, ast.Load) and each.lineno > end]
    used = min(later, key=code.span, default=None)
    while used is not None:
        above = code.parent(used)
        if isinstance(above, ast.Call) and used in above.args and _is_affine(code, above):
            return True
        if isinstance(above, ast.BinOp) and isinstance(above.op, ast.MatMult) and above.left is used:
            return True
        if isinstance(above, ast.Call) and used in above.args and _shifts(code, above):
            kept = code.parent(above)
            if isinstance(kept, ast.Assign) and isinstance(kept.targets[0], ast.Name):
                return _is_used_by_affine(code, function, kept, kept.targets[0].id)
            used = above  # type: ignore[assignment]
            continue
        return False
    return False


REMEDY = Remedy(
    says="put {name} behind each hidden layer, or the activation that other lists of layers have",
    treats={"no-nonlinearity": 1},
    costs="nothing that counts",
    not_when="a linear model is meant: then one layer is enough",
    doses=({"name": "relu"}, {"name": "tanh"}),
    patch=_patch,
)
