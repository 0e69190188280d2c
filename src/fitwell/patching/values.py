"""Where the number is written that an expression stands for: the constant, default or entry that it is taken from."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence

from fitwell.patch import Code, Edit, argument, called, number
from fitwell.patching.expressions import enclosed
from fitwell.patching.statements import Function

DEEPEST = 8  # names that lead from one to the next


def written(code: Code, node: ast.expr | None, deep: int = 0) -> ast.expr | None:
    """The literal number that an expression stands for, if it is written in one place of the program.

    Followed are variables that are assigned once, parameters (their default, or what the only call gives), attributes
    such as ``args.lr`` and ``self.lr``, and entries of dicts.
    """
    if node is None or deep > DEEPEST:
        return None
    if number(node) is not None:
        return node
    sources: Sequence[ast.expr | None] = ()
    if isinstance(node, ast.Name):
        sources = _of_name(code, node)
    elif isinstance(node, ast.Attribute):
        sources = _of_attribute(code, node.attr)
    elif isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant):
        sources = _of_key(code, node.slice.value)
    elif isinstance(node, ast.Call) and called(node) in ("int", "float") and len(node.args) == 1:
        sources = node.args
    return written(code, sources[0], deep + 1) if len(sources) == 1 else None


def value(code: Code, node: ast.expr | None) -> float | None:
    """The number that an expression stands for; None if it is not known."""
    return number(written(code, node))


def scaled(code: Code, node: ast.expr, factor: float, seen: Sequence[float] = ()) -> Edit:
    """An expression times a factor.

    The number is changed where it is written. If that is not known, or it is none of those that were ``seen`` in the
    training, as when the command line gives another, the expression itself is multiplied.
    """
    place = written(code, node)
    found = number(place)
    told = not seen or any(found is not None and _close(found, each) for each in seen)
    if place is not None and found is not None and told:
        return code.replace(place, f"{found * factor:g}")
    return code.replace(node, f"{enclosed(code, node)} * {factor:g}")


def scaled_count(code: Code, node: ast.expr, factor: float) -> Edit | None:
    """A whole number above 0 times a factor, where it is written; None if that is not known, or changes nothing."""
    place = written(code, node)
    found = number(place)
    if place is None or found is None or found < 1 or found != int(found):
        return None
    new = max(1, round(found * factor))
    return None if new == found else code.replace(place, str(new))


def once(edits: Sequence[Edit]) -> list[Edit]:
    """Without those that are the same."""
    return list(dict.fromkeys(edits))


def _close(one: float, other: float) -> bool:
    return abs(one - other) <= 1e-6 * max(abs(one), abs(other))


def _scope(code: Code, node: ast.AST) -> ast.AST:
    """The function or class that a node is directly in, else the module."""
    inner = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)
    return next((outer for outer in code.around(node) if isinstance(outer, inner)), code.tree)


def _of_name(code: Code, node: ast.Name) -> Sequence[ast.expr | None]:
    scope = code.function(node)
    while True:
        bound = [
            _bound_to(code, each)
            for each in ast.walk(scope)
            if isinstance(each, ast.Name)
            and each.id == node.id
            and not isinstance(each.ctx, ast.Load)
            and _scope(code, each) is scope
        ]
        if isinstance(scope, Function) and node.id in _parameters(scope):
            return [None] if bound else _of_parameter(code, scope, node.id)
        if bound or scope is code.tree:
            return bound
        scope = code.function(scope)


def _bound_to(code: Code, target: ast.expr) -> ast.expr | None:
    """What is assigned to a target; None if it is not told, as in a loop."""
    above = code.parent(target)
    if isinstance(above, ast.Assign | ast.AnnAssign):
        return above.value
    if not isinstance(above, ast.Tuple | ast.List):
        return None
    statement = code.parent(above)
    if isinstance(statement, ast.Assign) and isinstance(statement.value, ast.Tuple | ast.List):
        values = statement.value.elts
        return values[above.elts.index(target)] if len(values) == len(above.elts) else None
    return None


def _parameters(function: Function) -> list[str]:
    given = function.args
    return [each.arg for each in (*given.posonlyargs, *given.args, *given.kwonlyargs)]


def _of_parameter(code: Code, function: Function, name: str) -> Sequence[ast.expr | None]:
    """What the only call that gives it gives, or the default if no call does."""
    owner = code.parent(function)
    method = isinstance(owner, ast.ClassDef)
    names = (
        [owner.name] if isinstance(owner, ast.ClassDef) and function.name == "__init__" else [function.name]
    )
    calls = code.calls(*names)
    if not calls or any(_unpacks(call) for call in calls) or _is_passed_on(code, names[0]):
        return []
    position = _parameters(function).index(name) - (1 if method else 0)
    positional = len(function.args.posonlyargs) + len(function.args.args) - (1 if method else 0)
    given = [argument(call, name, position if position < positional else None) for call in calls]
    told = [each for each in given if each is not None]
    if not told:
        return [_default(function, name)]
    return told if len(calls) == 1 else []


def _unpacks(call: ast.Call) -> bool:
    return any(isinstance(each, ast.Starred) for each in call.args) or any(
        k.arg is None for k in call.keywords
    )


def _is_passed_on(code: Code, name: str) -> bool:
    """Whether a function is used other than by calling it, so that not all its calls are known."""
    for node in ast.walk(code.tree):
        if isinstance(node, ast.Name) and node.id == name and isinstance(node.ctx, ast.Load):
            above = code.parent(node)
            if not (isinstance(above, ast.Call) and above.func is node) and not isinstance(
                above, ast.ClassDef
            ):
                return True
    return False


def _default(function: Function, name: str) -> ast.expr | None:
    given = function.args
    ordered = [*given.posonlyargs, *given.args]
    pairs = dict(zip([each.arg for each in reversed(ordered)], reversed(given.defaults), strict=False))
    only = {each.arg: default for each, default in zip(given.kwonlyargs, given.kw_defaults, strict=True)}
    return pairs.get(name) or only.get(name)


def _of_attribute(code: Code, name: str) -> Sequence[ast.expr | None]:
    """The defaults of an argument of the command line, fields of classes and assignments to the attribute."""
    found: list[ast.expr | None] = []
    for node in ast.walk(code.tree):
        if isinstance(node, ast.Call) and called(node) == "add_argument" and _destination(node) == name:
            found.append(argument(node, "default"))
        elif isinstance(node, ast.Call) and called(node) in ("Namespace", "SimpleNamespace", "EasyDict"):
            found += [argument(node, name)] if argument(node, name) is not None else []
        elif isinstance(node, ast.Attribute) and node.attr == name and not isinstance(node.ctx, ast.Load):
            found.append(_bound_to(code, node))
        elif isinstance(node, ast.ClassDef):
            found += _fields(code, node, name)
    return found


def _destination(call: ast.Call) -> str:
    """The attribute that an argument of the command line becomes."""
    given = argument(call, "dest")
    if isinstance(given, ast.Constant):
        return str(given.value)
    flags = [str(each.value) for each in call.args if isinstance(each, ast.Constant)]
    long = [flag for flag in flags if flag.startswith("--")] or flags
    return long[0].lstrip("-").replace("-", "_") if long else ""


def _fields(code: Code, owner: ast.ClassDef, name: str) -> Iterator[ast.expr | None]:
    """The value of a field of a class: what its calls give, else what its body does."""
    targets = [
        target
        for statement in owner.body
        for target in (
            statement.targets if isinstance(statement, ast.Assign) else [getattr(statement, "target", None)]
        )
        if isinstance(target, ast.Name) and target.id == name
    ]
    given = [argument(call, name) for call in code.calls(owner.name)]
    told: list[ast.expr | None] = [each for each in given if each is not None]
    if targets:
        yield from told or [_bound_to(code, target) for target in targets]


def _of_key(code: Code, key: object) -> Sequence[ast.expr | None]:
    """The values that dicts have under a key."""
    found: list[ast.expr | None] = []
    for node in ast.walk(code.tree):
        if isinstance(node, ast.Dict):
            pairs = zip(node.keys, node.values, strict=True)
            found += [value for at, value in pairs if isinstance(at, ast.Constant) and at.value == key]
        elif isinstance(node, ast.Call) and called(node) == "dict" and isinstance(key, str):
            found += [each.value for each in node.keywords if each.arg == key]
        elif (
            isinstance(node, ast.Subscript)
            and not isinstance(node.ctx, ast.Load)
            and isinstance(node.slice, ast.Constant)
            and node.slice.value == key
        ):
            found.append(_bound_to(code, node))
    return found
