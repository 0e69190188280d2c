"""The losses of each phase: which loss was trained on, which was only looked at, and what they average to.

A loss that has no graph was computed to look at. One that has a graph waits until ``backward`` runs from it, or from
something near it: then it was trained on. What waits in vain was looked at too (evaluation without ``no_grad``).
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from fitwell.watching.answers import Answers, answers

NEAR = 64  # nodes of the graph that are searched for losses, and a few more for each
Number = float | Tensor  # on another device than the CPU a value stays a tensor, so that nothing waits for it


def read(value: Tensor) -> Number:
    """A scalar's value, without waiting for another device."""
    return value.item() if value.device.type == "cpu" else value.detach()


@dataclass(slots=True)
class Seen:
    """A loss that was computed: by which function, from how many samples, and how many of those were right."""

    function: str
    value: Number
    samples: int
    sequence: int | None = None  # of its node in the graph
    correct: Number = 0.0
    judged: Number = 0
    summed: bool = False  # it was a sum over its samples; ``value`` is the mean
    answers: Answers | None = None  # of a classifier without a graph


@dataclass
class Totals:
    """Sums over a pass: of each loss function, of what was minimised, of right answers."""

    sums: dict[str, tuple[Number, float]] = field(default_factory=dict)  # of values, and of weights
    correct: Number = 0.0
    judged: Number = 0
    answers: Answers | None = None
    batches: int = 0

    def add(self, name: str, value: Number, weight: float) -> None:
        """Add a value to the mean of this name."""
        total, weights = self.sums.get(name, (0.0, 0.0))
        self.sums[name] = (total + value * weight, weights + weight)

    def count(self, seen: Seen) -> None:
        """Add a loss."""
        self.add(seen.function, seen.value, seen.samples)
        self.batches += 1
        self.correct, self.judged = self.correct + seen.correct, self.judged + seen.judged
        if seen.answers is not None and self.answers is not None:
            self.answers.add(seen.answers)
        else:
            self.answers = self.answers or seen.answers

    @property
    def samples(self) -> int:
        """How many were judged; 0 unless all that a loss was computed of were, with one answer each."""
        weights = {weight for _, weight in self.sums.values() if weight}
        judged = int(self.judged) if isinstance(self.judged, (int, float)) else 0
        return judged if weights <= {float(judged)} else 0

    def means(self) -> dict[str, Number]:
        """The mean of each name."""
        return {name: total / weight for name, (total, weight) in self.sums.items() if weight}


@dataclass(slots=True)
class Objective:
    """What one backward pass minimised: its value, and the recognised losses that it is made of."""

    value: Number | None
    parts: list[Seen]

    @property
    def loss(self) -> Number | None:
        """The loss as its author means it: the one loss function, if there is one, else what was minimised.

        ``(loss / 4).backward()`` and a scaled loss are smaller or larger than the loss.
        """
        return self.parts[0].value if len(self.parts) == 1 else self.value

    @property
    def function(self) -> str | None:
        """The name of the loss function; None if there are several, or none of torch's."""
        functions = {seen.function for seen in self.parts}
        return functions.pop() if len(functions) == 1 else None

    @property
    def samples(self) -> int:
        """Of the batch that it was computed of, as far as is known: so much does it weigh, and 1 if it is not."""
        return max((seen.samples for seen in self.parts), default=0)


def objective(
    roots: Iterable[Tensor], pending: list[Seen], unscaled: Mapping[int, Number]
) -> tuple[Objective, list[Seen]]:
    """What a backward pass minimises, and the losses that it has nothing to do with.

    Args:
        roots: where it starts.
        pending: losses with a graph that were computed since the last step.
        unscaled: by the sequence number of what a GradScaler made: the loss before.
    """
    root = next(iter(roots), None)
    node = None if root is None else root.grad_fn
    if root is None or node is None:
        return Objective(None, []), pending
    scalar = root.numel() == 1
    sequence = node._sequence_nr()
    value = unscaled.get(sequence) if unscaled else None
    if value is None and scalar:
        value = read(root)
    if len(pending) == 1 and pending[0].sequence == sequence:
        return Objective(value, pending), []
    near = _reached(node, {seen.sequence for seen in pending if seen.sequence is not None})
    parts = [seen for seen in pending if seen.sequence in near]
    return Objective(value, parts), [seen for seen in pending if seen.sequence not in near]


def _reached(root: Any, wanted: set[int]) -> set[int]:
    """Those of the nodes with these sequence numbers that a graph leads to.

    What was computed last is searched first, and nothing is searched that lies below what is wanted: so the sum
    of a loss over hundreds of time steps takes as many nodes, and none of the model that computed them.
    """
    queue, seen = [(-root._sequence_nr(), 0, root)], {root}
    found: set[int] = set()
    nodes = NEAR + 4 * len(wanted)
    while queue and nodes and len(found) < len(wanted):
        nodes -= 1
        number, _, node = heapq.heappop(queue)
        if -number in wanted:
            found.add(-number)
            continue
        for below, _ in node.next_functions:
            # That of a parameter is higher than any other.
            if below is not None and below not in seen and below._sequence_nr() <= -number:
                seen.add(below)
                heapq.heappush(queue, (-below._sequence_nr(), len(seen), below))
    return found


_modes, _trace = torch._C._len_torch_dispatch_stack, torch._C._get_tracing_state
_transforms = torch._C._are_functorch_transforms_active


def recorded() -> bool:
    """Whether somebody records what is done, in a trace or a dispatch mode: what we do must not be in it."""
    return _modes() > 0 or _trace() is not None


def transformed() -> bool:
    """Whether nothing can be measured: within a function transform, or where somebody records what is done."""
    return _transforms() or _modes() > 0 or _trace() is not None


def seen_loss(function: str, value: Tensor, arguments: Mapping[str, Any]) -> Seen:
    """What is kept of a loss: the mean over its samples, so that a sum and a mean can be compared."""
    input = next(iter(arguments.values()))
    samples = int(input.shape[0]) if isinstance(input, Tensor) and input.dim() else 1
    node = value.grad_fn
    summed = arguments.get("reduction") == "sum"
    sequence = None if node is None else node._sequence_nr()
    mean = read(value) / samples if summed and samples else read(value)
    return Seen(function, mean, samples, sequence, summed=summed)


def judge(seen: Seen, arguments: Mapping[str, Any]) -> None:
    """Count right answers, where the loss is one of classification.

    Cross entropy and negative likelihood: input (N, C, ...), target (N, ...) of class indices, or (N, C, ...) of
    probabilities. Binary cross entropy: input and target of one shape, targets 0 or 1.
    """
    input, target = arguments.get("input"), arguments.get("target")
    if not (isinstance(input, Tensor) and isinstance(target, Tensor)):
        return
    with torch.no_grad():
        found = right_answers(seen.function, input.detach(), target, arguments)
    if found is not None:
        right, counted = found
        seen.correct, seen.judged = read((right & counted).sum()), read(counted.expand_as(right).sum())
        if seen.sequence is None:
            with torch.no_grad():
                seen.answers = answers(seen.function, input.detach(), target, right, counted)


def right_answers(
    function: str, input: Tensor, target: Tensor, arguments: Mapping[str, Any]
) -> tuple[Tensor, Tensor] | None:
    """Which answers are right, and which of them count."""
    if function in ("cross_entropy", "nll_loss"):
        axis = 1 if input.dim() > 1 else 0
        if target.is_floating_point():
            if target.shape != input.shape:
                return None
            right = input.argmax(axis) == target.argmax(axis)
            return right, torch.ones_like(right)
        return input.argmax(axis) == target, target != arguments.get("ignore_index", -100)
    if function.startswith("binary_cross_entropy") and input.shape == target.shape:
        middle = 0.0 if function.endswith("with_logits") else 0.5
        right = (input > middle) == (target > 0.5)
        return right, ((target == 0) | (target == 1)).all()
    return None
