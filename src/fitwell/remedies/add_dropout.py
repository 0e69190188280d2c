"""Leave out some values at random in training (Srivastava et al. 2014)."""

from __future__ import annotations

from collections.abc import Sequence

from fitwell.experiment import Change
from fitwell.patch import Code, Edit
from fitwell.patching.expressions import beside
from fitwell.patching.layers import after, hidden_activations
from fitwell.plan import Plan
from fitwell.remedy import About, Remedy


def _plan(plan: Plan, about: About) -> Plan | None:
    now, wanted = plan.model.dropout, about.dose["p"]
    return plan.change(dropout=wanted) if now != "auto" and now < wanted else None


def _live(about: About) -> Sequence[Change]:
    return (Change("dropout", about.dose),)


def _patch(code: Code, about: About) -> Sequence[Edit]:
    """Behind each hidden activation of a sequence, if there is no dropout yet."""
    if "dropout" in code.text.lower():
        return ()
    edits = []
    for _, activation in hidden_activations(code):
        dropout = beside(code, activation, "Dropout")
        if dropout is not None:
            edits.append(after(code, activation, f"{dropout}({about.dose['p']:g})"))
    return edits


REMEDY = Remedy(
    says="add dropout with a probability of {p:g} behind hidden layers",
    treats={"overfitting": 2, "too-little-data": 4},
    costs="more epochs until the same loss",
    not_when="the training loss is high already",
    doses=({"p": 0.3}, {"p": 0.5}),
    plan=_plan,
    live=_live,
    patch=_patch,
)
