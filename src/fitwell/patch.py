"""A program's text and edits of it: found in its syntax tree, made in the text, so that all else stays as it is."""

from __future__ import annotations

import ast
import difflib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

_MARK = "\ufeff"  # that some editors put before a text in UTF-8


@dataclass(frozen=True)
class Edit:
    """A piece of text that is exchanged.

    Args:
        start: where it begins, in characters.
        end: where it ends; where it begins, if something is only inserted.
        text: what stands there afterwards.
    """

    start: int
    end: int
    text: str


class Code:
    """The text of a Python file.

    Args:
        text: of the file.
        file: its path, as it stands in a diff.

    Raises:
        SyntaxError: it is not Python.
    """

    def __init__(self, text: str, file: str = "") -> None:
        self.text, self.file = text, file
        self.tree = ast.parse(text.removeprefix(_MARK))

    @cached_property
    def _lines(self) -> list[str]:
        """As Python counts them: a form feed or a Unicode separator ends none."""
        return _lines(self.text.removeprefix(_MARK))

    @cached_property
    def _newline(self) -> str:
        first = self._lines[0] if self._lines else ""
        return first[len(first.rstrip("\r\n")) :] or "\n"

    @cached_property
    def _starts(self) -> list[int]:
        starts = [len(_MARK) if self.text.startswith(_MARK) else 0]
        for line in self._lines:
            starts.append(starts[-1] + len(line))
        return starts

    @cached_property
    def _parents(self) -> dict[ast.AST, ast.AST]:
        return {child: node for node in ast.walk(self.tree) for child in ast.iter_child_nodes(node)}

    def span(self, node: ast.AST) -> tuple[int, int]:
        """Where the text of a node begins and ends, in characters."""
        assert isinstance(node, ast.expr | ast.stmt | ast.keyword | ast.arg)  # noqa: S101 - what has a place
        return self._at(node.lineno, node.col_offset), self._at(
            node.end_lineno or 0, node.end_col_offset or 0
        )

    def _at(self, line: int, column: int) -> int:
        """Columns are counted in bytes of UTF-8."""
        before = self._lines[line - 1].encode()[:column].decode() if line <= len(self._lines) else ""
        return self._starts[line - 1] + len(before)

    def segment(self, node: ast.AST) -> str:
        """The text of a node."""
        start, end = self.span(node)
        return self.text[start:end]

    def parent(self, node: ast.AST) -> ast.AST | None:
        """The node that this one is a part of."""
        return self._parents.get(node)

    def around(self, node: ast.AST) -> Iterator[ast.AST]:
        """The nodes that this one is within, the innermost first."""
        current = self.parent(node)
        while current is not None:
            yield current
            current = self.parent(current)

    def function(self, node: ast.AST) -> ast.AST:
        """The function that a node is in; the module if it is in none."""
        functions = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
        return next((outer for outer in self.around(node) if isinstance(outer, functions)), self.tree)

    def loops(self, node: ast.AST) -> list[ast.For | ast.While]:
        """The loops that a node is in, the innermost first."""
        return [outer for outer in self.around(node) if isinstance(outer, ast.For | ast.While)]

    def statement(self, at: int | ast.AST) -> ast.stmt | None:
        """The innermost statement on a line (a block counts with its head alone), or that a node is in."""
        if isinstance(at, ast.AST):
            found = [at, *self.around(at)]
            return next((node for node in found if isinstance(node, ast.stmt)), None)
        best: ast.stmt | None = None
        for node in ast.walk(self.tree):
            if isinstance(node, ast.stmt) and node.lineno <= at <= _head_end(node):
                best = node if best is None or node.lineno >= best.lineno else best
        return best

    def calls(self, *names: str, line: int | None = None) -> list[ast.Call]:
        """The calls of functions with one of these last names (``cross_entropy``), in order; on a line if it is given.

        A line is one that the call stretches over.
        """
        found = [
            node
            for node in ast.walk(self.tree)
            if isinstance(node, ast.Call)
            and (not names or called(node) in names)
            and (line is None or node.lineno <= line <= (node.end_lineno or node.lineno))
        ]
        return sorted(found, key=self.span)

    def replace(self, node: ast.AST, text: str) -> Edit:
        """Another text for a node."""
        return Edit(*self.span(node), text)

    def before(self, statement: ast.stmt, text: str) -> Edit:
        """New lines before a statement, as far indented as it is; the first of its decorators counts.

        Where the statement is not first on its line, as in ``if late: stop()``, the new ones share that line.
        """
        parent = self.parent(statement)
        while isinstance(parent, ast.If) and self.text.startswith("elif", self.span(statement)[0]):
            statement, parent = parent, self.parent(parent)  # nothing stands between it and the branch before
        if self._shares_line(statement):
            start = self.span(statement)[0]
            return Edit(start, start, "".join(f"{line}; " for line in _lines(text, ends=False)))
        start = self._starts[_first_line(statement) - 1]
        return Edit(start, start, self._indented(statement, text))

    def after(self, statement: ast.stmt, text: str) -> Edit:
        """New lines after a statement, as far indented as it is; on its line where it shares that with others."""
        last = self._starts[statement.end_lineno or statement.lineno]
        end = self.span(statement)[1]
        followed = self.text[end:last].lstrip(" \t\f")[:1] == ";"
        if followed or self._shares_line(statement):
            return Edit(end, end, "".join(f"; {line}" for line in _lines(text, ends=False)))
        lead = "" if self.text[:last].endswith(("\n", "\r")) else self._newline
        return Edit(last, last, lead + self._indented(statement, text))

    def remove(self, statement: ast.stmt) -> Edit:
        """Without a statement; where it was alone in its block, or shares its line, ``pass`` takes its place."""
        start, end = self.span(statement)
        first, last = self._starts[_first_line(statement) - 1], self._starts[statement.end_lineno or 0]
        followed = self.text[end:last].split("#")[0].strip()
        if self._shares_line(statement) or followed:
            return Edit(start, end, "pass")
        if self._is_alone(statement):
            return Edit(first, end, self._indent(statement) + "pass")
        return Edit(first, last, "")

    def unwrap(self, block: ast.With | ast.For | ast.While | ast.If) -> list[Edit]:
        """What is in a block without its head, as far indented as that was."""
        head, start = self.span(block)[0], self.span(block.body[0])[0]
        if block.body[0].lineno == block.lineno:
            return [Edit(head, start, "")]
        first = _first_line(block.body[0])
        while first - 1 > block.lineno and self._lines[first - 2].lstrip()[:1] in ("#", ""):
            first -= 1  # a comment on what is in the block
        edits = [Edit(self._starts[block.lineno - 1], self._starts[first - 1], "")]
        deep, kept = self._indent(block.body[0]), self._indent(block)
        within = self._within_strings(block)
        for number in range(first, (block.body[-1].end_lineno or 0) + 1):
            if number not in within and self._lines[number - 1].startswith(deep):
                start = self._starts[number - 1]
                edits.append(Edit(start, start + len(deep), kept))
        return edits

    def _within_strings(self, block: ast.AST) -> set[int]:
        """The lines that begin within a string."""
        strings = [node for node in ast.walk(block) if isinstance(node, ast.Constant | ast.JoinedStr)]
        return {line for node in strings for line in range(node.lineno + 1, (node.end_lineno or 0) + 1)}

    def _shares_line(self, statement: ast.stmt) -> bool:
        """Whether something stands before it on its line."""
        first = _first_line(statement)
        if first < statement.lineno:
            return False
        return bool(self.text[self._starts[first - 1] : self.span(statement)[0]].strip())

    def _is_alone(self, statement: ast.stmt) -> bool:
        parent = self.parent(statement)
        blocks = (getattr(parent, name, None) for name in ("body", "orelse", "finalbody"))
        return not isinstance(parent, ast.Module) and [statement] in [
            b for b in blocks if isinstance(b, list)
        ]

    def _indent(self, statement: ast.stmt) -> str:
        line = self._lines[statement.lineno - 1]
        return line[: len(line) - len(line.lstrip())]

    def _indented(self, statement: ast.stmt, text: str) -> str:
        indent = self._indent(statement)
        return "".join(indent + line + self._newline for line in _lines(text, ends=False))

    def set_argument(self, call: ast.Call, name: str, text: str, position: int | None = None) -> Edit:
        """A call with this value for an argument.

        Args:
            call: which.
            name: of the argument; it is added as a keyword if it is not given.
            text: the value as it stands in the program.
            position: of the argument, where it may be given without its name.
        """
        given = argument(call, name, position)
        if given is not None:
            return self.replace(given, text)
        end = self.span(call)[1] - 1
        last = max((self.span(each)[1] for each in [*call.args, *call.keywords]), default=None)
        if last is None:
            return Edit(end, end, f"{name}={text}")
        return Edit(last, last, f", {name}={text}")

    def edited(self, edits: Iterable[Edit]) -> str:
        """The text with edits.

        Raises:
            ValueError: two of them overlap.
        """
        text, at = "", 0
        for edit in sorted(edits, key=lambda edit: (edit.start, edit.end)):
            if edit.start < at:
                raise ValueError(f"two edits overlap at character {edit.start} of {self.file}")
            text, at = text + self.text[at : edit.start] + edit.text, edit.end
        return text + self.text[at:]


def called(call: ast.expr) -> str:
    """The last name of what is called: ``cross_entropy`` of ``F.cross_entropy(x, y)``."""
    function = call.func if isinstance(call, ast.Call) else call
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def argument(call: ast.Call, name: str, position: int | None = None) -> ast.expr | None:
    """The value that a call gives an argument; None if it gives none."""
    for keyword in call.keywords:
        if keyword.arg == name:
            return keyword.value
    if (
        position is not None
        and position < len(call.args)
        and not isinstance(call.args[position], ast.Starred)
    ):
        return call.args[position]
    return None


def number(node: ast.expr | None) -> float | None:
    """The number that is written in an expression; None if it is not a plain one."""
    try:
        value = ast.literal_eval(node) if node is not None else None
    except (ValueError, TypeError, SyntaxError, MemoryError):
        return None
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def diff(old: str, new: str, file: str) -> str:
    """The unified diff of two texts of a file."""
    lines = difflib.unified_diff(_lines(old), _lines(new), f"a/{file}", f"b/{file}")
    return "".join(
        line if line.endswith("\n") else line + "\n\\ No newline at end of file\n" for line in lines
    )


def _lines(text: str, *, ends: bool = True) -> list[str]:
    """The lines of a text, with their ends or without."""
    found = re.findall(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+$", text)
    return found if ends else [line.rstrip("\r\n") for line in found]


def _first_line(statement: ast.stmt) -> int:
    """The line of a statement, or of the first of its decorators."""
    decorators: list[ast.expr] = getattr(statement, "decorator_list", [])
    return min([statement.lineno, *(each.lineno for each in decorators)])


def _head_end(statement: ast.stmt) -> int:
    """The last line of a statement, of a block that of its head."""
    body = getattr(statement, "body", None)
    if isinstance(body, list) and body:
        return max(statement.lineno, int(body[0].lineno) - 1)
    return statement.end_lineno or statement.lineno
