"""Give the optimizer all parameters that should learn, as they are when the model is complete."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Sequence

from fitwell.patch import Code, Edit, argument, called
from fitwell.patching.assignments import Named, assignments
from fitwell.patching.names import variables, visible
from fitwell.patching.optimizers import KINDS, optimizers
from fitwell.patching.statements import nearest, text_of
from fitwell.remedy import About, Remedy

WAYS = ("parameters", "named_parameters")


def _patch(code: Code, about: About) -> Sequence[Edit]:
    call = nearest(code, (each for each in code.calls() if KINDS.match(called(each))), about.line)
    given = argument(call, "params", 0) if call is not None else None
    if call is None or given is None:
        return ()
    return (
        _made_later(code, call, given)
        or _made_anew(code, given)
        or _held_in_list(code, about)
        or _whole_model(code, given, about)
        or _other_models(code, given, about)
        or _plain(code, given, about)
    )


def _missing(about: About) -> list[dict[str, object]]:
    """The tensors that no optimizer holds: each with the ``model`` that it is of, if it is of one."""
    facts = about.view.fact("signals", "coverage", "not_in_optimizer") or {}
    return list(facts.get("tensors") or [])


def _resolved(code: Code, node: ast.expr) -> tuple[ast.stmt | None, ast.expr]:
    """What a variable stands for, with the statement that says so; else the expression itself."""
    if isinstance(node, ast.Name):
        found = [
            (statement, value)
            for statement, target, value in assignments(code)
            if isinstance(target, ast.Name) and target.id == node.id
            and code.function(statement) is code.function(node) and statement.lineno < node.lineno
        ]  # fmt: skip
        if len(found) == 1:
            return found[0]
    return None, node


def _holders(node: ast.expr) -> list[ast.expr]:
    """The ``model`` of each ``model.parameters()`` in an expression."""
    calls = [each for each in ast.walk(node) if isinstance(each, ast.Call) and called(each) in WAYS]
    return [each.func.value for each in calls if isinstance(each.func, ast.Attribute)]


def _made_later(code: Code, call: ast.Call, given: ast.expr) -> Sequence[Edit]:
    """Behind what replaces the model, or layers of it, after they were given to the optimizer."""
    listed, value = _resolved(code, given)
    own = code.statement(call)
    if own is None:
        return ()
    first = listed or own
    roots = {code.segment(each) for each in _holders(value)} or variables(value)
    roots |= {code.segment(target) for _, target, given in assignments(code) if code.segment(given) in roots}
    last = _replacing(code, first, roots)
    if last is None:
        return ()
    parent = code.parent(first)
    among: list[ast.stmt] = getattr(parent, "body", [])
    if first not in among or own not in among or last not in among:
        return ()
    at = among.index(last)
    moving = _dependent(code, among[among.index(first) : at], first)
    if not all(isinstance(each, ast.Assign | ast.AnnAssign | ast.Expr) for each in moving):
        return ()
    texts = [text_of(code, each) for each in moving]
    return [*(code.remove(each) for each in moving), code.after(last, "\n".join(texts))]


def _replacing(code: Code, first: ast.stmt, roots: set[str]) -> ast.stmt | None:
    """The last statement beside another one that comes after it and makes a model, or a part of it, anew."""
    among: list[ast.stmt] = getattr(code.parent(first), "body", [])
    if first not in among:
        return None
    after = among[among.index(first) + 1 :]
    found = None
    for statement, target, value in assignments(code):
        text = code.segment(target) if isinstance(target, Named) else ""
        whole = text in roots and isinstance(value, ast.Call)
        part = any(text.startswith(f"{root}.") for root in roots) and isinstance(value, ast.Call)
        holding = next((each for each in after if statement in ast.walk(each)), None)
        looped = isinstance(holding, ast.For | ast.While | ast.FunctionDef | ast.ClassDef)
        if (whole or part) and holding is not None and not looped:
            found = holding if found is None or holding.lineno > found.lineno else found
    return found


def _dependent(code: Code, among: Sequence[ast.stmt], first: ast.stmt) -> list[ast.stmt]:
    """The statement, and those after it that use what it sets."""
    moving, known = [], set[str]()
    for each in among:
        used = {code.segment(node) for node in ast.walk(each) if isinstance(node, Named)}
        if each is first or used & known:
            moving.append(each)
            known |= {code.segment(target) for statement, target, _ in assignments(code) if statement is each}
    return moving


def _made_anew(code: Code, given: ast.expr) -> Sequence[Edit]:
    """``Net().parameters()``, though the model is another one of its kind."""
    for holder in _holders(given):
        if isinstance(holder, ast.Call):
            models = [
                code.segment(target) for _, target, value in assignments(code)
                if isinstance(value, ast.Call) and called(value) == called(holder) and isinstance(target, Named)
            ]  # fmt: skip
            if len(set(models)) == 1 and visible(code, models[0], given):
                return (code.replace(holder, models[0]),)
    return ()


def _held_in_list(code: Code, about: About) -> Sequence[Edit]:
    """Layers that a model holds in a plain list."""
    classes = {str(each.get("model")) for each in _missing(about)}
    edits = []
    for _, target, value in assignments(code):
        inside = (
            isinstance(target, ast.Attribute)
            and isinstance(target.value, ast.Name)
            and target.value.id == "self"
        )
        if inside and isinstance(value, ast.List | ast.ListComp):
            made_of = {called(n): n for n in ast.walk(value) if isinstance(n, ast.Call)}
            layer = next((node for name, node in made_of.items() if name in classes), None)
            if layer is not None:
                root = code.segment(layer.func).rpartition(".")[0] or "torch.nn"
                root = root if root in ("nn", "torch.nn") else "nn"
                start, end = code.span(value)
                edits += [Edit(start, start, f"{root}.ModuleList("), Edit(end, end, ")")]
    return edits


def _whole_model(code: Code, given: ast.expr, about: About) -> Sequence[Edit]:
    """``model.parameters()`` in the place of those of some of its layers."""
    _, value = _resolved(code, given)
    holders = _holders(value)
    above = {code.segment(each).rpartition(".")[0] for each in holders}
    if not holders or len(above) != 1 or isinstance(given, ast.Name):
        return ()
    root = above.pop()
    models = {str(each.get("model")) for each in _missing(about)}
    known = {each.get("name") for each in about.view.fact("signals", "coverage", "models") or []}
    if not root or not all(isinstance(each, ast.Attribute) for each in holders):
        return ()
    if models and not any(root.endswith(model) or model in known for model in models):
        return ()
    return (code.replace(given, f"{root}.parameters()"),)


def _other_models(code: Code, given: ast.expr, about: About) -> Sequence[Edit]:
    """The models that no optimizer holds, beside those that it holds; or instead of one that another holds, too."""
    arguments = {text: argument(each, "params", 0) for text, each in optimizers(code).items()}
    held = {
        code.segment(holder)
        for each in arguments.values() if each is not None
        for holder in _holders(_resolved(code, each)[1])
    }  # fmt: skip
    missing = {str(each["model"]) for each in _missing(about) if each.get("model")}
    found = dict.fromkeys(
        code.segment(target)
        for _, target, value in assignments(code)
        if isinstance(target, Named) and (code.segment(target) in missing or called(value) in missing)
        and code.segment(target) not in held and visible(code, code.segment(target), given)
    )  # fmt: skip
    if not found:
        return ()
    twice = {
        text: each for text, each in arguments.items() if each and code.segment(each) == code.segment(given)
    }
    if len(twice) > 1 and len(found) == 1:
        return _exchanged(code, twice, next(iter(found)))
    groups = isinstance(given, ast.List) and any(isinstance(each, ast.Dict) for each in given.elts)
    more = [f'{{"params": {name}.parameters()}}' if groups else f"*{name}.parameters()" for name in found]
    return (_extended(code, given, more),)


def _exchanged(code: Code, twice: dict[str, ast.expr], model: str) -> Sequence[Edit]:
    """The model in the optimizer whose name begins like it, ``g_opt`` for ``generator``; the other one is right."""

    def alike(text: str, other: str) -> int:
        start, end = (each.rpartition(".")[2].lower() for each in (text, other))
        same = (len(end) - number for number in range(len(end)) if start.startswith(end[: len(end) - number]))
        return next(same, int(start[-1:] == end[:1]))

    ranked = sorted(twice, key=lambda text: alike(text, model), reverse=True)
    if alike(ranked[0], model) == alike(ranked[1], model):
        return ()
    holders = _holders(twice[ranked[0]])
    return (code.replace(holders[0], model),) if len(holders) == 1 else ()


def _extended(code: Code, given: ast.expr, more: Sequence[str]) -> Edit:
    if isinstance(given, ast.List):
        end = code.span(given)[1] - 1
        return Edit(end, end, ", ".join(["", *more] if given.elts else more))
    return code.replace(given, f"[*{_starred(given)(code.segment(given))}, {', '.join(more)}]")


def _starred(node: ast.expr) -> Callable[[str], str]:
    """What has to stand in brackets behind a star."""
    simple = isinstance(node, ast.Name | ast.Attribute | ast.Call | ast.Subscript)
    return lambda text: text if simple else f"({text})"


def _plain(code: Code, given: ast.expr, about: About) -> Sequence[Edit]:
    """Plain tensors that require a gradient, and are in no list."""
    missing = [each for each in _missing(about) if not each.get("model")]
    _, value = _resolved(code, given)
    held = variables(value)
    found = [name for name in _leaves(code, given) if name not in held]
    if not isinstance(value, ast.List) or len(missing) != len(found) or not found:
        return ()
    return (_extended(code, value, found),)


def _leaves(code: Code, at: ast.expr) -> Iterator[str]:
    """The variables that are made as tensors which require a gradient, in the order of the program."""
    makers = {
        node.name
        for node in ast.walk(code.tree)
        if isinstance(node, ast.FunctionDef) and any(_requires(part) for part in ast.walk(node))
    }
    seen = set[str]()
    for _, target, value in assignments(code):
        of_maker = isinstance(value, ast.Call) and called(value) in makers
        requires = of_maker or any(_requires(part) for part in ast.walk(value))
        new = isinstance(target, ast.Name) and target.id not in seen
        if requires and new and visible(code, code.segment(target), at):
            seen.add(code.segment(target))
            yield code.segment(target)


def _requires(node: ast.AST) -> bool:
    if not isinstance(node, ast.Call):
        return False
    keyword = argument(node, "requires_grad")
    given = isinstance(keyword, ast.Constant) and keyword.value is True
    return given or (called(node) == "requires_grad_" and not node.args) or called(node) == "Parameter"


REMEDY = Remedy(
    says="give the optimizer all parameters of the finished model",
    treats={"parameters-not-in-optimizer": 1, "optimizer-never-steps": 2},
    costs="gradients and a state of the optimizer for these parameters",
    not_when="these parameters are meant to keep their random values",
    patch=_patch,
)
