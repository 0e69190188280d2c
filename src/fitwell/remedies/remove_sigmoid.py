"""Give a loss that applies the sigmoid itself the outputs of the last layer, without a sigmoid."""

from __future__ import annotations

from collections.abc import Sequence

from fitwell.experiment import Change
from fitwell.patch import Code, Edit
from fitwell.patching.activations import SIGMOID, SOFTMAX, meant, without
from fitwell.patching.losses import losses, thresholds
from fitwell.remedy import About, Remedy


def _live(_: About) -> Sequence[Change]:
    return (Change("undo_sigmoid"),)


def _patch(code: Code, about: About) -> Sequence[Edit]:
    applied = meant(code, SIGMOID, about.line) or meant(code, SOFTMAX, about.line)
    edit = without(code, applied) if applied is not None else None
    if edit is None:
        return ()
    found = losses(code, "binary_cross_entropy_with_logits")
    limits = thresholds(code, found, "0.5", "0")
    return [edit, *(each for each in limits if each.end <= edit.start or each.start >= edit.end)]


REMEDY = Remedy(
    says="leave out the sigmoid before binary_cross_entropy_with_logits, which applies it itself",
    treats={"sigmoid-before-bce-with-logits": 1},
    costs="an output above 0, not above 0.5, means yes from then on, also where the text does not say so",
    not_when="the probabilities are used elsewhere: then minimize binary_cross_entropy",
    live=_live,
    patch=_patch,
)
