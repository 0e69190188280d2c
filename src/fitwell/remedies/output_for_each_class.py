"""Give the last layer an output for each class, and an embedding a row for each token."""

from __future__ import annotations

import ast
from collections.abc import Sequence

from fitwell.measures.failures import message, operands
from fitwell.patch import Code, Edit, argument
from fitwell.patching.layers import last_with, layer, outputs
from fitwell.patching.losses import losses
from fitwell.patching.statements import is_on
from fitwell.patching.values import written
from fitwell.remedy import About, Remedy


def _patch(code: Code, about: About) -> Sequence[Edit]:
    if "index out of range in self" in message(about.view):
        return _rows(code, about)
    here = [each for each in losses(code, "cross_entropy", "nll_loss") if is_on(each.call, about.line)]
    names = {"target", *(ast.unparse(each.target) for each in here if each.target is not None)}
    seen = [each["range"] for each in operands(about.view) if each.get("range") and each["name"] in names]
    shapes = [
        each["shape"]
        for each in operands(about.view)
        if len(each.get("shape") or []) >= 2 and not each.get("range")
    ]
    if not seen or not shapes or seen[0][0] < 0 or seen[0][1] < shapes[0][1] or shapes[0][1] < 2:
        return ()
    return _resized(code, last_with(code, shapes[0][1]), int(seen[0][1]) + 1)


def _resized(code: Code, call: ast.Call | None, size: int) -> Sequence[Edit]:
    place = written(code, outputs(call)) if call is not None else None
    return (code.replace(place, str(size)),) if place is not None else ()


def _rows(code: Code, about: About) -> Sequence[Edit]:
    names = [str(each["name"]) for each in operands(about.view) if each.get("class") == "Embedding"]
    seen = [each["range"] for each in operands(about.view) if each.get("range")]
    call = layer(code, names[-1]) if names else None
    place = written(code, argument(call, "num_embeddings", 0)) if call is not None else None
    if place is None or not seen or seen[0][0] < 0:
        return ()
    return (code.replace(place, str(int(seen[0][1]) + 1)),)


REMEDY = Remedy(
    says="give the last layer an output for each class",
    treats={"labels-out-of-range": 2},
    costs="nothing",
    not_when="the labels do not begin with 0, or hold a mark for what is to be left out",
    patch=_patch,
)
