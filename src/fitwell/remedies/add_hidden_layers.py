"""Put hidden layers into a model that has one layer alone: what is not linear can't be learned without."""

from __future__ import annotations

import ast
from collections.abc import Sequence

from fitwell.patch import Code, Edit, called
from fitwell.patching.layers import SIZES, before, widths
from fitwell.remedy import About, Remedy


def _patch(code: Code, about: About) -> Sequence[Edit]:
    layers = code.calls(*SIZES, "Parameter")
    ends = widths(layers[0]) if len(layers) == 1 and called(layers[0]) == "Linear" else None
    if ends is None or len(layers[0].args) + len(layers[0].keywords) > len(ends):
        return ()
    (layer,), (taken, _), width = layers, ends, about.dose["width"]
    module = code.segment(layer.func).removesuffix("Linear")
    if not module:  # what else is imported is not known
        return ()
    relu = f"{module}ReLU()"
    first = [
        f"{module}Linear({code.segment(taken)}, {width})",
        relu,
        f"{module}Linear({width}, {width})",
        relu,
    ]
    parent = code.parent(layer)
    if isinstance(parent, ast.Call) and called(parent) == "Sequential":
        return (*(before(code, layer, text) for text in first), code.replace(taken, str(width)))
    start, end = code.span(layer)
    last = code.edited([code.replace(taken, str(width))])[start:]
    last = last[: len(last) - (len(code.text) - end)]
    return (code.replace(layer, f"{module}Sequential({', '.join([*first, last])})"),)


REMEDY = Remedy(
    says="add two hidden layers of {width:g} units to the model, which has none",
    treats={"model-too-small": 2, "underfitting": 2},
    costs="time and memory, and the model may learn more by heart",
    not_when="the weights of a linear model are to be read, or samples are few",
    doses=({"width": 64}, {"width": 256}),
    patch=_patch,
)
