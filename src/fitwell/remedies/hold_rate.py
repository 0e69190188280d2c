"""Train without the scheduler."""

from __future__ import annotations

import ast
from collections.abc import Sequence

from fitwell.patch import Code, Edit
from fitwell.patching.optimizers import steps
from fitwell.patching.schedules import scheduler_calls
from fitwell.remedy import About, Remedy


def _patch(code: Code, about: About) -> Sequence[Edit]:
    """Without its steps in the function of the line; the rate stays as the scheduler began."""
    stepped = {id(step.statement) for step in steps(code)}
    on = [call for call in scheduler_calls(code) if about.line and call.lineno == about.line]
    statement = code.statement(on[0]) if on else None
    if not isinstance(statement, ast.Expr) or id(statement) in stepped:
        return ()
    return (code.remove(statement),)


REMEDY = Remedy(
    says="keep the learning rate as it is, without the scheduler",
    treats={"scheduler-misused": 2},
    costs="a less settled end of training",
    not_when="the training needs its rate warmed up",
    patch=_patch,
)
