"""Let a model end with a layer, whose outputs have no bounds."""

from __future__ import annotations

from collections.abc import Sequence

from fitwell.patch import Code, Edit
from fitwell.patching.activations import LAST, meant, without
from fitwell.remedy import About, Remedy


def _patch(code: Code, about: About) -> Sequence[Edit]:
    applied = meant(code, LAST, about.line)
    edit = without(code, applied) if applied is not None else None
    return (edit,) if edit is not None else ()


REMEDY = Remedy(
    says="leave out the last activation: no output of it reaches the targets",
    treats={"output-range-excludes-targets": 1},
    costs="outputs may lie outside of the range that is possible for the targets",
    not_when="the targets were to be scaled into the range of the activation, and were not",
    patch=_patch,
)
