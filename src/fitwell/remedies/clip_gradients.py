"""Shorten gradients that are far longer than usual (Pascanu, Mikolov and Bengio 2013)."""

from __future__ import annotations

import ast
from collections.abc import Sequence

from fitwell.evidence import View
from fitwell.experiment import Change
from fitwell.patch import Code, Edit, argument, called
from fitwell.patching.names import name_of
from fitwell.patching.optimizers import Step, constructions, step
from fitwell.plan import Plan
from fitwell.remedy import About, Remedy

USUAL = 1.0  # largest norm, in most programs that clip


def _plan(plan: Plan, _: About) -> Plan | None:
    clip = plan.regularization.clip
    return plan.change(clip=USUAL) if clip is None or clip > USUAL else None


def _live(about: About) -> Sequence[Change]:
    return (Change("clip_norm", {"norm": _norm(about.view, about.dose["percentile"])}),)


def _norm(view: View, percentile: float) -> float:
    """The norm to clip to: the usual one, or less where usual gradients are shorter."""
    series = view.series("gradient/norm")
    norms = sorted(series.finite) if series is not None else []
    if not norms:
        return USUAL
    usual = norms[min(len(norms) - 1, int(len(norms) * percentile / 100))]
    return float(f"{min(USUAL, usual):.2g}") or USUAL


def _parameters(code: Code, about: About, at: Step) -> str:
    """The parameters of the optimizer: as the program names them, if that name is known at the step, too."""
    made = constructions(code, about)
    first = argument(made[0], "params", 0) if len(made) == 1 else None
    named = (
        isinstance(first, ast.Call)
        and called(first) == "parameters"
        and isinstance(first.func, ast.Attribute)
        and isinstance(first.func.value, ast.Name)
    )
    if first is not None and named and code.function(first) in (code.tree, code.function(at.statement)):
        return code.segment(first)
    return f'[p for group in {at.optimizer}.param_groups for p in group["params"]]'


def _patch(code: Code, about: About) -> Sequence[Edit]:
    """Right before the step; what a scaler has scaled is unscaled first."""
    at, nn = step(code, about), name_of(code, "torch.nn")
    if at is None or nn is None or code.calls("clip_grad_norm_", "clip_grad_value_", "clip_grad_norm"):
        return ()
    norm = _norm(about.view, about.dose["percentile"])
    text = f"{nn}.utils.clip_grad_norm_({_parameters(code, about, at)}, {norm})"
    if at.scaler and not code.calls("unscale_"):
        text = f"{at.scaler}.unscale_({at.optimizer})\n{text}"
    return (code.before(at.statement, text),)


REMEDY = Remedy(
    says="clip the norm of the gradient to what is usual in this training",
    treats={
        "exploding-gradients": 1,
        "loss-not-finite": 3,
        "learning-rate-too-high": 3,
        "loss-oscillates": 4,
    },
    costs="a pass over all gradients at each step",
    not_when="all gradients are equally large",
    doses=({"percentile": 50},),
    plan=_plan,
    live=_live,
    patch=_patch,
)
