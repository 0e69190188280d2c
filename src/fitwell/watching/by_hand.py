"""Training without an optimizer: ``p -= lr * p.grad``, or gradients from ``torch.func.grad``.

A step is known when it is over: at the next gradient the parameters are others than at the last one.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.utils._pytree import keystr, tree_flatten_with_path

from fitwell.watching.losses import Number, Objective, read
from fitwell.watching.moments import Named, Step
from fitwell.watching.tensors import dense, measurable, thinned
from fitwell.watching.threads import Thread

if TYPE_CHECKING:
    from fitwell.watching.watcher import Watcher

MOST_NODES = 20_000
MOST_COPIED = 1 << 22  # elements of gradients that are copied before it is known that there is no optimizer


@dataclass
class Gradient:
    """A gradient that was computed and whose use is not known yet.

    Args:
        parameters: the tensors it was computed for.
        names: of them, where they have any.
        before: samples of their values then.
        gradients: copies, for the program may clear its own.
        value: the loss, if a function told it.
    """

    parameters: Sequence[Tensor]
    names: Sequence[str]
    before: Sequence[Tensor]
    gradients: Sequence[Tensor | None]
    value: Number | None = None


class ByHand:
    """Finds the steps of programs that update their parameters by themselves."""

    def __init__(self, watcher: Watcher) -> None:
        self.watcher = watcher
        self.thread: Thread | None = None
        self._waiting: Gradient | None = None
        self._arguments: list[Any] = []  # of torch.func.grad, while it runs

    def settle(self) -> None:
        """If the parameters were changed since the last gradient, that was a step."""
        waiting, self._waiting = self._waiting, None
        if waiting is None or self.watcher.threads.optimized:
            return
        if waiting.names:
            # Of a function: the new parameters are not known yet, but what comes now is no part of this step.
            if self.thread is None:
                self._waiting = waiting
            else:
                self._count(self.thread, waiting.value)
            return
        if not _changed(waiting.before, waiting.parameters):
            return
        thread = self._begun(list(waiting.parameters))
        seconds = self._timed(thread)
        objectives = self.watcher.phases.step(thread)
        thread.by_backward, thread.losses_a_step = True, 1
        losses = [each.loss for each in objectives if each.loss is not None]
        self._stepped(thread, waiting, seconds, losses[0] if losses else None)

    def backward_ended(self, roots: Sequence[Tensor]) -> None:
        """A gradient was computed."""
        if self.watcher.threads.optimized:
            return
        parameters = [leaf for leaf in leaves(roots) if leaf.grad is not None]
        if parameters:
            known = self.thread is not None or sum(map(Tensor.numel, parameters)) <= MOST_COPIED
            gradients = [p.grad.clone() if known and p.grad is not None else None for p in parameters]
            self._wait(Gradient(parameters, [], [_sample(p) for p in parameters], gradients))

    def function_begins(self, argnums: Any, args: tuple[Any, ...]) -> None:
        """``torch.func.grad`` begins: what it is given is what the last step made."""
        outermost = not (torch._C._are_functorch_transforms_active() or self.watcher.threads.optimized)
        self._arguments.append((argnums, args) if outermost else None)
        if not outermost or not isinstance(argnums, int):
            return
        names, parameters = _leaves_of(args[argnums])
        waiting, self._waiting = self._waiting, None
        if waiting is None or len(waiting.parameters) != len(parameters):
            return
        if not _changed(waiting.before, parameters):
            return
        thread = self._begun(list(parameters))
        waiting.parameters, waiting.names = parameters, names
        seconds = self._count(thread, waiting.value)
        self._stepped(thread, waiting, seconds, waiting.value)

    def function_ended(self, result: Any) -> None:
        """``torch.func.grad`` has computed a gradient."""
        told = self._arguments.pop() if self._arguments else None
        if told is None or not isinstance(told[0], int):
            return
        gradient, output = result
        value = output[0] if isinstance(output, tuple) else output
        if self.thread is not None and not self.watcher.level and isinstance(value, Tensor):
            self.watcher.plan(self.thread, self._count(self.thread, read(value)) or 0.0)
            return
        names, parameters = _leaves_of(told[1][told[0]])
        gradients = _leaves_of(gradient)[1]
        if parameters and len(parameters) == len(gradients) and isinstance(value, Tensor):
            before = [_sample(p) for p in parameters]
            self._waiting = Gradient(parameters, names, before, gradients, read(value))

    def _begun(self, parameters: list[Tensor]) -> Thread:
        """The thread: there is one, for what is optimized by hand belongs together."""
        if self.thread is None:
            self.thread = self.watcher.threads.begin(parameters)
            self.thread.optimizers.append("by hand")
        return self.thread

    def _wait(self, gradient: Gradient) -> None:
        self._waiting = gradient
        if self.thread is not None and self.watcher.level:
            self.watcher.tell("before_step", self._step(self.thread, gradient, None, None))

    def _timed(self, thread: Thread) -> float | None:
        """A step more; return the seconds that it took."""
        now = time.perf_counter()
        thread.steps += 1
        self.watcher.phases.passes.fresh = False
        seconds = (now - thread.stepped) / (thread.steps - thread.known) if thread.known else None
        thread.stepped, thread.known = now, thread.steps
        return seconds

    def _count(self, thread: Thread, value: Number | None) -> float | None:
        """Account for a step of which nothing but the loss is known; return the seconds that it took."""
        seconds = self._timed(thread)
        self.watcher.phases.stepped_by_hand(thread, Objective(value, []))
        return seconds

    def _stepped(
        self, thread: Thread, gradient: Gradient, seconds: float | None, loss: Number | None
    ) -> None:
        if self.watcher.level and any(each is not None for each in gradient.gradients):
            self.watcher.looked(thread, self._step(thread, gradient, seconds, loss))
        if not self.watcher.level:
            self.watcher.plan(thread, seconds or 0.0)

    def _step(self, thread: Thread, gradient: Gradient, seconds: float | None, loss: Number | None) -> Step:
        if gradient.names:
            paths = [name.rpartition(".") for name in gradient.names]
            named = [
                Named(layer or name, name, tensor)
                for (layer, _, name), tensor in zip(paths, gradient.parameters, strict=True)
            ]
        else:
            named = self.watcher.threads.named(thread, list(gradient.parameters))
        return Step(
            thread.name, thread.steps, None, named, gradient.gradients, thread.layers, False, seconds, loss
        )


def leaves(roots: Sequence[Tensor]) -> Iterator[Tensor]:
    """The tensors that a graph accumulates gradients in, in no particular order."""
    seen: set[Any] = set()
    queue = [root.grad_fn for root in roots if root.grad_fn is not None]
    while queue and len(seen) < MOST_NODES:
        node = queue.pop()
        if node in seen:
            continue
        seen.add(node)
        if type(node).__name__ == "AccumulateGrad":
            yield node.variable  # type: ignore[attr-defined]
        queue.extend(below for below, _ in node.next_functions if below is not None)


def _changed(before: Sequence[Tensor], parameters: Sequence[Tensor]) -> bool:
    return any(not torch.equal(old, _sample(new)) for old, new in zip(before, parameters, strict=True))


def _sample(parameter: Tensor) -> Tensor:
    return thinned(dense(parameter)).clone() if measurable(parameter) else parameter.new_zeros(0)


def _leaves_of(tree: Any) -> tuple[list[str], list[Tensor]]:
    """The tensors of a dict, list or tuple of them, with their names."""
    found, _ = tree_flatten_with_path(tree)
    kept = [(path, leaf) for path, leaf in found if isinstance(leaf, Tensor)]
    names = [".".join(keystr((key,)).strip("[]'\".") for key in path) or "parameters" for path, _ in kept]
    return names, [leaf for _, leaf in kept]
