"""Give a model with one output a sigmoid and binary cross entropy: softmax of one number is always 1."""

from __future__ import annotations

import ast
from collections.abc import Sequence

from fitwell.measures.failures import operands
from fitwell.patch import Code, Edit, called
from fitwell.patching.activations import LOG, SOFTMAX, activations, applied_to, meant
from fitwell.patching.assignments import assigned
from fitwell.patching.expressions import SIMPLE, beside, wrapped
from fitwell.patching.losses import Loss, at_line, exchanged, place
from fitwell.patching.names import name_of
from fitwell.remedy import About, Remedy


def _patch(code: Code, about: About) -> Sequence[Edit]:
    of_classes = at_line(code, about, "cross_entropy", "nll_loss")
    if about.finding == "labels-out-of-range":
        return _binary(code, of_classes, about) if _one_output(about) else ()
    edits = _sigmoid(code, about)
    return edits or _binary(code, of_classes, about)


def _one_output(about: About) -> bool:
    """Whether the loss of classes was given one output a sample, and labels 0 and 1."""
    given = [each for each in operands(about.view) if each.get("shape")]
    wide = [each for each in given if len(each["shape"]) == 2 and each["shape"][1] == 1]
    labels = [each["range"] for each in given if each.get("range")]
    return bool(wide) and bool(labels) and all(low >= 0 and high <= 1 for low, high in labels)


def _sigmoid(code: Code, about: About) -> Sequence[Edit]:
    """A sigmoid in the place of the softmax."""
    applied = meant(code, SOFTMAX, about.line)
    if applied is None:
        return ()
    name = "logsigmoid" if applied.name in LOG else "sigmoid"
    if applied.name[0].isupper():
        known = [each for each in activations(code, (applied.name,)) if each.way != "called"]
        node = (
            applied.node
            if called(applied.node) == applied.name
            else next((each.node for each in known), None)
        )
        module = "LogSigmoid" if applied.name in LOG else "Sigmoid"
        other = beside(code, node, module) if node is not None else None
        return (code.replace(node, f"{other}()"),) if node is not None and other is not None else ()
    inner = applied_to(code, applied)
    way = name_of(code, "torch.nn.functional.logsigmoid" if applied.name in LOG else "torch.sigmoid")
    if inner is None:
        return ()
    if way is None:
        return (wrapped(code, inner, f"{name}()"),) if name == "sigmoid" else ()
    return (code.replace(applied.node, f"{way}({code.segment(inner)})"),)


def _binary(code: Code, found: Sequence[Loss], about: About) -> Sequence[Edit]:
    """Binary cross entropy in the place of cross entropy, of numbers in the shape of the targets."""
    seen = place(about, about.line) or {}
    if seen.get("outputs", 1) != 1:
        return ()
    edits = {each.start: each for each in exchanged(code, found, "binary_cross_entropy_with_logits")}
    for loss in found if edits else ():
        if loss.input is None or loss.target is None:
            return ()
        squeezed = wrapped(code, _made(code, loss.input), "squeeze(-1)")
        text = code.segment(loss.target).removesuffix(".long()").removesuffix(".float()")
        number = code.replace(loss.target, f"{text}.float()" if _is_whole(text) else f"({text}).float()")
        edits |= {squeezed.start: squeezed, number.start: number}
    return tuple(edits.values())


def _made(code: Code, prediction: ast.expr) -> ast.expr:
    """Where a function gets a prediction, so that all that it is compared with has the same shape."""
    function = code.function(prediction)
    found = [
        value for target, value in assigned(code, called(prediction))
        if isinstance(prediction, ast.Name) and isinstance(target, ast.Name) and code.function(target) is function
        and isinstance(code.parent(value), ast.Assign) and code.parent(target) is code.parent(value)
        and code.span(target) < code.span(prediction)
    ]  # fmt: skip
    return found[-1] if found else prediction


def _is_whole(text: str) -> bool:
    """Whether a method binds to all of it."""
    return isinstance(ast.parse(text.strip(), mode="eval").body, SIMPLE)


REMEDY = Remedy(
    says="for two classes with one output: sigmoid and binary cross entropy",
    treats={"single-unit-softmax": 1, "labels-out-of-range": 3},
    costs="an output above 0 (of a sigmoid above 0.5) means yes; the largest of one output says nothing",
    not_when="there are more classes: then the last layer needs an output for each",
    patch=_patch,
)
