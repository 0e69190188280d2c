"""Leave out the last batch of an epoch, where it has too few samples to be normalized."""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence

from fitwell.measures.failures import message
from fitwell.patch import Code, Edit, argument
from fitwell.remedy import About, Remedy

HELD_OUT = re.compile(r"val|test|eval|held|dev", re.IGNORECASE)
ENOUGH = 8  # samples of a batch


def _patch(code: Code, about: About) -> Sequence[Edit]:
    if not _only_the_rest(about):
        return ()
    loaders = [call for call in code.calls("DataLoader") if not HELD_OUT.search(_statement(code, call))]
    fixed = [call for call in loaders if argument(call, "batch_sampler") is None]
    return [code.set_argument(call, "drop_last", "True") for call in fixed]


def _statement(code: Code, call: ast.Call) -> str:
    statement = code.statement(call)
    return ast.unparse(statement) if isinstance(statement, ast.Assign | ast.Expr) else ""


def _only_the_rest(about: About) -> bool:
    """Whether most batches are large enough, but one is not."""
    seen = about.view.known("running_statistics") or {}
    norms = [each for each in seen.values() if isinstance(each, dict) and each.get("kind") == "batch_norm"]
    large = all(each.get("most_samples", 0) >= ENOUGH for each in norms)
    return large and (bool(norms) or "more than 1 value per channel" in message(about.view))


REMEDY = Remedy(
    says="leave out the last batch of an epoch, which is too small to be normalized: drop_last=True",
    treats={"normalization-on-tiny-batch": 1},
    costs="a few samples of each epoch, others each time if they are shuffled",
    not_when="all batches are that small: then make them larger",
    patch=_patch,
)
