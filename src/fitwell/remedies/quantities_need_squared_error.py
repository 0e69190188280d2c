"""Minimize the squared error where the targets are quantities, not classes."""

from __future__ import annotations

from collections.abc import Sequence

from fitwell.patch import Code, Edit
from fitwell.patching.expressions import wrapped
from fitwell.patching.losses import at_line, exchanged, place
from fitwell.remedy import About, Remedy

OF_CLASSES = ("cross_entropy", "nll_loss", "binary_cross_entropy", "binary_cross_entropy_with_logits")


def _patch(code: Code, about: About) -> Sequence[Edit]:
    """Only where it was seen that as many numbers are asked for as the model gives."""
    seen = place(about, about.line)
    if seen is None or seen.get("function") not in OF_CLASSES or seen.get("target_whole") is not False:
        return ()
    outputs, targets = list(seen["input_shape"]), list(seen["target_shape"])
    if _size(outputs) != _size(targets) or seen.get("target_repeated"):
        return ()
    found = at_line(code, about, seen["function"])
    edits = list(exchanged(code, found, "mse_loss"))
    for loss in found if edits and outputs != targets else ():
        if loss.input is None or loss.target is None:
            return ()
        edits.append(wrapped(code, loss.input, f"view_as({code.segment(loss.target)})"))
    return edits


def _size(shape: Sequence[int]) -> list[int]:
    return [size for size in shape if size != 1]


REMEDY = Remedy(
    says="for quantities: minimize mse_loss of outputs without an activation",
    treats={"loss-does-not-match-target": 2},
    costs="nothing",
    not_when="the targets are probabilities of classes",
    patch=_patch,
)
