"""Keep the probabilities, and minimize a loss that takes them."""

from __future__ import annotations

from collections.abc import Sequence

from fitwell.patch import Code, Edit
from fitwell.patching.losses import at_line, exchanged, losses
from fitwell.remedy import About, Remedy


def _patch(code: Code, about: About) -> Sequence[Edit]:
    """The finding lies where the sigmoid is: all losses with logits, unless some are known to get none."""
    found = losses(code, "binary_cross_entropy_with_logits")
    if about.line is not None and any(each.call.lineno == about.line for each in found):
        found = at_line(code, about, "binary_cross_entropy_with_logits")
    edits = exchanged(code, found, "binary_cross_entropy")
    weighted = any(word.arg == "pos_weight" for each in found for word in (each.made or each.call).keywords)
    return () if weighted else edits


REMEDY = Remedy(
    says="keep the sigmoid and minimize binary_cross_entropy, which takes probabilities",
    treats={"sigmoid-before-bce-with-logits": 2},
    costs="the logarithm of a probability is less exact than of a logit where it is near 0",
    not_when="mixed precision is used: binary_cross_entropy needs float32",
    patch=_patch,
)
