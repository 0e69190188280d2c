"""The steps between two looks: counted, and their losses added up, in a few microseconds each.

Here nothing is found out. What the last look learned of a thread holds: it computes so many losses a step and all
are trained on, or it propagates back so often. A step at which that does not hold is examined by the watcher.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from threading import get_ident
from typing import TYPE_CHECKING, Any

from torch import Tensor

from fitwell.watching.losses import Number, transformed

if TYPE_CHECKING:
    import torch

    from fitwell.watching.passes import Passes
    from fitwell.watching.threads import Thread

MOST = 10_000  # losses that wait for a step

Entry = tuple[str, Number, int, Any]  # function, value, samples, what the loader took its last batch from


class Quick:
    """Receives losses and steps while nobody looks.

    Args:
        loss: takes a loss that is not trained on: (function, value, arguments).
        step: takes a step at which there is more to do: (optimizer, args, kwargs).
        step_by_hand: the same, where there is no optimizer.
        thread_of: the thread of an optimizer; None if it has not stepped before.
        passes: is told what losses are computed with.
    """

    def __init__(
        self,
        loss: Callable[..., None],
        step: Callable[..., None],
        step_by_hand: Callable[[], None],
        thread_of: Callable[[torch.optim.Optimizer], Thread | None],
        passes: Passes,
    ) -> None:
        self.on = False
        self.alarm = False  # a loss was not finite
        self.countdown = 0  # steps until there is more to do
        self.losses: list[Entry] = []
        self.objectives: list[Entry] = []
        self.by_hand: Thread | None = None  # the thread of a program without an optimizer
        self._owner = get_ident()
        self._loss, self._step, self._thread_of, self._passes = loss, step, thread_of, passes
        self._stepped_by_hand = step_by_hand
        self._optimizer: Callable[[], torch.optim.Optimizer | None] = lambda: None  # that steps
        self._thread: Thread | None = None  # its thread
        self._waiting, self._other = (
            self.losses,
            self.objectives,
        )  # what its losses are taken from, and are not
        self._steps = 0  # that are not counted in the thread yet
        self._expected = 0  # entries that they have

    def loss_hook(self, function: str) -> Callable[..., None]:
        """What a loss function calls when it returns."""
        slow = self._loss

        def loss(value: Any, *arguments: Any) -> None:
            if self.on and type(value) is Tensor and value.requires_grad:
                self.take(function, value, arguments)
            else:
                slow(function, value, arguments)

        return loss

    def take(self, function: str, value: Tensor, arguments: tuple[Any, ...]) -> None:
        """A loss that has a graph."""
        if get_ident() != self._owner or transformed():
            return
        passes = self._passes
        loading, slices = passes.loading, passes.slices
        try:
            number = value.item() if value.is_cpu else value.detach()
            self.losses.append((function, number, arguments[0].size(0), loading))
            if loading is not None:
                passes.used()
            passes.targeted = weakref.ref(arguments[1])
        except (AttributeError, IndexError, RuntimeError, TypeError, ValueError):
            return  # neither a scalar nor a batch
        if slices is not None and slices.see(arguments[1]):
            self.countdown = 1  # a pass is over
        if type(number) is float and number - number != 0.0:  # not finite
            self.alarm, self.countdown = True, 1
        if len(self.losses) > 2 * MOST:
            self._forget()

    def batch_hooks(
        self, asked: Callable[[Any], None], given: Callable[[Any, Any], None]
    ) -> tuple[Callable[[Any], None], Callable[[Any, Any], None]]:
        """What a DataLoader calls when it is asked for a batch, and when it gives one.

        Args:
            asked: is told that another loader is asked for a batch than the one that gave the last.
            given: is given the batch of such a loader.
        """
        owner, passes = self._owner, self._passes

        def ask(iterator: Any) -> None:
            if self.on and get_ident() == owner and passes.gives_again(iterator):
                passes.asked(iterator)
            else:
                asked(iterator)

        def give(batch: Any, iterator: Any) -> None:
            if self.on and get_ident() == owner and passes.gives_again(iterator):
                passes.given_again(iterator._num_yielded)
            else:
                given(batch, iterator)

        return ask, give

    def backward_hook(self, roots: Any, *_: Any) -> None:
        """What ``backward`` calls when it begins, where a thread's loss is none of torch's functions."""
        if self.on and type(roots) is Tensor and get_ident() == self._owner and not transformed():
            try:
                number = roots.item() if roots.is_cpu else roots.detach()
            except (RuntimeError, ValueError):
                return
            self.objective(number, self.losses[-1][2] if self.losses else 0)

    def objective(self, value: Number, samples: int) -> None:
        """A value that ``backward`` starts from, of a batch of so many samples; 0 if that is unknown."""
        self.objectives.append(("", value, samples, None))
        if self.by_hand is not None:
            self._step_by_hand(self.by_hand)

    def _step_by_hand(self, thread: Thread) -> None:
        """Where there is no optimizer each ``backward`` belongs to a step."""
        self.countdown -= 1
        thread.steps += 1
        self._passes.fresh = False
        if self.countdown <= 0:
            self._stepped_by_hand()
        else:
            add(thread, self.objectives)
            self.losses.clear()
            self.objectives.clear()

    def step_hook(self, optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
        """What an optimizer calls when it has stepped."""
        if get_ident() != self._owner:
            return
        self.countdown -= 1
        if not self.on or self.countdown <= 0:
            self._step(optimizer, args, kwargs)
            return
        if self._optimizer() is not optimizer and not self._turned_to(optimizer):
            self._step(optimizer, args, kwargs)
            return
        thread = self._thread
        self._expected += thread.losses_a_step  # type: ignore[union-attr]
        if thread.losses_a_step and len(self._waiting) != self._expected:  # type: ignore[union-attr]
            self._expected -= thread.losses_a_step  # type: ignore[union-attr]
            self._step(optimizer, args, kwargs)
            return
        self._steps += 1
        self._passes.fresh = False
        self._other.clear()
        if not thread.losses_a_step:  # type: ignore[union-attr]
            self._waiting.clear()

    def begin(self, on: bool) -> None:
        """Nobody looks from now on; losses that wait are forgotten."""
        self.on = on
        self._forget()
        self._optimizer, self._steps, self._expected = (lambda: None), 0, 0

    def flush(self) -> None:
        """Count what was received in its thread; losses since the last step go on waiting."""
        steps, expected, thread = self._steps, self._expected, self._thread
        self._steps = self._expected = 0
        if steps and thread is not None:
            thread.steps += steps
            add(thread, self._waiting[:expected])
            del self._waiting[:expected]

    @property
    def latest(self) -> Thread | None:
        """The thread that stepped last."""
        return self._thread

    def _turned_to(self, optimizer: torch.optim.Optimizer) -> bool:
        """Whether the steps that are counted now are those of this optimizer; of one that is not known none are."""
        self.flush()
        thread = self._thread_of(optimizer)
        if thread is None:
            return False
        self._optimizer, self._thread = weakref.ref(optimizer), thread
        both = self.losses, self.objectives
        self._other, self._waiting = both if thread.by_backward else both[::-1]
        return True

    def _forget(self) -> None:
        self.losses.clear()
        self.objectives.clear()


def add(thread: Thread, losses: list[Entry]) -> None:
    """Add losses that were trained on to their thread."""
    for function, value, samples, _ in losses:
        weight = samples or 1
        thread.quick_sum += value if thread.summed and function else value * weight
        thread.quick_weight += weight
        thread.quick_samples += samples
