"""Make probabilities of the outputs that binary cross entropy is given."""

from __future__ import annotations

from collections.abc import Sequence

from fitwell.patch import Code, Edit
from fitwell.patching.activations import RANGES, applied_to, meant
from fitwell.patching.expressions import beside, wrapped
from fitwell.patching.losses import CUTS, at_line, made_by, thresholds
from fitwell.patching.names import name_of
from fitwell.remedy import About, Remedy


def _patch(code: Code, about: About) -> Sequence[Edit]:
    """In the place of what cuts the outputs off, if there is such; else in the call of the loss."""
    found = at_line(code, about, "binary_cross_entropy")
    if made_by(about)[:1] and made_by(about)[0] in CUTS:
        edits = _instead(code, about)
        return [*edits, *thresholds(code, found, "0", "0.5")] if edits else ()
    return [wrapped(code, loss.input, "sigmoid()") for loss in found if loss.input is not None]


def _instead(code: Code, about: About) -> Sequence[Edit]:
    applied = meant(code, RANGES, about.line)
    if applied is None:
        return ()
    if applied.way != "called":
        module = beside(code, applied.node, "Sigmoid")
        return (code.replace(applied.node, f"{module}()"),) if module is not None else ()
    inner, sigmoid = applied_to(code, applied), name_of(code, "torch.sigmoid")
    if inner is None or sigmoid is None:
        return ()
    return (code.replace(applied.node, f"{sigmoid}({code.segment(inner)})"),)


REMEDY = Remedy(
    says="put a sigmoid in front of binary_cross_entropy",
    treats={"bce-input-not-probability": 2},
    costs="less exact than the loss of logits where a probability is near 0 or 1",
    not_when="the outputs are logits on purpose: then minimize binary_cross_entropy_with_logits",
    patch=_patch,
)
