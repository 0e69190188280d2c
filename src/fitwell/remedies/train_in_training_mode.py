"""Train in training mode: with dropout, and with the statistics of the batch."""

from __future__ import annotations

import ast
from collections.abc import Sequence

from fitwell.patch import Code, Edit
from fitwell.patching.modes import before_training, models, switches
from fitwell.remedy import About, Remedy


def _patch(code: Code, about: About) -> Sequence[Edit]:
    statement = code.statement(about.line) if about.line else None
    if statement is None:
        return ()
    wrong = [call for call in switches(code, "eval") if call.lineno == about.line]
    if wrong:
        return [_turned(code, call) for call in wrong]
    place = before_training(code, statement)
    found = models(code, statement)
    return (code.before(place, "\n".join(f"{model}.train()" for model in found)),) if found else ()


def _turned(code: Code, call: ast.Call) -> Edit:
    """``train`` in the place of ``eval``."""
    end = code.span(call.func)[1]
    return Edit(end - len("eval"), end, "train")


REMEDY = Remedy(
    says="call model.train() before the training of every epoch",
    treats={"trained-in-eval-mode": 1},
    costs="nothing",
    not_when="a pretrained model is tuned with its statistics kept",
    patch=_patch,
)
