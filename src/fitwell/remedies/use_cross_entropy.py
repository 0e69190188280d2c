"""Minimize cross entropy, which takes the outputs of the last layer."""

from __future__ import annotations

from collections.abc import Sequence

from fitwell.patch import Code, Edit
from fitwell.patching.activations import SIGMOID, SOFTMAX, Applied, meant, without
from fitwell.patching.losses import at_line, exchanged, made_by
from fitwell.remedy import About, Remedy


def _patch(code: Code, about: About) -> Sequence[Edit]:
    """What made probabilities goes; log-probabilities may stay, for their log-softmax is the same."""
    edits = list(exchanged(code, at_line(code, about, "nll_loss"), "cross_entropy"))
    probable = next((name for name in made_by(about)[:1] if name in ("Softmax", "Sigmoid")), None)
    if edits and probable:
        applied: Applied | None = meant(code, SOFTMAX if probable == "Softmax" else SIGMOID, about.line)
        edit = without(code, applied) if applied is not None else None
        if edit is None:
            return ()
        edits.append(edit)
    return edits


REMEDY = Remedy(
    says="minimize cross_entropy in the place of nll_loss: it applies log-softmax itself",
    treats={"nll-without-log-softmax": 1},
    costs="nothing",
    not_when="the outputs are meant to be log-probabilities: then put log_softmax in the model",
    patch=_patch,
)
