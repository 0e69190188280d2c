"""How soon a fault of the training loop is named: the same programs, stopped after a few backward passes."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import replace

from diagnosis_figures import Result, share, table
from parts import PARTS, Case

PASSES = 5  # backward passes, which are steps in most programs, after which one is stopped
LOOP = frozenset(
    {
        "gradients-not-cleared",
        "gradients-cleared-before-step",
        "optimizer-never-steps",
        "parameters-not-in-optimizer",
        "parameters-frozen",
        "loss-detached",
        "gradient-path-cut",
        "graph-retained",
        "clipping-misplaced",
    }
)
# Stands on the line of the first import, so that all other lines keep their numbers.
STOP = (
    "import sys, torch; _passes = []; _backward = torch.Tensor.backward; "
    "torch.Tensor.backward = lambda loss, *given, **named: (_passes.append(1), "
    f"sys.exit(0) if len(_passes) > {PASSES} else _backward(loss, *given, **named))[1]"
)


def stopped(cases: Sequence[Case]) -> list[Case]:
    """The programs with a fault of the loop, changed so that they stop soon."""
    return [
        replace(
            case,
            part=f"stopped-{case.part}",
            program=replace(case.program, source=_stopping(case.program.source)),
        )
        for case in cases
        if case.expected in LOOP
    ]


def _stopping(source: str) -> str:
    lines = source.splitlines()
    imports = (node for node in ast.parse(source).body if isinstance(node, ast.Import | ast.ImportFrom))
    last = next(imports).end_lineno or 1
    lines[last - 1] += f"; {STOP}"
    return "\n".join(lines) + "\n"


def latency(results: Sequence[Result]) -> str:
    """The share of faults of the loop that are named at once."""
    rows = []
    for part in PARTS:
        those = [r for r in results if r.case.part == f"stopped-{part}"]
        for name in sorted({r.case.expected or "" for r in those}):
            same = [r for r in those if r.case.expected == name]
            rows.append([part, f"`{name}`", share(same, lambda r: r.named(None))])
        if those:
            rows.append([part, "all", share(those, lambda r: r.named(None))])
    title = f"### Faults of the loop that are named after {PASSES} backward passes"
    return f"{title}\n\n{table(['part', 'fault', 'named'], rows)}" if rows else ""
