"""Phases: training and evaluation told apart, passes over the data found, and their losses added up."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from fitwell.watching.losses import Number, Objective, Seen, Totals, objective, read
from fitwell.watching.passes import Origin, Passes, Reference
from fitwell.watching.threads import Thread

STALE = 2  # steps after which a loss that nothing was propagated back from was only looked at
MOST_PENDING = 1024
FREELY = 50  # passes that are recorded however quickly they follow each other
SECONDS = 0.05  # between the others
COUNTED = 8  # evaluations whose answers are counted, and about as many each time their number doubles
AGAIN = "train_evaluated"  # training data on which a loss was computed without a step

At = tuple[float, int]  # epoch and step
Emit = Callable[[Thread, At, str, dict[str, Number]], None]


@dataclass
class Waiting:
    """A loss with a graph, from which nothing was propagated back yet."""

    seen: Seen
    origin: Origin
    steps: int = 0  # that were taken since


@dataclass
class Limit:
    """Lets what ends in quick succession be recorded now and then only."""

    count: int = 0
    last: float = 0.0

    def allows(self) -> bool:
        """Whether to record now; what is not recorded is added to what comes next."""
        now = time.monotonic()
        if self.count >= FREELY and now - self.last < SECONDS:
            return False
        self.count, self.last = self.count + 1, now
        return True


@dataclass
class Held:
    """What was computed on some data without a step, and when."""

    at: At = (0.0, 0)
    parts: dict[str, Totals] = field(default_factory=dict)


class Phases:
    """Keeps account of the losses of training and of evaluation.

    Args:
        emit: is given the thread, the epoch and step, the part and the signals of a pass that ended.
        threads: all of them.
    """

    def __init__(self, emit: Emit, threads: Sequence[Thread]) -> None:
        self.emit, self.threads = emit, threads
        self.pending: list[Waiting] = []
        self.window: list[Objective] = []
        self.unscaled: dict[int, Number] = {}
        self.evaluating = False
        self.evaluations = 0  # that have ended
        self.thread: Thread | None = None
        self.passes = Passes(threads)
        self.closing = Totals()  # of the held-out data whose pass is being recorded
        self._held, self._again = Held(), Held()
        self._training_limit, self._held_limit = Limit(), Limit()

    def part(self, target: Any = None) -> str:
        """Whose data something is computed on now, if it is not trained on."""
        origin = self.passes.origin(target)
        return AGAIN if origin.trained_on else self.passes.held_out_name(origin.loader)

    def looked(self, seen: Seen, target: Any = None, loading: Reference | None = None) -> str:
        """A loss was computed that has no graph, or that nothing was propagated back from; return its part.

        Args:
            seen: the loss.
            target: what it was computed with.
            loading: what the loader gave it that gave the last batch then, if not now.
        """
        return self._looked(seen, self.passes.origin(target, loading))

    def _looked(self, seen: Seen, origin: Origin) -> str:
        held = self._again if origin.trained_on else self._held
        part = AGAIN if origin.trained_on else self.passes.held_out(origin.loader)
        if not origin.trained_on and not self.evaluating:
            self.evaluating = True
            self.passes.evaluated()
            self._close_training()
        if origin.trained_on or not held.parts:
            held.at = self._now()
        held.parts.setdefault(part, Totals()).count(seen)
        return part

    def scored(self, seen: Seen, origin: Origin) -> None:
        """Right answers were counted of a batch that no loss was computed of."""
        self._looked(seen, origin)

    def _now(self) -> At:
        return (0.0, 0) if self.thread is None else (self.passes.epoch(self.thread), self.thread.steps)

    def computed(self, seen: Seen, target: Any) -> None:
        """A loss was computed that has a graph."""
        origin = self.passes.origin(target)
        self.passes.target(target)
        self.passes.used()
        self.pending.append(Waiting(seen, origin))
        if len(self.pending) > MOST_PENDING:
            oldest = self.pending.pop(0)
            self._looked(oldest.seen, oldest.origin)

    def backward(self, roots: Iterable[Tensor]) -> Objective:
        """Gradients are computed from here: training goes on, so an evaluation has ended."""
        found, rest = objective(roots, [waiting.seen for waiting in self.pending], self.unscaled)
        left = {id(seen) for seen in rest}
        linked = [number for number, waiting in enumerate(self.pending) if id(waiting.seen) not in left]
        if linked:
            before, origin = self.pending[: linked[0]], self.pending[linked[0]].origin
            # What was computed on other data before this was an evaluation without ``no_grad``.
            elsewhere = [each for each in before if each.origin != origin]
            for each in elsewhere:
                self._looked(each.seen, each.origin)
            left -= {id(each.seen) for each in elsewhere}
        self.pending = [waiting for waiting in self.pending if id(waiting.seen) in left]
        self.resumed()
        self.unscaled.clear()
        self.window.append(found)
        return found

    @property
    def evaluation_counts(self) -> bool:
        """Whether right answers are counted whatever that costs: in the first evaluations, and ever more seldom."""
        return self.evaluations % max(1, self.evaluations // COUNTED) == 0

    def resumed(self) -> None:
        """Training goes on, so an evaluation has ended."""
        if self.evaluating:
            self.evaluating = False
            self.evaluations += 1
            self._close_held()

    def arrived(self, thread: Thread) -> None:
        """A step was taken whose loss is not counted yet: it may be the first one of a pass."""
        moved = self.passes.moved()
        if moved or thread.steps == 1:
            for each in self.threads:
                self.passes.count(self._fold(each))
        if moved and self.passes.move(thread):
            self._close_training(arriving=thread)

    def unwatched(self, thread: Thread) -> None:
        """Account for the steps of a thread since it was looked at: their losses were added up in it."""
        self.thread, thread.booked = thread, thread.steps
        self._record_what_waits()
        samples = self._fold(thread)
        self._close_window(thread)
        if self.passes.stepped(thread, samples):
            self._close_training()

    def _fold(self, thread: Thread) -> int:
        """Take what the steps between two looks added up into the totals; return how many samples they had."""
        samples, weight, total = thread.quick_samples, thread.quick_weight, thread.quick_sum
        thread.quick_samples, thread.quick_weight, thread.quick_sum = 0, 0, 0.0
        if weight:
            thread.window.add(total, weight)
            for name in ("loss", (not thread.by_backward and thread.function) or "objective"):
                thread.totals.add(name, total / weight, weight)
        return samples

    def stepped_by_hand(self, thread: Thread, found: Objective) -> None:
        """A step was taken with a gradient from a function, whose loss is all that is known."""
        self.resumed()
        thread.last, self.thread, thread.booked = [found], thread, thread.steps
        thread.function = found.function
        _count(thread, found)
        self._close_window(thread)
        if self.passes.stepped(thread, 0):
            self._close_training()

    def step(self, thread: Thread) -> list[Objective]:
        """An optimizer stepped: what was minimised since the last step of any is what it used.

        Where two optimizers step after one another, the second one shares what the first one used.
        """
        found, self.window = self.window, []
        shared = not found and self.thread is not None and self.thread is not thread
        if shared and self.thread is not None:
            found = self.thread.last
        self.arrived(thread)
        thread.last, self.thread, thread.booked = found, thread, thread.steps
        for each in found:
            _count(thread, each)
        self._close_window(thread)
        if shared:
            thread.losses_a_step = 0  # between the looks they are those of the other thread
        elif not self.pending:
            _learn(thread, found)
        self._record_what_waits()
        self._age()
        if self.passes.stepped(thread, 0 if shared else sum(each.samples for each in found)):
            self._close_training()
        return found

    def steps_left(self, thread: Thread, seconds: float) -> float:
        """How many steps until there is a pass to record, if a step takes so many seconds."""
        least = SECONDS / seconds if self._training_limit.count >= FREELY and seconds else 1.0
        samples = max(each.samples_a_step for each in (thread, *self.threads[-4:]))  # of those that alternate
        return min(max(self.passes.steps_left(samples), least), max(1, thread.window.ends - thread.steps))

    def forget(self) -> None:
        """What was evaluated since the last step is not to be recorded."""
        self._held, self.evaluating = Held(), False

    def loader_begins(self, source: Any) -> None:
        """A DataLoader over this source is iterated anew."""
        if self.passes.begins(source):
            self._close_training()

    def finish(self) -> None:
        """The program has ended."""
        for waiting in self.pending:
            self._looked(waiting.seen, waiting.origin)
        self.pending = []
        for thread in self.threads:
            self.passes.count(self._fold(thread))
        self.passes.finish()
        self._close_held(always=True)
        self._close_training(always=True)

    def _age(self) -> None:
        for waiting in self.pending:
            waiting.steps += 1
        stale = [waiting for waiting in self.pending if waiting.steps >= STALE]
        self.pending = [waiting for waiting in self.pending if waiting.steps < STALE]
        for waiting in stale:
            self._looked(waiting.seen, waiting.origin)

    def _close_window(self, thread: Thread) -> None:
        mean = thread.window.close(thread.steps)
        if mean is not None:
            self.emit(thread, (self.passes.epoch(thread), thread.steps), "window", {"loss/window": mean})

    def _close_training(self, always: bool = False, arriving: Thread | None = None) -> None:
        if self.thread is None or not (always or self._training_limit.allows()):
            return
        for thread in self.threads:
            self.passes.count(self._fold(thread))
            totals, thread.totals = thread.totals, Totals()
            if totals.sums:
                at = self.passes.epoch(thread), thread.steps
                if thread is arriving:  # the step that it takes now is not among them
                    at = float(thread.passes), thread.steps - 1
                self.emit(thread, at, "train", figures(totals, "train", thread.function))
        self._again = self._emitted(self._again)

    def _record_what_waits(self) -> None:
        """An evaluation before the first step belongs to the thread that steps first."""
        if self._held.parts and not self.evaluating:
            self._close_held()

    def _close_held(self, always: bool = False) -> None:
        if always or self._held_limit.allows():
            self._held = self._emitted(self._held)
            self._again = self._emitted(self._again)

    def _emitted(self, held: Held) -> Held:
        thread = self.thread
        if thread is None:
            return held  # it belongs to the thread that will step first
        for part, totals in held.parts.items():
            self.closing = totals
            self.emit(thread, held.at, part, figures(totals, part, thread.function))
        return Held()


def _count(thread: Thread, each: Objective) -> None:
    totals, weight = thread.totals, each.samples or 1
    if each.loss is not None:
        thread.window.add(each.loss * weight, weight)
        totals.add("loss", each.loss, weight)
    if each.value is not None:
        totals.add("objective", each.value, weight)
    for seen in each.parts:
        totals.count(seen)


def _learn(thread: Thread, found: list[Objective]) -> None:
    """What a step of this thread computes, for the steps between the looks."""
    parts = [len(each.parts) for each in found]
    thread.by_backward = any(count != 1 for count in parts)
    thread.summed = any(seen.summed for each in found for seen in each.parts)
    functions = {each.function for each in found}
    thread.function = functions.pop() if len(functions) == 1 else None
    thread.samples_a_step = max(thread.samples_a_step, sum(each.samples for each in found))
    thread.losses_a_step = len(found) if all(each.value is not None for each in found) else 0


def figures(totals: Totals, part: str, function: str | None) -> dict[str, Number]:
    """The signals of a pass: loss, what was minimised, accuracy, and each loss function if there are several.

    What is compared must be the same: held-out data has a ``loss`` if it was the loss function that is trained on.
    """
    means = totals.means()
    result: dict[str, Number] = {}
    if "loss" in means:
        result[f"loss/{part}"] = means.pop("loss")
    optimized = means.pop("objective", None)
    if optimized is not None:
        result["loss/optimized"] = optimized
    if part != "train" and function in means:
        result[f"loss/{part}"] = means[function]
    if len(means) > 1 or (means and f"loss/{part}" not in result):
        result |= {f"loss/{name}/{part}": value for name, value in means.items()}
    if not isinstance(totals.judged, (int, float)) or totals.judged:
        result[f"accuracy/{part}"] = totals.correct / totals.judged
        if totals.answers is not None and part != "train":
            result |= {name: read(value) for name, value in totals.answers.figures(part).items()}
    return result
