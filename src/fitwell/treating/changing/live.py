"""A live training, as interventions change it: steps, models and functions of torch, all put back by ``undo``.

In a rerun a change is made when torch is imported, before there is a model; in a fork, in the middle of a training.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import CodeType, FunctionType
from typing import Any
from weakref import WeakSet

import torch
from torch import nn
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook

from fitwell.discovery import members
from fitwell.errors import PlanError
from fitwell.experiment import Change, Settings
from fitwell.treating.changing.running import OnCall, Running, is_model

INTERVENTIONS = "fitwell.treating.interventions"
_TARGET = "\0what is called instead"

OnStep = Callable[[torch.optim.Optimizer], None]
OnModel = Callable[[nn.Module], None]


@dataclass(frozen=True)
class Intervention:
    """One way to change a live training; one a file, found by the constant ``INTERVENTION``.

    Args:
        says: what is other than before, such as ``the learning rate times {factor:g}``.
        apply: makes the change: it is given the ``Live`` training and the settings by name.
        forks: whether it may begin in the middle of a training; else it needs a rerun.
        comparable: whether the training loss means the same with it and without.
        examples: settings that it is tested with.
    """

    says: str
    apply: Callable[..., None]
    forks: bool = True
    comparable: bool = True
    examples: tuple[Settings, ...] = ({},)


class Live:
    """The training of this process.

    Args:
        forked: whether it goes on already: then names that the program has imported are replaced, too, if they are of
            functions written in Python (``from torch import sigmoid`` is not).
    """

    def __init__(self, *, forked: bool = False) -> None:
        self.forked = forked
        self._undo: list[Callable[[], Any]] = []
        self._after: list[OnStep] = []
        self._running: Running | None = None

    def before_step(self, act: OnStep) -> None:
        """Call this before each step of an optimizer; the gradients are those that it will use, unless by a closure."""
        self.hook(register_optimizer_step_pre_hook(lambda optimizer, *_: act(optimizer)))

    def after_step(self, act: OnStep) -> None:
        """Call this after each step of an optimizer; what was asked for last is called first, as in ``undo``."""
        if not self._after:
            self.hook(register_optimizer_step_post_hook(self._stepped))
            self.finally_do(self._after.clear)
        self._after.append(act)

    def _stepped(self, optimizer: torch.optim.Optimizer, *_: Any) -> None:
        for act in reversed(self._after):
            act(optimizer)

    def models(self, act: OnModel) -> None:
        """Call this once for each whole model with parameters, before it is called next."""
        known: WeakSet[nn.Module] = WeakSet()

        def first(module: nn.Module, _: tuple[Any, ...]) -> None:
            if module in known or not is_model(module):
                return
            known.update(module.modules())
            act(module)

        self.calls(first)

    def calls(self, before: OnCall | None, after: OnCall | None = None) -> None:
        """Call this before each call of a whole model (of a module that no other module calls), and after it.

        Args:
            before: is given the module and its positional inputs; may return others in their place.
            after: the same, also if the call failed; what it returns is ignored.
        """
        self.running.watch(before, after)

    @property
    def running(self) -> Running:
        """The modules that run now."""
        if self._running is None:
            self._running = Running()
            for handle in self._running.handles:
                self.hook(handle)
        return self._running

    def hook(self, handle: Any) -> None:
        """Remove this handle of a hook in the end."""
        self._undo.append(handle.remove)

    def replace(
        self, owner: Any, name: str, make: Callable[[Callable[..., Any]], Callable[..., Any]]
    ) -> None:
        """Exchange a function.

        Args:
            owner: the module or class that has it, such as ``torch.nn.functional``.
            name: of the function.
            make: gives the new function from the old one. What ``torch.compile`` compiles calls the old one: the
                new function must do so itself where ``torch.compiler.is_compiling()``.
        """
        old = getattr(owner, name)
        if self.forked and isinstance(old, FunctionType) and not old.__code__.co_freevars:
            code = old.__code__
            old.__code__ = _calling(make(_copy(old)))
            self._undo.append(lambda: setattr(old, "__code__", code))
            return
        new = make(old)
        if not hasattr(new, "__wrapped__"):
            new = functools.wraps(old)(new)
        inherited = name not in vars(owner)
        setattr(owner, name, new)
        self._undo.append(lambda: delattr(owner, name) if inherited else setattr(owner, name, old))

    def finally_do(self, act: Callable[[], Any]) -> None:
        """Do this in the end; what was asked for last is done first."""
        self._undo.append(act)

    def undo(self) -> None:
        """Put back functions, hooks and settings; weights that were initialized anew stay as they are by then."""
        while self._undo:
            self._undo.pop()()
        self._running = None


def interventions() -> dict[str, Intervention]:
    """All of them by name."""
    return members(INTERVENTIONS, "INTERVENTION")


def apply(changes: Sequence[Change], live: Live) -> None:
    """Make some changes.

    Raises:
        PlanError: there is no such intervention.
    """
    known = interventions()
    for change in changes:
        if change.intervention not in known:
            raise PlanError(
                f"there is no intervention {change.intervention!r}", ", ".join(known), "choose one of them"
            )
        known[change.intervention].apply(live, **change.settings)


def described(change: Change) -> str:
    """A change in words."""
    return interventions()[change.intervention].says.format_map(dict(change.settings))


def _copy(function: FunctionType) -> FunctionType:
    """The same function in an object of its own."""
    copy = FunctionType(
        function.__code__,
        function.__globals__,
        function.__name__,
        function.__defaults__,
        function.__closure__,
    )
    copy.__kwdefaults__ = function.__kwdefaults__
    functools.update_wrapper(copy, function)
    copy.__signature__ = _signature(function)  # type: ignore[attr-defined]
    return copy


@functools.cache
def _signature(function: FunctionType) -> inspect.Signature:
    """What a function takes, also when its code is exchanged later."""
    return inspect.signature(function)


def _calling(target: Callable[..., Any]) -> CodeType:
    """Code that calls something else with whatever it is given."""

    def call(*args: Any, **kwargs: Any) -> Any:
        function: Any = "\0what is called instead"
        return function(*args, **kwargs)

    code = call.__code__
    return code.replace(co_consts=tuple(target if const == _TARGET else const for const in code.co_consts))
