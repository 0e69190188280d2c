"""Give each worker of a loader random numbers of its own."""

from __future__ import annotations

import ast
from collections.abc import Sequence

from fitwell.patch import Code, Edit, argument, called
from fitwell.patching.assignments import assignments
from fitwell.remedy import About, Remedy

SEED = "torch.initial_seed() % 2**32"
SETS = ("seed", "manual_seed", "seed_everything", "set_seed")
GENERATORS = ("default_rng", "RandomState", "Random", "Generator", "manual_seed")


def _patch(code: Code, about: About) -> Sequence[Edit]:
    statement = code.statement(about.line) if about.line else None
    if statement is None or "import torch\n" not in code.text.replace("\r\n", "\n"):
        return ()
    return _set_up(code, about.line) or _drawn(code, statement)


def _set_up(code: Code, line: int | None) -> Sequence[Edit]:
    """In the function that sets up a worker, torch's seed of that worker instead of one for all."""
    on = code.calls(line=line)
    loaders = [call for call in on if argument(call, "worker_init_fn") is not None]
    functions: list[ast.AST] = [
        node for call in loaders or code.calls()
        if (given := argument(call, "worker_init_fn")) is not None
        for node in _functions(code, given)
    ]  # fmt: skip
    inside = [node for function in functions for node in ast.walk(function)]
    if not loaders and not any(call in inside for call in on):
        return ()
    seeds = [
        node for node in inside if isinstance(node, ast.Call) and called(node) in SETS and len(node.args) == 1
    ]
    return [code.replace(each.args[0], SEED) for each in seeds]


def _functions(code: Code, given: ast.expr) -> list[ast.AST]:
    if isinstance(given, ast.Lambda):
        return [given]
    name = code.segment(given)
    return [node for node in ast.walk(code.tree) if isinstance(node, ast.FunctionDef) and node.name == name]


def _drawn(code: Code, statement: ast.stmt) -> Sequence[Edit]:
    """In the data set, a generator that is made in every worker, from torch's seed of it."""
    used = {code.segment(node) for node in ast.walk(statement) if isinstance(node, ast.Attribute)}
    owner = next((each for each in code.around(statement) if isinstance(each, ast.ClassDef)), None)
    for setting, target, value in assignments(code):
        inside = owner is not None and setting in ast.walk(owner)
        if (
            inside
            and code.segment(target) in used
            and isinstance(value, ast.Call)
            and called(value) in GENERATORS
        ):
            made = (
                f'if getattr(self, "worker_seed", None) != torch.initial_seed():\n'
                f"    self.worker_seed = torch.initial_seed()\n"
                f"    {code.segment(target)} = {_seeded(code, value)}"
            )
            edits = [code.before(statement, made)]
            if _is_used_only_in(code, target, code.function(statement)):
                edits.append(code.replace(value, "None"))  # so that there is none to copy
            return edits
    return ()


def _is_used_only_in(code: Code, target: ast.expr, function: ast.AST) -> bool:
    """Whether a generator is used in one function alone, beside where it is made."""
    same = [
        node for node in ast.walk(code.tree)
        if isinstance(node, ast.Attribute) and node is not target and code.segment(node) == code.segment(target)
    ]  # fmt: skip
    return all(code.function(node) is function for node in same)


def _seeded(code: Code, value: ast.Call) -> str:
    """What makes a generator, with the seed of the worker."""
    if called(value) == "Generator":
        return f"{code.segment(value)}.manual_seed(self.worker_seed)"
    return f"{code.segment(value.func)}(self.worker_seed % 2**32)"


REMEDY = Remedy(
    says="seed what every worker draws with from torch.initial_seed(), which differs between them",
    treats={"workers-share-randomness": 1},
    costs="nothing",
    not_when="the workers are meant to draw the same",
    patch=_patch,
)
