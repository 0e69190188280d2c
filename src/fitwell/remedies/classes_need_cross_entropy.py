"""Minimize cross entropy, with the numbers of the classes as targets."""

from __future__ import annotations

import ast
from collections.abc import Sequence

from fitwell.patch import Code, Edit, called
from fitwell.patching.expressions import operand, renamed
from fitwell.patching.losses import REGRESSION, Loss, losses, place
from fitwell.patching.names import is_function
from fitwell.patching.statements import is_on
from fitwell.remedy import About, Remedy

SPREAD = ("float", "double", "to", "type", "expand", "expand_as", "unsqueeze", "view", "view_as", "reshape", "repeat",
          "long", "div", "half")  # fmt: skip
REDUCED = ("mean", "sum", "max", "amax", "squeeze", "softmax", "log_softmax", "sigmoid", "float")


def _patch(code: Code, about: About) -> Sequence[Edit]:
    """Only what is done to the labels, and to one output a class, for the sake of the other loss is taken back."""
    here = [each for each in losses(code) if is_on(each.call, about.line)]
    fit = [
        each
        for each in here
        if each.function in (*REGRESSION, "cross_entropy") and _labels(code, each, about)
    ]
    edits: list[Edit] = []
    for loss in fit[:1]:
        prediction, target = loss.input, loss.target
        if prediction is None or target is None:
            return ()
        outputs, labels = _bare(code, prediction, REDUCED), _bare(code, target, SPREAD)
        text = code.segment(labels)
        edits.append(code.replace(prediction, code.segment(outputs)))
        edits.append(
            code.replace(
                target,
                f"{text}.long()"
                if isinstance(labels, ast.Name | ast.Subscript | ast.Attribute)
                else f"({text}).long()",
            )
        )
        if loss.function == "cross_entropy":
            continue
        renaming = _renamed(code, loss)
        if renaming is None:
            return ()
        edits += [renaming, *_counted(code, prediction, outputs)]
    return edits


def _counted(code: Code, prediction: ast.expr, outputs: ast.expr) -> list[Edit]:
    """The class that was named by a rounded number is named by the largest output."""
    way = code.segment(prediction).removeprefix(code.segment(outputs))
    edits = []
    for call in code.calls("round"):
        inner = operand(code, call)
        text = code.segment(inner) if inner is not None else ""
        if way and prediction is not outputs and text.endswith(way):
            edits.append(code.replace(call, f"{text.removesuffix(way)}.argmax(1)"))
    return edits


def _renamed(code: Code, loss: Loss) -> Edit | None:
    """A loss object is exchanged where it is made only if nothing else is measured by it."""
    if loss.made is None:
        return renamed(code, loss.call, "torch.nn.functional", "cross_entropy")
    alone = [each for each in losses(code) if each.made is loss.made and each.call is not loss.call]
    if loss.made is loss.call.func or not alone:
        return renamed(code, loss.made, "torch.nn", "CrossEntropyLoss")
    return None


def _labels(code: Code, loss: Loss, about: About) -> bool:
    """Whether a place that names classes by whole numbers, with several outputs, is given to it."""
    if loss.target is None or loss.input is None:
        return False
    seen = place(about, loss.call.lineno)
    if seen is None:
        return loss.function != "cross_entropy" and _bare(code, loss.input, REDUCED) is not loss.input
    if loss.function == "cross_entropy":
        return _bare(code, loss.target, SPREAD) is not loss.target and bool(seen.get("target_repeated"))
    several = bool(seen.get("target_repeated")) or _bare(code, loss.input, REDUCED) is not loss.input
    return several and bool(seen.get("target_whole"))


def _bare(code: Code, node: ast.expr, methods: Sequence[str]) -> ast.expr:
    """Without these methods, new axes, and divisions by a number around it."""
    while True:
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and called(node) in methods:
            node = node.args[0] if is_function(code, node) and node.args else node.func.value
        elif isinstance(node, ast.Call) and called(node) == "one_hot" and node.args:
            node = node.args[0]
        elif isinstance(node, ast.Subscript) and "None" in ast.unparse(node.slice):
            node = node.value
        elif (
            isinstance(node, ast.BinOp)
            and isinstance(node.op, ast.Div)
            and isinstance(node.right, ast.Constant)
        ):
            node = node.left
        else:
            return node


REMEDY = Remedy(
    says="for classes: minimize cross_entropy of one output a class, with the class numbers as targets",
    treats={"loss-does-not-match-target": 1},
    costs="nothing",
    not_when="the classes are ordered, and being off by one is better than by two",
    patch=_patch,
)
