"""One arm: a forked process in which the program's own loop goes on with a change, and is recorded for some steps."""

from __future__ import annotations

import gc
import json
import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

import torch
from torch import Tensor
from torch.nn import functional

from fitwell.experiment import Change
from fitwell.treating.changing.live import Live, apply
from fitwell.treating.forks.guard import shut, told
from fitwell.watching.hooks import arguments_of
from fitwell.watching.losses import objective, right_answers, transformed

CLASSIFICATION = ("cross_entropy", "nll_loss", "binary_cross_entropy", "binary_cross_entropy_with_logits")

Function = Callable[..., Any]


def begin(
    pipe: int, changes: Sequence[Change], steps: int, optimizer: torch.optim.Optimizer, room: float
) -> None:
    """Make this forked process an arm and return: the program goes on in it, until its steps are done.

    Args:
        pipe: each step is written there as a line of JSON (``loss``, ``accuracy``), and in the end ``stopped``.
        changes: that are made.
        steps: of the optimizer, after which the process ends.
        optimizer: whose steps count.
        room: bytes of memory that it may use more than now.
    """
    arm = Arm(pipe, steps, optimizer)
    try:
        gc.freeze()  # what the program had is not finalized here
        gc.enable()
        live = Live(forked=True)
        apply(changes, live)
        arm.listen(live)
        shut(arm.end, room)
    except BaseException as error:
        arm.end(told(error))


@dataclass
class _Group:
    """What was minimized between two steps of any optimizers."""

    values: list[float] = field(default_factory=list)
    right: float = 0.0
    judged: float = 0.0


class Arm:
    """Records the steps of an optimizer, and ends the process after the last."""

    def __init__(self, pipe: int, steps: int, optimizer: torch.optim.Optimizer) -> None:
        self._pipe, self._left, self._optimizer = pipe, steps, optimizer
        self._process = os.getpid()
        self._now, self._before = _Group(), _Group()
        self._within = False  # a step: its closure may be called again and again
        self._unscaled: dict[int, float | Tensor] = {}  # by what a GradScaler made of it
        for name in CLASSIFICATION:
            arguments_of(name, ())  # it looks them up once, and a change may hide them

    def listen(self, live: Live) -> None:
        """See what the program minimizes; after the changes, so that it is what the program means by it."""
        live.replace(torch.autograd, "backward", self._backward)
        live.replace(torch.amp.GradScaler, "scale", self._scale)
        for name in CLASSIFICATION:
            live.replace(functional, name, self._judging(name))
        live.before_step(self._begins)
        live.after_step(self._stepped)

    def end(self, stopped: str | None) -> NoReturn:
        """Be gone.

        Args:
            stopped: why before its time.
        """
        try:
            self._send(stopped=stopped)
        finally:
            os._exit(0)

    def _send(self, **what: Any) -> None:
        os.write(self._pipe, json.dumps(what).encode() + b"\n")

    def _backward(self, old: Function) -> Function:
        def backward(tensors: Any, *args: Any, **kwargs: Any) -> Any:
            roots = (
                [tensors] if isinstance(tensors, Tensor) else [t for t in tensors if isinstance(t, Tensor)]
            )
            if not (self._within and self._now.values):
                with torch.no_grad():
                    self._now.values.append(sum(map(self._value, roots)))
            return old(tensors, *args, **kwargs)

        return backward

    def _value(self, root: Tensor) -> float:
        value = objective([root], [], self._unscaled)[0].value
        return float(root.detach().sum() if value is None else value)

    def _scale(self, old: Function) -> Function:
        def scale(scaler: Any, outputs: Any) -> Any:
            result = old(scaler, outputs)
            if isinstance(result, Tensor) and result.grad_fn is not None and isinstance(outputs, Tensor):
                self._unscaled[result.grad_fn._sequence_nr()] = outputs.detach()
            return result

        return scale

    def _judging(self, name: str) -> Callable[[Function], Function]:
        def make(old: Function) -> Function:
            def loss(*args: Any, **kwargs: Any) -> Any:
                value = old(*args, **kwargs)
                if isinstance(value, Tensor) and value.requires_grad and not transformed():
                    self._judge(name, arguments_of(name, args) | kwargs)
                return value

            return loss

        return make

    def _judge(self, name: str, told: dict[str, Any]) -> None:
        output, target = told.get("input"), told.get("target")
        if not (isinstance(output, Tensor) and isinstance(target, Tensor)):
            return
        with torch.no_grad():
            found = right_answers(name, output.detach(), target, told)
            if found is not None:
                right, counted = found
                self._now.right += float((right & counted).sum())
                self._now.judged += float(counted.expand_as(right).sum())

    def _begins(self, _: torch.optim.Optimizer) -> None:
        self._within = True

    def _stepped(self, optimizer: torch.optim.Optimizer) -> None:
        """A step ends what was minimized before it, for this optimizer or for the next that steps without more."""
        self._within = False
        if self._now.values:
            self._before, self._unscaled = self._now, {}
            self._now = _Group()
        if optimizer is not self._optimizer:
            return
        group, self._before = self._before, _Group()
        if not group.values:
            self.end("it steps without a call of backward")
        loss = sum(group.values)
        accuracy = group.right / group.judged if group.judged else None
        self._send(loss=loss if math.isfinite(loss) else None, accuracy=accuracy)
        self._left -= 1
        if not self._left:
            self.end(None)
