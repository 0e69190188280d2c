"""Where a program trains and evaluates, and which models are switched between the two modes."""

from __future__ import annotations

import ast

from fitwell.patch import Code, called
from fitwell.patching.assignments import Named, assignments
from fitwell.patching.gradients import reaches, trains
from fitwell.patching.optimizers import is_optimizers_name
from fitwell.patching.statements import within

Loop = ast.For | ast.While
NAMES = ("model", "net", "network", "module")


def switches(code: Code, mode: str) -> list[ast.Call]:
    """The calls of ``model.train()`` or ``model.eval()``."""
    return [
        call
        for call in code.calls(mode)
        if isinstance(call.func, ast.Attribute)
        and not call.args
        and not call.keywords
        and isinstance(call.func.value, Named)
    ]


def models(code: Code, statement: ast.stmt) -> list[str]:
    """The models that a statement calls, or hands on: those that have modes set elsewhere, else what it calls."""
    switched = {code.segment(call.func.value) for mode in ("train", "eval") for call in switches(code, mode)}  # type: ignore[attr-defined]
    head = _head(statement)
    used = [code.segment(node) for part in head for node in ast.walk(part) if isinstance(node, Named)]
    known = [text for text in dict.fromkeys(used) if text in switched]
    whole = [text for text in known if not any(text.startswith(f"{other}.") for other in known)]
    if whole:
        return sorted(whole, key=code.text.find)
    defined = {each.name for each in ast.walk(code.tree) if isinstance(each, ast.FunctionDef | ast.ClassDef)}
    calls = [node.func for part in head for node in ast.walk(part) if isinstance(node, ast.Call)]
    plain = [code.segment(each) for each in calls if isinstance(each, ast.Name) and each.id not in defined]
    plain += [code.segment(each) for each in calls if isinstance(each, ast.Attribute) and _is_own_model(each)]
    modules = _modules(code)
    found = [text for text in dict.fromkeys(plain) if text in modules or text.startswith("self.")]
    return found if len(found) == 1 else [text for text in found if text in modules][:1]


def _head(statement: ast.stmt) -> list[ast.AST]:
    return [child for child in ast.iter_child_nodes(statement) if not isinstance(child, ast.stmt)]


def _is_own_model(node: ast.Attribute) -> bool:
    own = isinstance(node.value, ast.Name) and node.value.id == "self"
    return own and node.attr in NAMES


def _modules(code: Code) -> set[str]:
    """Variables that are models: whose parameters are asked for, or that are arguments of such a name."""
    asked = [call.func.value for call in code.calls("parameters") if isinstance(call.func, ast.Attribute)]
    classes = {each.name for each in ast.walk(code.tree) if isinstance(each, ast.ClassDef)} | {"Sequential"}
    made = [target for _, target, value in assignments(code) if called(value) in classes]
    given = {each.arg for each in ast.walk(code.tree) if isinstance(each, ast.arg) and each.arg in NAMES}
    return given | {code.segment(each) for each in [*asked, *made] if isinstance(each, Named)}


def evaluates(code: Code, node: ast.AST) -> bool:
    """Whether a statement sets evaluation mode, itself or in a function that it calls."""
    return reaches(code, node, "eval")


def before_training(code: Code, statement: ast.stmt) -> ast.stmt:
    """Before which statement training mode belongs, so that a statement of a step is run in it."""
    loops = code.loops(statement)
    within = [loop for loop in loops if code.function(loop) is code.function(statement)]
    if not within:
        body: list[ast.stmt] = getattr(code.function(statement), "body", [statement])
        return next((each for each in body if statement in ast.walk(each)), statement)
    inner = within[0]
    if any(evaluates(code, each) for each in inner.body):
        return inner.body[0]
    return inner


def evaluation(code: Code, statement: ast.stmt) -> ast.stmt:
    """The whole of an evaluation that a statement is part of: with its loops and blocks, but nothing that trains."""
    whole = statement
    for each in code.around(statement):
        if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Module | ast.Lambda):
            break
        if isinstance(each, ast.stmt):
            others = _others(each, whole)
            if any(trains(code, part) or _prepares(code, part) for part in others) or _is_chosen(each, whole):
                break
            whole = each
    return whole


def _prepares(code: Code, node: ast.AST) -> bool:
    """Whether a statement is part of a training, as far as names tell."""
    inside = set(within(node))
    named = any(
        isinstance(each, ast.Name | ast.Attribute) and is_optimizers_name(called(each)) for each in inside
    )
    return named or any(call in inside for call in switches(code, "train"))


def _others(block: ast.stmt, but: ast.stmt) -> list[ast.AST]:
    return [child for child in ast.iter_child_nodes(block) if child is not but]


def _is_chosen(block: ast.stmt, part: ast.stmt) -> bool:
    """Whether a part of a program stands under a condition, or between other things that an epoch does."""
    if isinstance(block, ast.If):
        return True
    return isinstance(block, Loop) and any(isinstance(each, Loop) for each in block.body if each is not part)
