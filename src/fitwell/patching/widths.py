"""How wide the hidden layers of a model are, as a program writes it."""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence

from fitwell.patch import Code, Edit, argument, called, number
from fitwell.patching.layers import NORMS, SIZES, widths
from fitwell.patching.values import once, scaled_count, value, written

NOT_WIDTHS = re.compile(
    r"class|label|vocab|input|target|data|noise|action|^in_|^n_in|^out_?|n_out|feature|length|seq|block|kernel|head|layer",
    re.IGNORECASE,
)
BETWEEN = re.compile(
    r"code|latent|hidden|width|bottleneck|embed", re.IGNORECASE
)  # of an encoder and a decoder


def scaled_widths(code: Code, factor: float) -> list[Edit]:
    """Hidden layers that are wider or narrower, inputs and outputs as they were; empty if that is not clear."""
    return once([*_by_name(code, factor), *_by_number(code, factor)])


def _groups(code: Code, *, sequences_apart: bool) -> list[list[ast.Call]]:
    """The layers of a model in the order of the text: of the ``__init__`` of a class, else of a sequence or a function.

    Args:
        code: the program.
        sequences_apart: take those of each sequence by themselves in a class, too.
    """
    found: dict[int, list[ast.Call]] = {}
    for call in code.calls(*SIZES, *NORMS):
        within: ast.AST = code.function(call)
        if sequences_apart or getattr(within, "name", "") != "__init__":
            outer = [
                each
                for each in code.around(call)
                if isinstance(each, ast.Call) and called(each) == "Sequential"
            ]
            within = outer[-1] if outer else within
        if called(call) in NORMS or widths(call):
            found.setdefault(id(within), []).append(call)
    return list(found.values())


def _by_name(code: Code, factor: float) -> list[Edit]:
    """Variables that are widths between layers of a model, and neither what it takes nor what it gives."""
    inner: dict[str, ast.expr] = {}
    outside: set[str] = set()
    ends: list[tuple[ast.expr, ast.expr]] = []
    for group in _groups(code, sequences_apart=False):
        affine = [pair for call in group if (pair := widths(call))]
        if not affine:
            continue
        first, last = affine[0][0], affine[-1][1]
        at_end = {code.segment(node) for end in (first, last) for node in _names(end)}
        if getattr(code.function(group[0]), "name", "") == "__init__":
            ends.append((first, last))
        else:
            outside |= at_end
        for node in (node for pair in affine for width in pair for node in _names(width)):
            text = code.segment(node)
            if text not in at_end and not NOT_WIDTHS.search(text.rpartition(".")[2]):
                inner.setdefault(text, node)
    found = [*(node for text, node in inner.items() if text not in outside), *_between(code, ends)]
    places = [written(code, node) for node in found]
    edits = [scaled_count(code, place, factor) for place in places if place is not None]
    return [edit for edit in edits if edit is not None]


def _between(code: Code, ends: Sequence[tuple[ast.expr, ast.expr]]) -> list[ast.expr]:
    """What one model gives and another takes, under the same name and with the same number: a code, for example."""
    found: list[ast.expr] = []
    for _, given in ends:
        for taken, _ in ends:
            name = code.segment(given)
            same = name == code.segment(taken) and BETWEEN.search(name)
            number_of = value(code, given)
            if same and number_of is not None and number_of == value(code, taken):
                found += [given, taken]
    return found


def _names(width: ast.expr) -> list[ast.expr]:
    """The variables, attributes and entries that a width is computed from; none of those that make up others."""
    if isinstance(width, ast.Name | ast.Attribute | ast.Subscript):
        return [width]
    if isinstance(width, ast.BinOp) and isinstance(width.op, ast.Mult | ast.FloorDiv):
        return [*_names(width.left), *_names(width.right)]
    return []


def _by_number(code: Code, factor: float) -> list[Edit]:
    """Numbers that stand between the layers of a chain: what one gives is what the next one takes."""
    edits: list[Edit] = []
    for group in _groups(code, sequences_apart=True):
        edits += _chain(code, group, factor)
    return edits


def _chain(code: Code, group: Sequence[ast.Call], factor: float) -> list[Edit]:
    edits: list[Edit | None] = []
    given: ast.expr | None = None
    between: list[ast.expr] = []
    for call in group:
        pair = widths(call)
        if pair is None:
            norm = argument(call, NORMS[called(call)], 0)
            between += [norm] if norm is not None else []
            continue
        if given is not None:
            nodes = [given, *between, pair[0]]
            if len({number(node) for node in nodes}) != 1 or number(given) is None:
                return []
            edits += [scaled_count(code, node, factor) for node in nodes]
        given, between = pair[1], []
    return [edit for edit in edits if edit is not None] if not between else []
