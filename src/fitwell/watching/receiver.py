"""What the probes see, made into moments for the signals and into accounts of the phases."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from types import FrameType
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from fitwell.watching.by_hand import ByHand
from fitwell.watching.hooks import arguments_of
from fitwell.watching.loaders import Loaders
from fitwell.watching.losses import Objective, Seen, judge, read, seen_loss, transformed
from fitwell.watching.module_calls import ModuleCalls
from fitwell.watching.moments import Backward, Call, LossCall, Step
from fitwell.watching.phases import AGAIN
from fitwell.watching.quick import Entry, add
from fitwell.watching.scores import Scores
from fitwell.watching.source import origin, user_frame, where
from fitwell.watching.threads import Thread, optimized

if TYPE_CHECKING:
    from fitwell.watching.watcher import Watcher


class Receiver:
    """Receives everything for a watcher; each method is called under its guard."""

    def __init__(self, watcher: Watcher) -> None:
        self.watcher = watcher
        self.by_hand = ByHand(watcher)
        self.scores = Scores(watcher)
        self.loaders = Loaders(self)
        self.modules = ModuleCalls(watcher, self.scores)
        self._evaluation = -1  # the last one that was looked at

    def loss(self, function: str, value: Any, arguments: tuple[Any, ...]) -> None:
        """A loss function returned."""
        watcher, phases = self.watcher, self.watcher.phases
        if type(value) is not Tensor or value.dim() or transformed():
            return
        self.by_hand.settle()
        if watcher.quick.on and value.requires_grad:  # the look has ended by that
            watcher.quick.take(function, value, arguments)
            return
        told = arguments_of(function, arguments)
        seen, target = seen_loss(function, value, told), told.get("target", told.get("targets"))
        free = 0.0 if value.requires_grad else -watcher.budget.overdraft
        if (
            watcher.level
            or watcher.budget.free > free
            or (not value.requires_grad and phases.evaluation_counts)
        ):
            judge(seen, told)
        if value.requires_grad:
            part = "train"
            self.scores.trained(function, arguments[0])
            phases.computed(seen, target)
        else:
            self.scores.forget()
            watcher.catch_up()
            part = phases.looked(seen, target)
            phases.passes.used()
            watcher.quick.countdown = 1  # the next step resumes training
            self.evaluated(part)
        if watcher.level and isinstance(arguments[0], Tensor):
            call = LossCall(function, value, arguments[0], target, told, part, where())
            watcher.tell("on_loss", call, part)

    def backward(self, tensors: Any, *_: Any) -> None:
        """``backward`` begins."""
        roots = _tensors(tensors)
        self.by_hand.settle()
        first = not self.watcher.phases.window
        found = self.watcher.phases.backward(roots)
        if not self.watcher.level:
            self._begin_quick(found)
            return
        self.watcher.tell("on_backward", self._backward(roots, first))
        self.called("backward", None)

    def _begin_quick(self, found: Objective) -> None:
        """The look ended with the step before this ``backward``, which was done by hand."""
        self.watcher.phases.window.clear()
        if found.value is not None:
            self.watcher.quick.objective(found.value, found.samples)

    def backward_ended(self, _result: None, tensors: Any, *_: Any) -> None:
        """``backward`` has run."""
        if not self.watcher.level:
            return
        moment = self._backward(_tensors(tensors), len(self.watcher.phases.window) == 1)
        self.watcher.tell("after_backward", moment)
        self.by_hand.backward_ended(moment.roots)

    def _backward(self, roots: list[Tensor], first: bool) -> Backward:
        thread = self.watcher.phases.thread
        alive = [reference() for reference in thread.parameters.values()] if thread else []
        return Backward(roots, first, [parameter for parameter in alive if parameter is not None], where())

    def mode_set(self, module: nn.Module, mode: bool = True) -> None:
        """``train`` or ``eval`` was called on a module by the program, not by the module that it is in."""
        caller = sys._getframe(3).f_code
        inner = caller.co_name == "train" and origin(caller.co_filename) == "torch"
        if inner:
            return
        if not mode:
            self.evaluated("")
        if self.watcher.level:
            self.called("train" if mode else "eval", module)

    def evaluated(self, part: str) -> None:
        """An evaluation begins or goes on: it is looked at, too."""
        if part != AGAIN and self.watcher.phases.evaluations != self._evaluation:
            self._evaluation = self.watcher.phases.evaluations
            self.modules.evaluation_begins()
            self.watcher.look_at_evaluation(late=bool(part))

    def scaled(self, result: Any, _scaler: Any, outputs: Any) -> None:
        """A GradScaler scaled a loss: what is minimised is the loss before."""
        if isinstance(result, Tensor) and result.grad_fn is not None and isinstance(outputs, Tensor):
            self.watcher.phases.unscaled[result.grad_fn._sequence_nr()] = read(outputs)

    def compiled(self, *models: Any) -> None:
        """``torch.compile`` was called: to look at modules would break its graphs."""
        if models and isinstance(models[0], nn.Module):
            self.watcher.models.called(models[0], user_frame())
        self.watcher.give_up_modules("torch.compile is used: what happens within the model is not seen")

    def function_gradient_begins(
        self, _function: Any, argnums: Any, _has_aux: bool, args: Any, _kwargs: Any
    ) -> None:
        """``torch.func.grad`` or ``grad_and_value`` begins."""
        self.by_hand.function_begins(argnums, args)

    def function_gradient_ended(self, result: Any, *_: Any) -> None:
        """``torch.func.grad`` or ``grad_and_value`` has computed a gradient."""
        self.by_hand.function_ended(result)

    def called(self, what: str, on: Any, result: Any = None, frame: FrameType | None = None) -> None:
        """Something in the order of a step was called, by that frame if one is given."""
        self.watcher.tell("on_call", Call(what, on, result, where(frame)))

    def before_step(self, optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
        """An optimizer is about to step."""
        thread = self.watcher.threads.of(optimizer)
        self.watcher.tell("before_step", self._step(thread, optimizer, _closure(args, kwargs), None))

    def stepped(self, optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
        """An optimizer stepped, and is looked at or has more to be done about."""
        now, watcher = time.perf_counter(), self.watcher
        self.scores.stepped()
        if watcher.threads.known(optimizer) is None:
            self.called("first step", optimizer)
        thread = watcher.threads.of(optimizer)
        if not watcher.level:
            self._evaluated_with_graph(thread)
        thread.steps += 1
        watcher.phases.passes.fresh = False
        seconds = (now - thread.stepped) / (thread.steps - thread.known) if thread.known else None
        thread.stepped, thread.known = now, thread.steps
        if watcher.level:
            self.called("step", optimizer)
            step = self._step(thread, optimizer, _closure(args, kwargs), seconds)
            losses = [each.loss for each in watcher.phases.step(thread) if each.loss is not None]
            step.loss = sum(losses) / len(losses) if losses else None
            watcher.looked(thread, step)
        else:
            self._catch_up(thread)
        if not watcher.level:
            watcher.plan(thread, seconds or 0.0)

    def stepped_by_hand(self) -> None:
        """A program that updates its weights by itself has more to be done about."""
        thread = self.by_hand.thread
        if thread is None:
            return
        self.watcher.phases.resumed()
        now = time.perf_counter()
        seconds = (now - thread.stepped) / max(1, thread.steps - thread.known)
        thread.stepped, thread.known = now, thread.steps
        self._catch_up(thread)
        self.watcher.plan(thread, seconds)

    def _evaluated_with_graph(self, thread: Thread) -> None:
        """What was computed before this step, and nothing came of it, was an evaluation without ``no_grad``."""
        phases, waiting = self.watcher.phases, self._waiting(thread)
        if not thread.steps and len(waiting) != thread.losses_a_step:
            thread.losses_a_step = 0  # it is another training than the one before
        if thread.losses_a_step and not thread.by_backward:
            self._looked_at(thread, waiting[: -thread.losses_a_step])
        phases.resumed()

    def finish(self) -> None:
        """The program has ended, perhaps with an evaluation."""
        self.scores.settle()
        self.by_hand.settle()
        thread, quick = self.watcher.phases.thread, self.watcher.quick
        if thread is not None and thread.losses_a_step and not thread.by_backward:
            self._looked_at(thread, quick.losses)

    def _looked_at(self, thread: Thread, losses: list[Entry]) -> None:
        for function, value, samples, loading in losses:
            mean = value / samples if thread.summed and samples else value
            self.watcher.phases.looked(Seen(function, mean, samples), loading=loading)

    def _catch_up(self, thread: Thread) -> None:
        """Account for the steps that nobody looked at, up to this one."""
        phases, waiting = self.watcher.phases, self._waiting(thread)
        phases.arrived(thread)
        if thread.losses_a_step:
            add(thread, waiting[-thread.losses_a_step :])
        else:
            thread.quick_samples += max((samples for _, _, samples, _ in waiting), default=0)
        self.watcher.quick.begin(True)
        phases.unwatched(thread)

    def _waiting(self, thread: Thread) -> list[Entry]:
        quick = self.watcher.quick
        return quick.objectives if thread.by_backward else quick.losses

    def _step(
        self, thread: Thread, optimizer: torch.optim.Optimizer, closure: bool, seconds: float | None
    ) -> Step:
        named = self.watcher.threads.named(thread, list(optimized(optimizer)))
        gradients = [each.tensor.grad for each in named]
        return Step(thread.name, thread.steps, optimizer, named, gradients, thread.layers, closure, seconds)


def _tensors(tensors: Any) -> list[Tensor]:
    return [tensors] if isinstance(tensors, Tensor) else [t for t in tensors if isinstance(t, Tensor)]


def _closure(args: Any, kwargs: Mapping[str, Any]) -> bool:
    return (args[1] if len(args) > 1 else kwargs.get("closure")) is not None
