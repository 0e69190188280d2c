"""Normalize what hidden layers give over the batch (Ioffe and Szegedy 2015)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fitwell.experiment import Change
from fitwell.patch import Code, Edit, called
from fitwell.patching.expressions import beside
from fitwell.patching.layers import before, hidden_activations, widths
from fitwell.plan import Plan
from fitwell.remedy import About, Remedy

NORMS = {"Linear": "BatchNorm1d", "Conv1d": "BatchNorm1d", "Conv2d": "BatchNorm2d"}


def _plan(plan: Plan, _: About) -> Plan | None:
    return plan.change(norm="batch") if plan.model.norm == "none" else None


def _table(about: About) -> list[Mapping[str, Any]]:
    """The layers that ran."""
    return (about.view.known("layers") or {}).get("table") or []


def _live(about: About) -> Sequence[Change]:
    """Where there are layers, and no norm yet."""
    kinds = [str(row.get("class")) for row in _table(about)]
    return (Change("batch_norm"),) if kinds and not any("Norm" in kind for kind in kinds) else ()


def _of_rows(about: About) -> bool:
    """Whether linear layers give one row a sample, not several, which batch norm would take for channels."""
    table = _table(about)
    outputs = [row.get("output") or [] for row in table if row.get("class") == "Linear"]
    return all(len(output) == 2 for output in outputs)


def _patch(code: Code, about: About) -> Sequence[Edit]:
    """Between a layer and its activation, in sequences that have no norm yet."""
    if "Norm" in code.text or not _of_rows(about):
        return ()
    edits = []
    for layer, activation in hidden_activations(code):
        pair = widths(layer)
        norm = beside(code, layer, NORMS[called(layer)]) if called(layer) in NORMS else None
        if pair is not None and norm is not None:
            edits.append(before(code, activation, f"{norm}({code.segment(pair[1])})"))
    return edits


REMEDY = Remedy(
    says="normalize the inputs of hidden activations over the batch",
    treats={
        "vanishing-gradients": 2,
        "badly-scaled-initialization": 2,
        "input-not-normalized": 2,
        "dead-units": 6,
        "exploding-gradients": 6,
    },
    costs="a third more time for each step of a small net, and other answers in evaluation than in training",
    not_when="batches have fewer than eight samples",
    plan=_plan,
    live=_live,
    patch=_patch,
)
