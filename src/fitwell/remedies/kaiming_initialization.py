"""Draw the first weights so that they keep the size of what passes through a ReLU."""

from __future__ import annotations

import ast
from collections.abc import Sequence

from fitwell.experiment import Change
from fitwell.patch import Code, Edit
from fitwell.patching.names import name_of
from fitwell.patching.weights import set_in_place
from fitwell.remedy import About, Remedy


def _live(_: About) -> Sequence[Change]:
    return (Change("initialize", {"scheme": "kaiming"}),)


def _patch(code: Code, about: About) -> Sequence[Edit]:
    """Of what is called a weight, for biases have one axis, in the place of what sets it now."""
    even = about.finding == "symmetric-initialization"
    kaiming = name_of(code, "torch.nn.init.kaiming_normal_")
    norms = any("Norm" in ast.unparse(call.func) for call in code.calls())
    if kaiming is None or norms:
        return ()
    found = [each for each in set_in_place(code) if each.of.endswith(("weight", "weight.data"))]
    return [code.replace(each.call, f"{kaiming}({each.of})") for each in found if each.is_constant is even]


REMEDY = Remedy(
    says="draw the weights by nn.init.kaiming_normal_",
    treats={"symmetric-initialization": 2, "badly-scaled-initialization": 2},
    costs="nothing",
    not_when="the activations are tanh or sigmoid: then xavier_normal_ fits better",
    live=_live,
    patch=_patch,
)
