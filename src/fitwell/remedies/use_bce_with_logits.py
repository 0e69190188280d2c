"""Minimize the binary cross entropy of logits: of what the last layer computes."""

from __future__ import annotations

from collections.abc import Sequence

from fitwell.patch import Code, Edit
from fitwell.patching.activations import RANGES, meant, without
from fitwell.patching.losses import CUTS, at_line, exchanged, made_by, thresholds
from fitwell.remedy import About, Remedy


def _patch(code: Code, about: About) -> Sequence[Edit]:
    """What cuts the outputs off in front of the loss goes, too."""
    found = at_line(code, about, "binary_cross_entropy")
    edits = list(exchanged(code, found, "binary_cross_entropy_with_logits"))
    cut = made_by(about)[:1]
    if edits and cut and cut[0] in CUTS:
        applied = meant(code, RANGES, about.line)
        edit = without(code, applied) if applied is not None else None
        if edit is None:
            return ()
        edits.append(edit)
    return [*edits, *thresholds(code, found, "0.5", "0")] if edits else ()


REMEDY = Remedy(
    says="minimize binary_cross_entropy_with_logits of the last layer's output",
    treats={"bce-input-not-probability": 1},
    costs="an output above 0 means yes; a sigmoid gives the probability where it is shown",
    not_when="the model's outputs are used as probabilities elsewhere: then end it with a sigmoid",
    patch=_patch,
)
