"""Number the classes 0, 1, 2, ..."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence

from fitwell.measures.failures import operands
from fitwell.patch import Code, Edit, number
from fitwell.patching.assignments import assigned
from fitwell.patching.expressions import instead
from fitwell.patching.losses import losses
from fitwell.patching.statements import is_on
from fitwell.remedy import About, Remedy


def _patch(code: Code, about: About) -> Sequence[Edit]:
    """Without the step that shifted the labels, if there is one; else they are shifted where a loop gets them."""
    lowest = _lowest(code, about)
    if not lowest:
        return ()
    shifts = list(_shifts(code, lowest))
    if len(shifts) == 1:
        return _unshifted(code, shifts[0])
    edits = {(edit.start, edit.end): edit for edit in _shifted(code, about, lowest)}
    return tuple(edits.values())


def _lowest(code: Code, about: About) -> int:
    """The lowest label, unless the batch does not begin at 0 by chance: then the others must exceed the outputs."""
    here = [each for each in losses(code, "cross_entropy", "nll_loss") if is_on(each.call, about.line)]
    names = {"target", *(ast.unparse(each.target) for each in here if each.target is not None)}
    seen = [each["range"] for each in operands(about.view) if each.get("range") and each["name"] in names]
    shapes = [each["shape"] for each in operands(about.view) if len(each.get("shape") or []) == 2]
    if not seen or not shapes:
        return 0
    low, high = seen[0]
    shifted = low < 0 or (low > 0 and high == shapes[0][1])
    return int(low) if shifted else 0


def _shifts(code: Code, lowest: int) -> Iterator[ast.BinOp]:
    """The sums that shift whole names by as much: ``y - 1``."""
    for node in ast.walk(code.tree):
        statement = code.parent(node)
        if not isinstance(node, ast.BinOp) or not isinstance(node.op, ast.Add | ast.Sub):
            continue
        value = number(node.right)
        sign = 1 if isinstance(node.op, ast.Add) else -1
        whole = isinstance(node.left, ast.Name | ast.Attribute | ast.Call | ast.Subscript)
        if (
            isinstance(statement, ast.Assign | ast.Return)
            and value is not None
            and sign * value == lowest
            and whole
        ):
            yield node


def _unshifted(code: Code, shift: ast.BinOp) -> Sequence[Edit]:
    statement = code.parent(shift)
    if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == ast.unparse(shift.left):
        return (code.remove(statement),)
    return (instead(code, shift, shift.left),)


def _shifted(code: Code, about: About, lowest: int) -> Iterator[Edit]:
    """Each function that computes the loss shifts its labels once, where it gets them."""
    here = {each.function for each in losses(code) if is_on(each.call, about.line)}
    sign = f"- {lowest}" if lowest > 0 else f"+ {-lowest}"
    for loss in losses(code, *here) if here else ():
        target = loss.target
        if isinstance(target, ast.Name):
            statement = _bound(code, target)
            text = f"{target.id} = {target.id} {sign}"
            if isinstance(statement, ast.For):
                yield code.before(statement.body[0], text)
            elif statement is not None:
                yield code.after(statement, text)
                continue
            else:
                yield code.replace(target, f"{target.id} {sign}")
        elif target is not None:
            yield code.replace(target, f"({code.segment(target)}) {sign}")


def _bound(code: Code, name: ast.Name) -> ast.stmt | None:
    """The loop or the assignment by which a function gets a name."""
    for loop in code.loops(name):
        if isinstance(loop, ast.For) and any(
            isinstance(n, ast.Name) and n.id == name.id for n in ast.walk(loop.target)
        ):
            return loop
    function = code.function(name)
    found = [
        code.statement(target) for target, _ in assigned(code, name.id) if code.function(target) is function
    ]
    return found[0] if len(found) == 1 else None


REMEDY = Remedy(
    says="number the classes from 0",
    treats={"labels-out-of-range": 1},
    costs="the numbers that the model gives are shifted, too",
    not_when="a label such as -100 marks what is to be left out: name it by ignore_index",
    patch=_patch,
)
