"""Give cross entropy the outputs of the last layer, without a softmax."""

from __future__ import annotations

from collections.abc import Sequence

from fitwell.experiment import Change
from fitwell.patch import Code, Edit
from fitwell.patching.activations import SIGMOID, SOFTMAX, meant, without
from fitwell.remedy import About, Remedy


def _live(_: About) -> Sequence[Change]:
    return (Change("undo_softmax"),)


def _patch(code: Code, about: About) -> Sequence[Edit]:
    applied = meant(code, SOFTMAX, about.line) or meant(code, SIGMOID, about.line)
    edit = without(code, applied) if applied is not None else None
    return (edit,) if edit is not None else ()


REMEDY = Remedy(
    says="leave out the softmax before cross entropy, which applies it itself",
    treats={"softmax-before-cross-entropy": 1},
    costs="where probabilities are shown, softmax has to be applied there; the largest output stays the same",
    not_when="the outputs are probabilities by construction, such as a mixture",
    live=_live,
    patch=_patch,
)
