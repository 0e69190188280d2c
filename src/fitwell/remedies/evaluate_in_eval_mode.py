"""Evaluate in evaluation mode, and train on in training mode."""

from __future__ import annotations

import ast
from collections.abc import Sequence

from fitwell.patch import Code, Edit
from fitwell.patching.gradients import backwards, trains
from fitwell.patching.modes import before_training, evaluation, models, switches
from fitwell.patching.names import variables
from fitwell.patching.statements import following, previous
from fitwell.remedy import About, Remedy


def _patch(code: Code, about: About) -> Sequence[Edit]:
    statement = code.statement(about.line) if about.line else None
    found = models(code, statement) if statement is not None else []
    if statement is None or not found:
        return ()
    condition = _training_only(code, statement)
    if condition is not None:
        return _by_condition(code, statement, condition, found)
    place = evaluation(code, statement)
    wrong = _train_before(code, place, found)
    edits = [Edit(code.span(call.func)[1] - len("train"), code.span(call.func)[1], "eval") for call in wrong]
    rest = [model for model in found if model not in {code.segment(call.func.value) for call in wrong}]  # type: ignore[attr-defined]
    if rest:
        edits.append(code.before(place, _calls(rest, "eval")))
    if any(_trains_on(code, model, wrong) for model in found):
        return edits
    back = _back_to_training(code, place, found)
    return [*edits, back] if back is not None else ()


def _training_only(code: Code, statement: ast.stmt) -> ast.If | None:
    """The condition under which what is computed is propagated back: one loop trains and evaluates."""
    after = [each for each in following(code, statement) if trains(code, each)]
    return after[0] if after and isinstance(after[0], ast.If) and not after[0].orelse else None


def _by_condition(code: Code, statement: ast.stmt, condition: ast.If, found: Sequence[str]) -> Sequence[Edit]:
    """``model.train(phase == "train")`` before the loop."""
    test = code.segment(condition.test)
    text = test if isinstance(condition.test, ast.Compare) else f"bool({test})"
    loops = [loop for loop in code.loops(statement) if code.function(loop) is code.function(statement)]
    place = loops[0] if loops else statement
    set_within = {
        node.id for node in ast.walk(place) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    }
    if set_within & variables(condition.test):
        return ()
    return (code.before(place, "\n".join(f"{model}.train({text})" for model in found)),)


def _calls(found: Sequence[str], mode: str) -> str:
    return "\n".join(f"{model}.{mode}()" for model in found)


def _train_before(code: Code, place: ast.stmt, found: Sequence[str]) -> list[ast.Call]:
    """The ``model.train()`` that stands where ``model.eval()`` belongs."""
    wrong: list[ast.Call] = []
    for statement in previous(code, place):
        if trains(code, statement):
            return wrong
        wrong += [
            call for call in switches(code, "train")
            if code.statement(call) is statement and code.segment(call.func.value) in found  # type: ignore[attr-defined]
        ]  # fmt: skip
    return []  # nothing is trained before it in this block: it is for the training that comes after


def _trains_on(code: Code, model: str, but: Sequence[ast.Call]) -> bool:
    """Whether the training goes back to training mode by itself: within its loop, or in a function of its own."""
    last = model.rpartition(".")[2]
    for call in switches(code, "train"):
        same = code.segment(call.func).split(".")[-2] == last or code.function(call) is not code.tree
        if call not in but and same and (code.loops(call) or code.function(call) is not code.tree):
            return True
    return False


def _back_to_training(code: Code, place: ast.stmt, found: Sequence[str]) -> Edit | None:
    """After the evaluation; where a function ends with it, before the training."""
    if not isinstance(place, ast.Return):
        return code.after(place, _calls(found, "train"))
    back = next(iter(backwards(code)), None)
    statement = code.statement(back) if back is not None else None
    return (
        code.before(before_training(code, statement), _calls(found, "train"))
        if statement is not None
        else None
    )


REMEDY = Remedy(
    says="call model.eval() before the evaluation, and model.train() after it",
    treats={"evaluated-in-training-mode": 1, "statistics-updated-by-evaluation": 1},
    costs="nothing",
    not_when="dropout is kept on purpose to see how uncertain the model is",
    patch=_patch,
)
