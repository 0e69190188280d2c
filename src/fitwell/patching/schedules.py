"""Where a program changes its learning rate as it goes."""

from __future__ import annotations

import ast
import re

from fitwell.patch import Code, Edit, called
from fitwell.patching.assignments import made_by
from fitwell.patching.names import free, name_of
from fitwell.patching.optimizers import SCHEDULER, constructions, step
from fitwell.remedy import About

KINDS = re.compile(r"(LR|Restarts|Plateau|[sS]cheduler|_schedule\w*)$|^get_.*schedule")
SETS_RATE = re.compile(r"""(param_group\w*|group|g|pg)\[["']lr["']\]\s*[*/+-]?=""")


def schedulers(code: Code) -> dict[str, ast.Call]:
    """The calls that make schedulers, by the text of the variable that holds one."""
    return made_by(code, KINDS)


def scheduler_calls(code: Code) -> list[ast.Call]:
    """The steps of schedulers."""
    known = schedulers(code)
    return [
        call
        for call in code.calls("step")
        if isinstance(call.func, ast.Attribute)
        and ((text := code.segment(call.func.value)) in known or SCHEDULER.search(text))
    ]


def schedules(code: Code) -> bool:
    """Whether the program seems to change the rate by itself."""
    return bool(SETS_RATE.search(code.text)) or any(KINDS.search(called(call)) for call in code.calls())


def scheduled(code: Code, about: About, schedule: str) -> list[Edit]:
    """A schedule that goes on with every step, if there is none and optimizer and step can both name it.

    Args:
        code: the program.
        about: the finding.
        schedule: the call that makes it, with ``{module}`` for torch's and ``{optimizer}`` for the optimizer.
    """
    made, at, home = constructions(code, about), step(code, about), name_of(code, "torch.optim.lr_scheduler")
    if len(made) != 1 or at is None or home is None or at.scaler or schedules(code):
        return []
    statement = code.parent(made[0])
    if not isinstance(statement, ast.Assign) or at.optimizer != code.segment(statement.targets[0]):
        return []
    if code.function(statement) is not code.tree and code.function(statement) is not code.function(
        at.statement
    ):
        return []
    name = free(code, "schedule")
    text = schedule.format(module=home, optimizer=at.optimizer)
    return [code.after(statement, f"{name} = {text}"), code.after(at.statement, f"{name}.step()")]
