"""Losses in a program's text: functions and objects of ``torch.nn``, and what they were seen to get."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fitwell.evidence import View
from fitwell.patch import Code, Edit, argument, called, number
from fitwell.patching.assignments import assigned
from fitwell.patching.expressions import renamed
from fitwell.patching.names import name_of
from fitwell.patching.statements import is_on, line_of
from fitwell.remedy import About

CLASSES = {
    "cross_entropy": "CrossEntropyLoss",
    "nll_loss": "NLLLoss",
    "binary_cross_entropy": "BCELoss",
    "binary_cross_entropy_with_logits": "BCEWithLogitsLoss",
    "mse_loss": "MSELoss",
    "l1_loss": "L1Loss",
    "smooth_l1_loss": "SmoothL1Loss",
    "huber_loss": "HuberLoss",
    "kl_div": "KLDivLoss",
}
WEIGHTABLE = ("cross_entropy", "binary_cross_entropy_with_logits")  # that take weights of classes
REGRESSION = ("mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss")
CUTS = ("Relu", "LeakyRelu", "Elu", "Clamp", "ClampMin", "Hardtanh", "Abs", "Softplus", "Tanh", "Hardsigmoid")


@dataclass(frozen=True)
class Loss:
    """A call of a loss.

    Args:
        function: its name in ``torch.nn.functional``.
        call: with the prediction and the target.
        made: where the object was made that is called; None for a function.
    """

    function: str
    call: ast.Call
    made: ast.Call | None = None

    @property
    def input(self) -> ast.expr | None:
        """The prediction."""
        return argument(self.call, "input", 0)

    @property
    def target(self) -> ast.expr | None:
        """What it should be."""
        return argument(self.call, "target", 1)


def losses(code: Code, *functions: str) -> list[Loss]:
    """The calls of some losses; of all if none is named."""
    return [each for each in _all(code) if not functions or each.function in functions]


def _all(code: Code) -> Iterator[Loss]:
    kinds = {name: function for function, name in CLASSES.items()}
    for call in code.calls():
        name = called(call)
        if name in CLASSES:
            yield Loss(name, call)
        elif isinstance(call.func, ast.Call) and called(call.func) in kinds:
            yield Loss(kinds[called(call.func)], call, call.func)
        elif name and len(call.args) >= 2:
            for _, value in assigned(code, name):
                if isinstance(value, ast.Call) and called(value) in kinds:
                    yield Loss(kinds[called(value)], call, value)
                    break
                if isinstance(value, ast.Attribute | ast.Name) and called(value) in CLASSES:
                    yield Loss(called(value), call)
                    break


def at_line(code: Code, about: About, *functions: str) -> list[Loss]:
    """The losses that a finding at a line is about: those in the line, and the others like them.

    Another call of the same function is like it unless it was seen to get something else.
    """
    found = losses(code, *functions)
    here = [each for each in found if is_on(each.call, about.line)]
    if not here:
        kinds = {each.function for each in found}
        return found if len(kinds) == 1 else []
    like = {each.function for each in here}
    seen = place(about, about.line)
    return [each for each in found if each in here or (each.function in like and _same(about, each, seen))]


def _same(about: About, loss: Loss, seen: Mapping[str, Any] | None) -> bool:
    other = place(about, loss.call.lineno)
    made = (other or {}).get("made_by")  # without gradients nothing is known
    return seen is None or not made or made == seen.get("made_by")


def exchanged(code: Code, found: Sequence[Loss], function: str) -> Sequence[Edit]:
    """Another loss in the place of some, in functions and in classes; empty if one is out of reach."""
    edits: dict[tuple[int, int], Edit] = {}
    for loss in found:
        edit: Edit | None
        if loss.made is not None:
            edit = renamed(code, loss.made, "torch.nn", CLASSES[function])
        elif called(loss.call) == loss.function:
            edit = renamed(code, loss.call, "torch.nn.functional", function)
        else:  # by a name of the program's own
            text = name_of(code, f"torch.nn.functional.{function}")
            edit = None if text is None else code.replace(loss.call.func, text)
        if edit is None:
            return ()
        edits[edit.start, edit.end] = edit
    return tuple(edits.values())


def thresholds(code: Code, found: Sequence[Loss], old: str, new: str) -> list[Edit]:
    """Where the predictions that losses are given are told apart: ``output > 0.5``, for logits ``output > 0``."""
    names = {ast.unparse(each.input) for each in found if each.input is not None}
    edits = []
    for node in ast.walk(code.tree):
        if isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.Gt | ast.GtE):
            limit = node.comparators[0]
            if ast.unparse(node.left) in names and number(limit) == float(old):
                edits.append(code.replace(limit, new))
        elif isinstance(node, ast.Call) and called(node) == "round" and old == "0.5":
            rounded = node.func.value if isinstance(node.func, ast.Attribute) and not node.args else None
            if rounded is not None and ast.unparse(rounded) in names:
                edits.append(code.replace(node, f"({code.segment(rounded)} > {new}).float()"))
    return edits


def place(about: About, line: int | None) -> Mapping[str, Any] | None:
    """What the loss in a line was given, if that was seen."""
    seen = about.view.fact("signals", "loss_inputs", "places") or []
    here = [each for each in seen if (each.get("where") or {}).get("line") == line]
    return next((each for each in here if each.get("part") == "train"), next(iter(here), None))


def made_by(about: About) -> list[str]:
    """What made the prediction that the loss was given, the last operation first: of the line, or of the only place."""
    seen = about.view.fact("signals", "loss_inputs", "places") or []
    found = place(about, about.line) or (
        seen[0] if len({str(each.get("where")) for each in seen}) == 1 else None
    )
    return list((found or {}).get("made_by") or [])


def training_place(view: View) -> Mapping[str, Any] | None:
    """The facts of the labels that the training loss gets, if all are given to one place."""
    places = view.fact("signals", "labels", "places") or []
    found = [each for each in places if each.get("part") == "train"]
    return found[0] if len(found) == 1 else None


def counts(view: View) -> list[int]:
    """How many training labels of each class were seen; empty if that is not known of all classes."""
    seen = [int(count) for count in (training_place(view) or {}).get("counts") or []]
    return seen if len(seen) > 1 and all(seen) else []


def training_loss(code: Code, about: About) -> ast.Call | None:
    """What may be given weights of classes: the loss in the line of the training, or the only one that is made."""
    seen = training_place(about.view) or {}
    function, line = seen.get("function"), line_of(code, seen.get("where"))
    if function not in WEIGHTABLE or line is None:
        return None
    called_here = [call for call in code.calls(function) if is_on(call, line)]
    found = called_here or ([] if code.calls(function) else code.calls(CLASSES[function]))
    return found[0] if len(found) == 1 else None
