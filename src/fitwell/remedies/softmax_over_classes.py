"""Let softmax run over the classes, not over samples or positions."""

from __future__ import annotations

from collections.abc import Sequence

from fitwell.patch import Code, Edit, called, number
from fitwell.patching.activations import SOFTMAX, activations, meant
from fitwell.patching.names import is_function
from fitwell.remedy import About, Remedy


def _patch(code: Code, about: About) -> Sequence[Edit]:
    applied = meant(code, SOFTMAX, about.line)
    if applied is None:
        return ()
    if called(applied.node) != applied.name:  # a module that is made elsewhere
        made = [each for each in activations(code, (applied.name,)) if each.way == "assigned"]
        if len(made) != 1:
            return ()
        applied = made[0]
    axis = _axis(about)
    position = 0 if applied.name[0].isupper() or not is_function(code, applied.node) else 1
    given = [word.value for word in applied.node.keywords if word.arg in ("dim", "axis")]
    given += applied.node.args[position : position + 1]
    if given and number(given[0]) == axis:
        return ()
    if given:
        return (code.replace(given[0], str(axis)),)
    return (code.set_argument(applied.node, "dim", str(axis)),)


def _axis(about: About) -> int:
    """The last one, unless the loss was given pictures or sequences with their classes in axis 1."""
    seen = about.view.fact("signals", "loss_inputs", "places") or []
    shapes = [each["input_shape"] for each in seen if each.get("class_axis") == 1 and each.get("input_shape")]
    return 1 if any(len(shape) > 2 for shape in shapes) else -1


REMEDY = Remedy(
    says="let softmax run over the classes",
    treats={"softmax-wrong-dimension": 1, "samples-mixed": 3},
    costs="nothing",
    not_when="the sum over the other axis is meant to be 1, as in attention over samples",
    patch=_patch,
)
