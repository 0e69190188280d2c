"""Draw the training samples in another order in each epoch."""

from __future__ import annotations

import ast
from collections.abc import Sequence

from fitwell.experiment import Change
from fitwell.patch import Code, Edit, argument
from fitwell.patching.loaders import training_loader
from fitwell.remedy import About, Remedy

ORDERED = ("sampler", "batch_sampler")


def _live(_: About) -> Sequence[Change]:
    return (Change("shuffle"),)


def _patch(code: Code, about: About) -> Sequence[Edit]:
    """Of the loader; or of a function of the program's own that is told not to, in the finding's line."""
    loader = training_loader(code, about)
    if loader is not None:
        given = argument(loader, "shuffle", 2)
        ordered = any(argument(loader, name) is not None for name in ORDERED)
        unclear = any(keyword.arg is None for keyword in loader.keywords)
        return (
            ()
            if ordered or unclear or _is(given, True)
            else (code.set_argument(loader, "shuffle", "True", 2),)
        )
    told = [each for call in code.calls(line=about.line) for each in call.keywords] if about.line else []
    off = [each.value for each in told if each.arg == "shuffle" and _is(each.value, False)]
    return (code.replace(off[0], "True"),) if len(off) == 1 else ()


def _is(node: ast.expr | None, truth: bool) -> bool:
    return isinstance(node, ast.Constant) and node.value is truth


REMEDY = Remedy(
    says="shuffle the training samples, anew in each epoch",
    treats={"data-not-shuffled": 1},
    costs="nothing, if samples can be read in any order",
    not_when="the order carries meaning from batch to batch, as in a stream or one long sequence",
    live=_live,
    patch=_patch,
)
