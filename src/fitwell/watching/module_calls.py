"""The calls of modules: which model is called, which layer within it, and whose activation comes after whose."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from types import FrameType
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from fitwell.watching.losses import transformed
from fitwell.watching.moments import ModuleCall
from fitwell.watching.source import user_frame

if TYPE_CHECKING:
    from fitwell.watching.scores import Scores
    from fitwell.watching.watcher import Watcher

EVALUATED = 4  # batches of an evaluation that are looked at
SCORED = 50  # batches whose answers are counted, if nothing but the model's output tells of them


class ModuleCalls:
    """Follows the calls of modules while everything is looked at."""

    def __init__(self, watcher: Watcher, scores: Scores) -> None:
        self.watcher, self.scores = watcher, scores
        self._calls: list[ModuleCall] = []  # of modules that have not returned
        self._layer: ModuleCall | None = None  # the last call of a module without children
        self._evaluated = 0  # batches of this evaluation

    def begin(self) -> None:
        """A look begins."""
        self._calls.clear()
        self._layer = None

    def evaluation_begins(self) -> None:
        """Count its batches anew."""
        self._evaluated, self.scores.counted = 0, False

    def called(self, module: nn.Module, args: Any, kwargs: Any) -> None:
        """A module is called."""
        if self._calls and not _within_call():
            self._calls.clear()  # an exception ended them
        if not self._calls and not transformed():
            if self.watcher.break_off() or self._seen_enough():
                return
            self.watcher.models.called(module, user_frame())
            self._layer = None
        inputs = (*args, *kwargs.values()) if kwargs else args
        self._calls.append(ModuleCall(module, inputs, None, "", len(self._calls), None, tuple(kwargs)))

    def _seen_enough(self) -> bool:
        """Whether so many batches of this evaluation were looked at that the look may end."""
        if torch.is_grad_enabled() or not self.watcher.looks_at_evaluation:
            return False
        self._evaluated += 1
        most = SCORED if self.scores.counted else EVALUATED
        return self._evaluated > most and self.watcher.end_look()

    def returned(self, output: Any, module: nn.Module, _args: Any, _kwargs: Any) -> None:
        """A module returned. Calls that an exception ended are forgotten."""
        if not any(call.module is module for call in self._calls):
            return
        while (call := self._calls.pop()).module is not module:
            pass
        if transformed():
            return
        call.output, call.before = output, self._layer
        call.part = "train" if has_graph(output) else self.watcher.phases.part()
        if not call.depth and call.part != "train":
            self.scores.answered(output)
        if self._evaluated <= EVALUATED:
            self.watcher.tell("on_module", call, call.part)
        call.before = None
        if call.is_layer:
            self._layer = call


def has_graph(output: Any) -> bool:
    """Whether a module's output, or one of several, belongs to a graph."""
    if isinstance(output, Mapping):
        output = tuple(output.values())
    found = output if isinstance(output, (tuple, list)) else (output,)
    return any(isinstance(each, Tensor) and each.requires_grad for each in found)


def _within_call() -> bool:
    """Whether the module that is called now is called by another one."""
    frame: FrameType | None = sys._getframe(4)  # above the call, its probe and the guard
    called = nn.Module._call_impl.__code__
    while frame is not None and frame.f_code is not called:
        frame = frame.f_back
    return frame is not None
