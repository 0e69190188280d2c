"""Statements of a program: what is in them, what stands around them, and how to move or remove them."""

from __future__ import annotations

import ast
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from fitwell.patch import Code, Edit, called

Function = ast.FunctionDef | ast.AsyncFunctionDef


def within(node: ast.AST) -> Iterator[ast.AST]:
    """A node and all that is in it, but for what functions and classes do that are defined there."""
    yield node
    if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda):
        for child in ast.iter_child_nodes(node):
            yield from within(child)


def calls_within(node: ast.AST, *names: str) -> list[ast.Call]:
    """The calls of these functions in a node, but for those in functions that are defined there."""
    return [each for each in within(node) if isinstance(each, ast.Call) and called(each) in names]


def is_on(node: ast.expr | ast.stmt, line: int | None) -> bool:
    """Whether a node is on a line, or stretches over it."""
    return line is not None and node.lineno <= line <= (node.end_lineno or node.lineno)


def line_of(code: Code, where: Mapping[str, Any] | None) -> int | None:
    """The line of a place that was seen in a run, if the same text still stands there."""
    line, lines = int((where or {}).get("line") or 0), code.text.splitlines()
    same = 0 < line <= len(lines) and lines[line - 1].strip() == str((where or {}).get("text", "")).strip()
    return line if same else None


def scope(code: Code, line: int | None) -> ast.AST:
    """The function that a line is in; the module if it is in none."""
    statement = code.statement(line) if line else None
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
        return statement
    return code.tree if statement is None else code.function(statement)


def nearest(code: Code, calls: Iterable[ast.Call], line: int | None) -> ast.Call | None:
    """The call on a line, else the next one in its function, else the last one before; else the only one there is."""
    found = list(calls)
    if line is not None:
        place = scope(code, line)
        near = [call for call in found if code.function(call) is place]
        on = [call for call in near if is_on(call, line)]
        after = [call for call in near if call.lineno > line]
        chosen = on or after[:1] or near[-1:]
        if chosen:
            return chosen[0]
    return found[0] if len(found) == 1 else None


def block(code: Code, statement: ast.stmt) -> list[ast.stmt]:
    """The statements that a statement stands among."""
    parent = code.parent(statement)
    for name in ("body", "orelse", "finalbody"):
        statements = getattr(parent, name, None)
        if isinstance(statements, list) and statement in statements:
            return statements
    return [statement]


def previous(code: Code, statement: ast.stmt) -> list[ast.stmt]:
    """The statements before one in its block, the nearest first."""
    among = block(code, statement)
    return among[: among.index(statement)][::-1]


def following(code: Code, statement: ast.stmt) -> list[ast.stmt]:
    """The statements after one in its block."""
    among = block(code, statement)
    return among[among.index(statement) + 1 :]


def alone(code: Code, statement: ast.stmt) -> bool:
    """Whether nothing else stands in the lines of a statement, so that lines before and after it are in its block."""
    start, end = code.span(statement)
    before = code.text[code.text.rfind("\n", 0, start) + 1 : start]
    after = code.text[end:].partition("\n")[0]
    return not before.strip() and not after.partition("#")[0].strip()


def text_of(code: Code, statement: ast.stmt) -> str:
    """The lines of a statement without its indentation."""
    start, _ = code.span(statement)
    line = code.text.rfind("\n", 0, start) + 1
    lead = code.text[line:start]
    return textwrap.dedent((lead if not lead.strip() else "") + code.segment(statement)).strip()


def moved(
    code: Code, statement: ast.stmt, place: Callable[[ast.stmt, str], Edit], to: ast.stmt
) -> Sequence[Edit]:
    """A statement put elsewhere: ``moved(code, clear, code.before, backward)``."""
    return (code.remove(statement), place(to, text_of(code, statement)))


def removed(code: Code, statements: list[ast.stmt]) -> list[Edit]:
    """Without these statements, and without the loops and conditions that nothing is left in."""
    gone: list[ast.stmt] = list(statements)
    for statement in statements:
        current: ast.AST | None = code.parent(statement)
        while isinstance(current, ast.For | ast.If | ast.With) and current not in gone:
            if getattr(current, "orelse", []) or not all(each in gone for each in current.body):
                break
            gone.append(current)
            current = code.parent(current)
    inner = [each for each in gone if not any(outer in gone for outer in code.around(each))]
    return _in_blocks(code, inner)


def _in_blocks(code: Code, gone: list[ast.stmt]) -> list[Edit]:
    """A block of which nothing is left gets a ``pass``."""
    edits: list[Edit] = []
    for statement in gone:
        edit = code.remove(statement)
        parent = code.parent(statement)
        blocks = [getattr(parent, name, None) for name in ("body", "orelse", "finalbody")]
        block = next((each for each in blocks if isinstance(each, list) and statement in each), [])
        if len(block) > 1 and all(each in gone for each in block) and statement is block[0]:
            edit = Edit(*code.span(statement), "pass")
        edits.append(edit)
    return edits
