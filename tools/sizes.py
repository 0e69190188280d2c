"""Refuse files, classes and functions that have grown too long to be read at once.

    python tools/sizes.py src tests

Lines of docstrings don't count: explaining is free. Blank lines and comments count.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

LIMITS = {"file": 400, "class": 200, "function": 40}

Documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def docstring_lines(tree: ast.AST) -> int:
    """Lines of all docstrings within a node."""
    total = 0
    for node in ast.walk(tree):
        if isinstance(node, Documented) and ast.get_docstring(node, clean=False) is not None:
            docstring = node.body[0]
            total += (docstring.end_lineno or docstring.lineno) - docstring.lineno + 1
    return total


def sizes(source: str) -> Iterator[tuple[str, str, int, int]]:
    """Each part of a source text as (kind, name, first line, lines without docstrings)."""
    tree = ast.parse(source)
    yield "file", "", 1, len(source.splitlines()) - docstring_lines(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            kind = "class" if isinstance(node, ast.ClassDef) else "function"
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            yield kind, f" {node.name}", node.lineno, lines - docstring_lines(node)


def too_long(folders: list[str]) -> Iterator[str]:
    """A line of text for each part that is over its limit."""
    for folder in folders:
        for path in sorted(Path(folder).rglob("*.py")):
            for kind, name, line, lines in sizes(path.read_text(encoding="utf-8")):
                if lines > LIMITS[kind]:
                    yield f"{path}:{line}: {kind}{name} has {lines} lines, the limit is {LIMITS[kind]}"


def main() -> int:
    """List what is too long; 1 if anything is."""
    folders = sys.argv[1:] or ["src"]
    missing = [folder for folder in folders if not Path(folder).is_dir()]
    if missing:
        sys.stderr.write(f"no such folder: {', '.join(missing)}\n")
        return 2
    faults = list(too_long(folders))
    sys.stdout.write("".join(f"{fault}\n" for fault in faults))
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
