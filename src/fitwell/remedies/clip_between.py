"""Clip the gradients that the step will use: after backward, unscaled, before the step."""

from __future__ import annotations

import ast
from collections.abc import Sequence

from fitwell.patch import Code, Edit, called
from fitwell.patching.assignments import assignments
from fitwell.patching.optimizers import Step, steps
from fitwell.patching.statements import block, nearest, text_of
from fitwell.remedy import About, Remedy


def _patch(code: Code, about: About) -> Sequence[Edit]:
    clips = [call for call in code.calls() if called(call).startswith("clip_grad_")]
    call = nearest(code, clips, about.line)
    clip = code.statement(call) if call is not None else None
    step = _step_of(code, clip) if clip is not None else None
    if clip is None or step is None or isinstance(clip, ast.If | ast.For | ast.With):
        return ()
    text = text_of(code, clip)
    if step.scaler is not None and not _is_unscaled(code, step):
        text = f"{step.scaler}.unscale_({step.optimizer})\n{text}"
        if (
            clip in block(code, step.statement)
            and clip.lineno < step.call.lineno
            and _is_next(code, clip, step)
        ):
            return (code.before(clip, text.splitlines()[0]),)
    return code.remove(clip), code.before(step.statement, text)


def _step_of(code: Code, clip: ast.stmt) -> Step | None:
    """The step that the clipped gradients are for: the next one in the function, else the one before."""
    near = [step for step in steps(code) if code.function(step.call) is code.function(clip)]
    same = [step for step in near if step.statement in block(code, clip)] or near
    set_here = {name for s, target, _ in assignments(code) if s is clip for name in [code.segment(target)]}
    before = [step for step in same if step.call.lineno < clip.lineno]
    after = [step for step in same if step.call.lineno > clip.lineno]
    chosen = (after[:1] or before[-1:])[:1]
    if before and after and _backward_between(code, before[-1], clip) is False:
        chosen = before[-1:]  # clipped behind its own step, before the next optimizer's turn
    if not chosen or (set_here and _is_used(code, set_here, clip, chosen[0])):
        return None
    return chosen[0]


def _backward_between(code: Code, step: Step, clip: ast.stmt) -> bool:
    return any(step.call.lineno < call.lineno < clip.lineno for call in code.calls("backward"))


def _is_used(code: Code, known: set[str], clip: ast.stmt, step: Step) -> bool:
    """Whether what clipping gives is used before the step."""
    return any(
        isinstance(node, ast.Name) and node.id in known and clip.lineno < node.lineno < step.call.lineno
        for node in ast.walk(code.tree)
    )


def _is_unscaled(code: Code, step: Step) -> bool:
    """Whether gradients are unscaled in that function."""
    found = [call for call in code.calls("unscale_") if code.function(call) is code.function(step.call)]
    return any(call.args and code.segment(call.args[0]) == step.optimizer for call in found)


def _is_next(code: Code, clip: ast.stmt, step: Step) -> bool:
    """Whether clipping stands between backward and the step already."""
    return not any(clip.lineno < call.lineno < step.call.lineno for call in code.calls("backward"))


REMEDY = Remedy(
    says="clip gradients between backward and the step, after unscaling",
    treats={"clipping-misplaced": 1},
    costs="nothing",
    not_when="gradients of an earlier pass are clipped on purpose before more are added",
    patch=_patch,
)
