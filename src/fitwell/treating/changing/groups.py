"""Other settings of an optimizer during its steps: whatever sets them otherwise goes on undisturbed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary

from torch.optim import Optimizer

from fitwell.treating.changing.live import Live

Group = dict[str, Any]


def during_steps(live: Live, change: Callable[[Group], Group]) -> None:
    """Change each group of parameters for the length of a step.

    Args:
        live: the training.
        change: gives the settings that are to be others, from those of a group.
    """
    on_steps(live, lambda _: change)


def on_steps(live: Live, change: Callable[[Optimizer], Callable[[Group], Group]]) -> None:
    """The same, where it depends on the optimizer; it is asked once for each step of it."""
    kept: WeakKeyDictionary[Optimizer, list[tuple[Group, Group]]] = WeakKeyDictionary()

    def before(optimizer: Optimizer) -> None:
        restore(optimizer)  # if its last step failed
        # An optimizer may hold the groups of another one and step within its step: they are changed once.
        held = {id(group) for changed in kept.values() for group, _ in changed}
        if any(id(group) in held for group in optimizer.param_groups):
            return
        new = change(optimizer)
        kept[optimizer] = []
        for group in optimizer.param_groups:
            settings = new(group)
            kept[optimizer].append((group, {name: group[name] for name in settings}))
            group.update(settings)

    def restore(optimizer: Optimizer) -> None:
        for group, settings in kept.pop(optimizer, []):
            group.update(settings)

    def restore_all() -> None:
        for optimizer in list(kept):
            restore(optimizer)

    live.before_step(before)
    live.after_step(restore)
    live.finally_do(restore_all)


def multiply_rate(live: Live, factor_at: Callable[[int], float]) -> None:
    """Multiply the learning rates.

    Args:
        live: the training.
        factor_at: gives the factor from the number of steps that the optimizer has made since the change.
    """
    steps: WeakKeyDictionary[Optimizer, int] = WeakKeyDictionary()

    def change(optimizer: Optimizer) -> Callable[[Group], Group]:
        done = steps.get(optimizer, 0)
        steps[optimizer] = done + 1
        factor = factor_at(done)
        return lambda group: {"lr": group["lr"] * factor}

    on_steps(live, change)
