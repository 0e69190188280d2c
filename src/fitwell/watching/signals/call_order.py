"""The order in which a program clears, propagates back, clips and steps."""

from __future__ import annotations

import weakref
from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer

from fitwell.watching.moments import Batch, Call, Step
from fitwell.watching.signal import Signal
from fitwell.watching.source import Where
from fitwell.watching.threads import optimized

FIRST = 5  # steps whose calls are listed one by one
LISTED_THREADS = 3  # whose calls are listed
MOST_THREADS = 20
MOST_CALLS = 2_000  # that wait for a step
CYCLE = 20  # calls of a step that are told
SELDOM = ("made", "load", "first step")  # of no step


@dataclass(frozen=True, slots=True)
class _Entry:
    number: int
    what: str
    on: Callable[[], Any]
    where: Where | None
    batch: int  # of the loader that gave the last one before

    def plain(self) -> dict[str, Any]:
        where = self.where
        return {"what": self.what, "file": where and where.file, "line": where and where.line}


@dataclass
class _Thread:
    last: int = 0  # number of the last call that its steps have used up
    counts: Counter[str] = field(default_factory=Counter)
    cycles: Counter[tuple[str, ...]] = field(default_factory=Counter)
    first: list[list[dict[str, Any]]] = field(default_factory=list)
    where: dict[str, dict[str, Any]] = field(default_factory=dict)
    clips_early: bool = False  # its first step was clipped before anything was propagated back

    def learn(self, calls: list[_Entry], number: int, closure: bool) -> None:
        """Count what the calls of a step say of the order."""
        backwards = [i for i, entry in enumerate(calls) if entry.what == "backward"]
        first, last = (backwards[0], backwards[-1]) if backwards else (len(calls), len(calls))
        self.counts["steps"] += 1
        self.counts["backwards"] += len(backwards)
        self.counts["cleared"] += any(entry.what == "zero_grad" for entry in calls)
        self.counts["scheduler_calls"] += _most_of_one([e for e in calls if e.what == "scheduler"])
        late = [entry for entry in calls[last:] if entry.what == "zero_grad"]
        self._found("cleared_between_backward_and_step", late)
        # A closure is called anew for each point that the optimizer tries.
        self._found("discarded_backward", [] if closure else _discarded(calls, backwards))
        # Later than at the first step, what precedes `backward` follows a step. At the first one a scheduler may come
        # between two backward passes: a GradScaler that found no finite gradient leaves out its first steps.
        early = set(range(first)) if number == 1 and backwards else set()
        soon = [e for i, e in enumerate(calls) if e.what == "scheduler" and (i > last or i in early)]
        self._found("scheduler_before_step", soon)
        self._learn_clips(calls, first, number)
        if len(self.first) < FIRST:
            self.first.append([entry.plain() for entry in calls[:CYCLE]])
        names = tuple(entry.what for entry in calls if entry.what not in ("train", "eval"))
        if len(self.cycles) < MOST_CALLS or names[:CYCLE] in self.cycles:
            self.cycles[names[:CYCLE]] += 1

    def _learn_clips(self, calls: list[_Entry], first: int, number: int) -> None:
        clips = [(i, entry) for i, entry in enumerate(calls) if entry.what == "clip"]
        unscaled = max((i for i, entry in enumerate(calls) if entry.what == "unscale"), default=-1)
        early = [entry for i, entry in clips if i < first < len(calls)]
        if number == 1:
            self.clips_early = bool(early)
        self.counts["clipped"] += bool(clips)
        # Seen from one step to the next both come first; at the first step only one of them does.
        self._found("clip_before_backward", early if self.clips_early else [])
        self._found("clip_after_step", [] if self.clips_early else early)
        self._found("clip_before_unscale", [entry for i, entry in clips if first < i < unscaled])

    def _found(self, what: str, entries: list[_Entry]) -> None:
        self.counts[what] += bool(entries)
        if entries and entries[0].where is not None:
            self.where.setdefault(what, entries[0].where.plain())

    def about(self) -> dict[str, Any]:
        """As JSON."""
        usual = max(self.cycles, key=self.cycles.__getitem__, default=())
        return {**self.counts, "cycle": list(usual), "where": self.where}


class _CallOrder:
    def __init__(self) -> None:
        self._calls: deque[_Entry] = deque(maxlen=MOST_CALLS)
        self._number = self._batches = 0
        self._threads: dict[str, _Thread] = {}

    def on_batch(self, _batch: Batch) -> None:
        self._batches += 1

    def on_call(self, call: Call) -> None:
        if call.what == "scheduler" and getattr(call.on, "_is_initial", False):
            return  # made just now: it steps by itself
        if call.what == "unscale" and not call.on.is_enabled():
            return
        if call.what in SELDOM:
            return
        self._number += 1
        self._calls.append(_Entry(self._number, call.what, _reference(call.on), call.where, self._batches))

    def after_step(self, step: Step) -> None:
        if step.thread not in self._threads and len(self._threads) >= MOST_THREADS:
            return
        thread = self._threads.setdefault(step.thread, _Thread())
        calls = list(takewhile(lambda entry: entry.number > thread.last, reversed(self._calls)))[::-1]
        thread.last = self._number
        # A look may begin between the steps of two threads; only the first steps are then seen as a whole.
        if len(self._threads) == 1 or step.number <= FIRST:
            thread.learn(_own(calls, step), step.number, step.closure)

    def facts(self) -> dict[str, Any]:
        threads = {name: thread.about() for name, thread in self._threads.items()}
        for name, thread in list(self._threads.items())[:LISTED_THREADS]:
            threads[name]["first_steps"] = thread.first
        return {"threads": threads}


def _discarded(calls: list[_Entry], backwards: list[int]) -> list[_Entry]:
    """The calls that cleared what the backward pass of the same line, earlier in this step, had computed.

    Another line may have another purpose: an adversarial example, the generator of a GAN. And so may several
    passes of one batch, whose gradients are put together by hand: it must have been of a batch before.
    """
    if not backwards or (last := calls[backwards[-1]]).where is None:
        return []
    same = [i for i in backwards if calls[i].where == last.where]
    if calls[same[0]].batch == last.batch:
        return []
    return [entry for entry in calls[same[0] : same[-1]] if entry.what == "zero_grad"]


def _own(calls: list[_Entry], step: Step) -> list[_Entry]:
    """The calls that belong to a step.

    What is called on nothing that is known belongs to the thread that steps next, and to those that step
    directly after it without a ``backward`` in between.
    """
    ids = {id(each.tensor) for each in step.parameters}
    owned = [(entry, _is_own(entry, ids)) for entry in calls]
    last = max((i for i, (entry, _) in enumerate(owned) if entry.what == "backward"), default=-1)
    other = max(
        (i for i, (e, own) in enumerate(owned[: last + 1]) if e.what == "step" and own is False), default=-1
    )
    return [entry for i, (entry, own) in enumerate(owned) if own or (own is None and i > other)]


def _is_own(entry: _Entry, ids: set[int]) -> bool | None:
    """Whether something was called on any of these parameters; None if that is not known."""
    on = entry.on()
    held: Iterable[Tensor]
    if entry.what == "scheduler":
        on = getattr(on, "optimizer", None)
    if isinstance(on, Optimizer):
        held = optimized(on)
    elif isinstance(on, nn.Module) and entry.what == "zero_grad":
        held = on.parameters()
    elif isinstance(on, Tensor):
        held = [on]
    else:
        return None
    return any(id(parameter) in ids for parameter in held)


def _most_of_one(calls: list[_Entry]) -> int:
    """The calls on the one thing that was called most often: schedulers may work side by side."""
    return max(Counter(id(entry.on()) for entry in calls).values(), default=0)


def _reference(on: Any) -> Callable[[], Any]:
    """Something, kept alive by the program alone; of several parameters the first."""
    if isinstance(on, (list, tuple)):
        on = on[0] if on else None
    try:
        return weakref.ref(on)
    except TypeError:
        return lambda: None


SIGNAL = Signal(units={}, cost="constant", start=_CallOrder)
