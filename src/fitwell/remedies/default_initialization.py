"""Leave the first weights to torch, which draws them to fit their layers."""

from __future__ import annotations

import ast
from collections.abc import Sequence

from fitwell.experiment import Change
from fitwell.patch import Code, Edit, called
from fitwell.patching.statements import removed
from fitwell.patching.weights import Initial, redrawn, set_in_place, tensors
from fitwell.remedy import About, Remedy


def _live(_: About) -> Sequence[Change]:
    return (Change("initialize", {"scheme": "xavier"}),)


def _patch(code: Code, about: About) -> Sequence[Edit]:
    found = _meant(code, set_in_place(code), about)
    if found:
        statements = [code.statement(each.call) for each in found]
        return removed(code, [each for each in statements if each is not None])
    return _drawn(code, about)


def _meant(code: Code, found: list[Initial], about: About) -> list[Initial]:
    """What sets weights to one value, or to badly scaled ones, in the function of the line."""
    even = about.finding == "symmetric-initialization"
    found = [each for each in found if not each.is_bias and each.is_constant is even]
    here = code.statement(about.line) if about.line is not None else None
    if here is None:
        return found
    beside = [each for each in found if code.function(each.call) is code.function(here)]
    calls = {called(each) for each in ast.walk(here) if isinstance(each, ast.Call | ast.Name | ast.Attribute)}
    inside = [each for each in found if getattr(code.function(each.call), "name", "") in calls]
    return beside or inside or found


def _drawn(code: Code, about: About) -> list[Edit]:
    even = about.finding == "symmetric-initialization"
    edits = [redrawn(code, each) for each in tensors(code) if each.is_constant is even]
    return [edit for edit in edits if edit is not None]


REMEDY = Remedy(
    says="leave out the initialization of your own: torch's random one fits its layers",
    treats={"symmetric-initialization": 1, "badly-scaled-initialization": 1},
    costs="nothing",
    not_when="the weights are meant to be these, such as those of a fixed filter",
    live=_live,
    patch=_patch,
)
