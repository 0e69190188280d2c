"""The steps between two looks: counted, and their losses added up, in a few microseconds each.

Here nothing is found out. What the last look learned of a thread holds: it computes so many losses a step and all
are trained on, or it propagates back so often. A step at which that does not hold is examined by the watcher.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from torch import Tensor

from fitwell.watching.losses import Number

if TYPE_CHECKING:
    import torch

    from fitwell.watching.threads import Thread

MOST = 10_000  # losses that wait for a step

Entry = tuple[str, Number, int]  # function, value, samples


class Quick:
    """Receives losses and steps while nobody looks.

    Args:
        loss: takes a loss that is not trained on: (function, value, arguments).
        step: takes a step at which there is more to do: (optimizer, args, kwargs).
        step_by_hand: the same, where there is no optimizer.
        thread_of: the thread of an optimizer.
    """

    def __init__(
        self,
        loss: Callable[..., None],
        step: Callable[..., None],
        step_by_hand: Callable[[], None],
        thread_of: Callable[[torch.optim.Optimizer], Thread],
    ) -> None:
        self.on = False
        self.alarm = False  # a loss was not finite
        self.countdown = 0  # steps until there is more to do
        self.losses: list[Entry] = []
        self.objectives: list[Entry] = []
        self.by_hand: Thread | None = None  # the thread of a program without an optimizer
        self._loss, self._step, self._thread_of = loss, step, thread_of
        self._stepped_by_hand = step_by_hand
        self._optimizer: Callable[[], torch.optim.Optimizer | None] = lambda: None  # that steps
        self._thread: Thread | None = None  # its thread
        self._waiting = self.losses  # what its losses are taken from
        self._steps = 0  # that are not counted in the thread yet
        self._expected = 0  # entries that they have

    def loss_hook(self, function: str) -> Callable[..., None]:
        """What a loss function calls when it returns."""
        losses, slow = self.losses, self._loss

        def loss(value: Any, *arguments: Any) -> None:
            if self.on and type(value) is Tensor and value.requires_grad:
                try:
                    number = value.item() if value.is_cpu else value.detach()
                    losses.append((function, number, arguments[0].size(0)))
                except (AttributeError, IndexError, RuntimeError, ValueError):
                    return  # not a scalar, or within a function transform
                if type(number) is float and number - number != 0.0:  # not finite
                    self.alarm, self.countdown = True, 1
                if len(losses) > 2 * MOST:
                    self._forget()
            else:
                slow(function, value, arguments)

        return loss

    def backward_hook(self, roots: Any, *_: Any) -> None:
        """What ``backward`` calls when it begins, where a thread's loss is none of torch's functions."""
        if self.on and type(roots) is Tensor:
            try:
                number = roots.item() if roots.is_cpu else roots.detach()
            except (RuntimeError, ValueError):
                return
            self.objectives.append(("", number, 1))
            if self.by_hand is not None:
                self._step_by_hand(self.by_hand)

    def _step_by_hand(self, thread: Thread) -> None:
        """Where there is no optimizer each ``backward`` belongs to a step."""
        self.countdown -= 1
        thread.steps += 1
        if self.countdown <= 0:
            self._stepped_by_hand()
        else:
            add(thread, self.objectives)
            self.losses.clear()
            self.objectives.clear()

    def step_hook(self, optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
        """What an optimizer calls when it has stepped."""
        self.countdown -= 1
        if not self.on or self.countdown <= 0:
            self._step(optimizer, args, kwargs)
            return
        if self._optimizer() is not optimizer:
            self._turn_to(optimizer)
        thread = self._thread
        self._expected += thread.losses_a_step  # type: ignore[union-attr]
        if thread.losses_a_step and len(self._waiting) != self._expected:  # type: ignore[union-attr]
            self._expected -= thread.losses_a_step  # type: ignore[union-attr]
            self._step(optimizer, args, kwargs)
            return
        self._steps += 1

    def begin(self, on: bool) -> None:
        """Nobody looks from now on; losses that wait are forgotten."""
        self.on = on
        self._forget()
        self._optimizer, self._steps, self._expected = (lambda: None), 0, 0

    def flush(self) -> None:
        """Count what was received in its thread; losses since the last step go on waiting."""
        steps, expected, thread = self._steps, self._expected, self._thread
        self._steps = self._expected = 0
        if not steps or thread is None:
            return
        thread.steps += steps
        if thread.losses_a_step:
            add(thread, self._waiting[:expected])
            del self._waiting[:expected]
            (self.losses if self._waiting is self.objectives else self.objectives).clear()
        else:
            self._forget()

    @property
    def latest(self) -> Thread | None:
        """The thread that stepped last."""
        return self._thread

    def _turn_to(self, optimizer: torch.optim.Optimizer) -> None:
        self.flush()
        self._optimizer, self._thread = weakref.ref(optimizer), self._thread_of(optimizer)
        if not self._thread.looked:
            self.countdown = 1
        self._waiting = self.objectives if self._thread.by_backward else self.losses
        (self.losses if self._thread.by_backward else self.objectives).clear()

    def _forget(self) -> None:
        self.losses.clear()
        self.objectives.clear()


def add(thread: Thread, losses: list[Entry]) -> None:
    """Add losses that were trained on to their thread."""
    for _, value, samples in losses:
        thread.quick_sum += value if thread.summed else value * samples
        thread.quick_samples += samples
