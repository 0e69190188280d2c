"""Whether graphs outlive their step: ``total += loss`` keeps the graph of every loss alive."""

from __future__ import annotations

import weakref
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from fitwell.watching.moments import Backward, LossCall, ModuleCall, Step
from fitwell.watching.signal import Signal
from fitwell.watching.signals.memory import resident
from fitwell.watching.source import Where

MOST_NODES = 5_000  # of a graph that are counted
MOST_KEPT = 1_000  # losses that are followed
MOST_OF_STEP = 20  # losses of one step that are followed
WARM_UP = 5  # steps until what is needed every step has been allocated
MEMORY_EVERY = 4  # looks: to read it takes longer than all the rest
KEY = "fitwell"


class _Alive:
    """Put into a node of a graph, it lives as long as the node."""

    __slots__ = ("__weakref__",)


@dataclass(frozen=True, slots=True)
class _Followed:
    step: int
    alive: weakref.ref[_Alive]
    where: Where | None


@dataclass
class _Line:
    """A straight line fitted to points one by one."""

    count: int = 0
    x: float = 0.0
    y: float = 0.0
    xx: float = 0.0
    xy: float = 0.0

    def add(self, x: float, y: float) -> None:
        """Add a point; the means are moved, so that no large sums are subtracted from each other."""
        self.count += 1
        before = x - self.x
        self.x += before / self.count
        self.y += (y - self.y) / self.count
        self.xx += before * (x - self.x)
        self.xy += before * (y - self.y)

    @property
    def slope(self) -> float | None:
        """Of the least squares; None with fewer than three points."""
        return self.xy / self.xx if self.count > 2 and self.xx else None


@dataclass
class _Thread:
    followed: list[_Followed] = field(default_factory=list)
    steps: int = 0
    most: int = 0  # earlier steps whose losses were alive
    where: Where | None = None  # of the first of them
    nodes: _Line = field(default_factory=_Line)
    memory: _Line = field(default_factory=_Line)


class _GraphGrowth:
    def __init__(self) -> None:
        self._threads: dict[str, _Thread] = {}
        self._found: list[tuple[weakref.ref[_Alive], Where | None]] = []  # since the last step
        self._nodes = 0

    def on_loss(self, call: LossCall) -> None:
        self._follow(call.value.grad_fn, call.where)

    def on_module(self, call: ModuleCall) -> None:
        output = call.output[0] if isinstance(call.output, (tuple, list)) and call.output else call.output
        if call.depth == 0 and isinstance(output, Tensor):
            self._follow(output.grad_fn, None)

    def on_backward(self, backward: Backward) -> None:
        for root in backward.roots[:MOST_OF_STEP]:
            self._follow(root.grad_fn, backward.where)
        self._nodes = max(self._nodes, _count([root.grad_fn for root in backward.roots]))

    def after_step(self, step: Step) -> None:
        thread = self._threads.setdefault(step.thread, _Thread())
        thread.followed = [each for each in thread.followed if each.alive() is not None]
        retained = len({each.step for each in thread.followed})
        if retained > thread.most:
            thread.most, thread.where = retained, next((e.where for e in thread.followed if e.where), None)
        thread.followed += [_Followed(step.number, alive, where) for alive, where in self._found]
        del thread.followed[:-MOST_KEPT]
        self._found = []
        thread.steps += 1
        step.record("graph/retained_losses", retained)
        if self._nodes:
            step.record("graph/nodes", self._nodes)
            thread.nodes.add(step.number, self._nodes)
            self._nodes = 0
        due = step.number > WARM_UP and thread.steps % MEMORY_EVERY == 0
        if due and (held := resident()) is not None:
            thread.memory.add(step.number, held)

    def facts(self) -> dict[str, Any]:
        return {name: _about(thread) for name, thread in self._threads.items()}

    def _follow(self, node: Any, where: Where | None) -> None:
        metadata = getattr(node, "metadata", None)
        if metadata is None or KEY in metadata or len(self._found) >= MOST_OF_STEP:
            return
        alive = _Alive()
        metadata[KEY] = alive
        self._found.append((weakref.ref(alive), where))


def _about(thread: _Thread) -> dict[str, Any]:
    last = max((each.step for each in thread.followed), default=0)
    kept = [each for each in thread.followed if each.step < last and each.alive() is not None]
    return {
        "steps": thread.steps,
        "retained_losses": len({each.step for each in kept}),
        "where": thread.where and thread.where.plain(),
        "nodes_per_step": thread.nodes.slope,
        "megabytes_per_step": thread.memory.slope,
    }


def _count(roots: list[Any]) -> int:
    """The nodes that these lead to, themselves among them; counting ends at a bound."""
    seen = {root for root in roots if root is not None}
    queue = list(seen)
    while queue and len(seen) < MOST_NODES:
        for below, _ in queue.pop().next_functions:
            if below is not None and below not in seen:
                seen.add(below)
                queue.append(below)
    return len(seen)


SIGNAL = Signal(
    units={"graph/nodes": "nodes", "graph/retained_losses": "steps"}, cost="constant", start=_GraphGrowth
)
