"""Keep logarithms and roots away from where they have no value."""

from __future__ import annotations

import ast
from collections.abc import Sequence

from fitwell.patch import Code, Edit, called
from fitwell.patching.names import name_of
from fitwell.remedy import About, Remedy

LEAST = {"log": "1e-8", "log2": "1e-8", "log10": "1e-8", "sqrt": "1e-12", "rsqrt": "1e-8"}


def _patch(code: Code, about: About) -> Sequence[Edit]:
    """Of tensors: ``torch.log(x)`` and ``x.log()`` in the finding's line."""
    edits: list[Edit] = []
    torch = name_of(code, "torch")
    for call in code.calls(*LEAST, line=about.line) if about.line and torch is not None else ():
        if not isinstance(call.func, ast.Attribute):
            continue
        function = code.segment(call.func.value) == torch
        inner = call.args[0] if function and len(call.args) == 1 else None if call.args else call.func.value
        if inner is None or _guarded(inner):
            continue
        guard = f".clamp_min({LEAST[called(call)]})"
        if function:
            text = code.segment(inner)
            whole = isinstance(inner, ast.Name | ast.Attribute | ast.Call | ast.Subscript)
            edits.append(code.replace(inner, f"{text if whole else f'({text})'}{guard}"))
        else:
            dot = code.span(call.func)[1] - len(call.func.attr) - 1
            edits.append(Edit(dot, dot, guard))
    return edits


def _guarded(node: ast.expr) -> bool:
    """Whether a small number is added, or the range is limited, already."""
    return any(
        (isinstance(each, ast.Call) and called(each) in ("clamp", "clip", "clamp_min", "maximum"))
        or (isinstance(each, ast.Constant) and isinstance(each.value, float) and 0 < each.value < 1e-3)
        or (isinstance(each, ast.Name) and "eps" in each.id.lower())
        for each in ast.walk(node)
    )


REMEDY = Remedy(
    says="keep the argument of the logarithm or root above a small number",
    treats={"loss-not-finite": 2},
    costs="no gradient where the limit is reached",
    not_when="the argument should never be that small, and another fault makes it so",
    patch=_patch,
)
