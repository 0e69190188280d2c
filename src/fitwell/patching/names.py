"""What a program calls things: torch's modules and functions, and variables that are taken, free or within reach."""

from __future__ import annotations

import ast

from fitwell.patch import Code
from fitwell.patching.statements import within


def _imported(code: Code, *, everywhere: bool = False) -> dict[str, str]:
    """By module, class or function the name that it has, where the whole program can use it; or anywhere."""
    found: dict[str, str] = {}
    for node in ast.walk(code.tree):
        if not everywhere and isinstance(node, ast.stmt) and code.function(node) is not code.tree:
            continue
        if isinstance(node, ast.Import):
            for each in node.names:
                whole = each.name if each.asname else each.name.partition(".")[0]
                found[whole] = each.asname or whole
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found |= {f"{node.module}.{each.name}": each.asname or each.name for each in node.names}
    return found


def name_of(code: Code, path: str) -> str | None:
    """What ``torch.nn`` or ``torch.nn.functional.relu`` is called in the program; None if it has no name for it."""
    names = _imported(code)
    outer, inner = path, ""
    while outer:
        if outer in names:
            return names[outer] + inner
        outer, _, last = outer.rpartition(".")
        inner = f".{last}{inner}"
    return None


def full_name(code: Code, node: ast.expr) -> str:
    """What an expression names: ``torch.nn.functional.log`` for ``F.log``; ``""`` if it is no name."""
    text = ast.unparse(node) if isinstance(node, ast.Name | ast.Attribute) else ""
    first, _, rest = text.partition(".")
    full = {name: whole for whole, name in _imported(code, everywhere=True).items()}.get(first)
    return ".".join(filter(None, (full or first, rest)))


def is_function(code: Code, call: ast.Call) -> bool:
    """Whether a function of a module is called (``torch.log(x)``), not a method of a tensor (``x.log()``)."""
    if isinstance(call.func, ast.Name):
        return True
    return full_name(code, call.func).partition(".")[0] in ("torch", "numpy", "np", "math", "F", "nn", "init")


def free(code: Code, name: str) -> str:
    """The name, or one like it that the program does not use."""
    taken = {getattr(node, "id", None) or getattr(node, "arg", None) for node in ast.walk(code.tree)}
    while name in taken:
        name += "_"
    return name


def variables(node: ast.AST) -> set[str]:
    """The variables that are read or set in a node."""
    return {each.id for each in ast.walk(node) if isinstance(each, ast.Name)}


def visible(code: Code, text: str, at: ast.AST) -> bool:
    """Whether a variable may be used at a place: it is an argument there, is set there, or is one of the module's."""
    root = text.partition(".")[0].partition("[")[0]
    around = [
        code.tree,
        *(each for each in code.around(at) if not isinstance(each, ast.Module | ast.ClassDef)),
    ]
    for each in around:
        arguments = getattr(each, "args", None)
        if isinstance(arguments, ast.arguments):
            given = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
            if root in {one.arg for one in given}:
                return True
        if isinstance(each, ast.Module | ast.FunctionDef | ast.AsyncFunctionDef):
            body = (part for statement in each.body for part in within(statement))
            if any(isinstance(n, ast.Name) and n.id == root and isinstance(n.ctx, ast.Store) for n in body):
                return True
    return False
