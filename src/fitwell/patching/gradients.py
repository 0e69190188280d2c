"""Where a program propagates back, and clears gradients."""

from __future__ import annotations

import ast

from fitwell.patch import Code, called
from fitwell.patching.optimizers import Step, steps
from fitwell.patching.statements import Function, calls_within, previous, within

BACKWARD = ("backward", "manual_backward")


def backwards(code: Code) -> list[ast.Call]:
    """The calls of ``backward``."""
    return [call for call in code.calls(*BACKWARD) if isinstance(call.func, ast.Attribute)]


def clears(code: Code) -> list[tuple[ast.Call, str]]:
    """The calls of ``zero_grad``, with the text of what is cleared."""
    return [
        (call, code.segment(call.func.value))
        for call in code.calls("zero_grad")
        if isinstance(call.func, ast.Attribute)
    ]


def feeds(code: Code, step: Step) -> ast.stmt | None:
    """The first statement in the block of a step that propagates back for it; None if it is done elsewhere."""
    found = None
    for statement in previous(code, step.statement):
        if calls_within(statement, *BACKWARD):
            found = statement
        elif found is not None and any(each.statement is statement for each in steps(code)):
            break
    return found


def trains(code: Code, node: ast.AST) -> bool:
    """Whether a statement propagates back, itself or in a function that it calls."""
    return reaches(code, node, *BACKWARD)


def reaches(code: Code, node: ast.AST, *wanted: str) -> bool:
    """Whether a statement calls one of these functions, itself, in a function that it calls, or in a closure."""
    functions = {each.name: each for each in ast.walk(code.tree) if isinstance(each, Function)}
    waiting, seen = [node], set[str]()
    while waiting:
        part = waiting.pop()
        calls = [each for each in within(part) if isinstance(each, ast.Call)]
        inner = [called(each) for each in calls]
        inner += [called(given) for each in calls if called(each) == "step" for given in each.args]
        if not {*wanted}.isdisjoint(inner):
            return True
        for name in functions.keys() & {*inner} - seen:
            seen.add(name)
            waiting += functions[name].body
    return False
