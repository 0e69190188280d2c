"""Phases: training and evaluation told apart, passes over the data found, and their losses added up."""

from __future__ import annotations

import math
import time
import weakref
from collections.abc import Callable, Iterable
from typing import Any

from torch import Tensor
from torch.utils.data import DistributedSampler, RandomSampler, SequentialSampler
from torch.utils.data.dataloader import _InfiniteConstantSampler

from fitwell.watching.losses import Number, Objective, Seen, Totals, objective
from fitwell.watching.threads import Thread

STALE = 2  # steps after which a loss that nothing was propagated back from was only looked at
MOST_PENDING = 64
FREELY = 50  # passes that are recorded however quickly they follow each other
SECONDS = 0.05  # between the others
AGAIN = "train_evaluated"  # training data on which a loss was computed without a step

WHOLE = (RandomSampler, SequentialSampler, DistributedSampler, _InfiniteConstantSampler)
Reference = Callable[[], Any]
Emit = Callable[[Thread, tuple[float, int], str, dict[str, Number]], None]


class Phases:
    """Keeps account of the losses of training and of evaluation.

    Args:
        emit: is given the thread, the epoch and step, the part and the signals of a pass that ended.
    """

    def __init__(self, emit: Emit) -> None:
        self.emit = emit
        self.pending: list[tuple[Seen, Any, int]] = []  # loss, target, age in steps
        self.window: list[Objective] = []
        self.unscaled: dict[int, Number] = {}
        self.held: dict[str, Totals] = {}
        self.evaluations = 0  # that have ended
        self.thread: Thread | None = None
        self.passes = Passes()
        self._known: dict[str, Thread] = {}
        self._open: dict[str, Thread] = {}  # with steps that are not recorded yet
        self._held_at = 0.0, 0  # epoch and step
        self._emitted, self._emitted_at = 0, 0.0

    def part(self, target: Any = None) -> str:
        """Whose data something is computed on now, if it is not trained on."""
        if self.passes.is_training_data(target):
            return AGAIN
        return self.passes.held_out_name()

    def looked(self, seen: Seen, target: Any = None) -> str:
        """A loss was computed that has no graph, or that nothing was propagated back from; return its part."""
        if self.passes.is_training_data(target):
            part = AGAIN
        else:
            part = self.passes.held_out()
            self._evaluation_begins()
        self.held.setdefault(part, Totals()).count(seen)
        return part

    def _evaluation_begins(self) -> None:
        if self.thread is not None and not set(self.held) - {AGAIN}:
            self.passes.evaluated()
            self._held_at = self.passes.epoch(self.thread), self.thread.steps
            self._close_training()

    def computed(self, seen: Seen, target: Any) -> None:
        """A loss was computed that has a graph."""
        self.passes.target(target, seen.samples)
        self.pending.append((seen, target, 0))
        if len(self.pending) > MOST_PENDING:
            self.looked(*self.pending.pop(0)[:2])

    def backward(self, roots: Iterable[Tensor]) -> Objective:
        """Gradients are computed from here: training goes on, so an evaluation has ended."""
        self.resumed()
        waiting = [seen for seen, _, _ in self.pending]
        found, _ = objective(roots, waiting, self.unscaled)
        linked = {id(seen) for seen in found.parts}
        self.pending = [entry for entry in self.pending if id(entry[0]) not in linked]
        self.unscaled.clear()
        self.window.append(found)
        return found

    def resumed(self) -> None:
        """Training goes on, so an evaluation has ended."""
        if any(part != AGAIN for part in self.held):
            self._close_held()

    def unwatched(self, thread: Thread) -> None:
        """Account for the steps of a thread since it was looked at: their losses were added up in it."""
        self.thread, thread.booked = thread, thread.steps
        if self.passes.stepped(thread, self._fold(thread)):
            self._close_training()

    def _fold(self, thread: Thread) -> int:
        """Take what the steps between two looks added up into the totals; return how many samples they had."""
        samples, total = thread.quick_samples, thread.quick_sum
        thread.quick_samples, thread.quick_sum = 0, 0.0
        if samples:
            self._open[thread.name] = thread
            function = primary(thread)
            for name in ("loss", function) if function and not thread.by_backward else ("loss", "objective"):
                thread.totals.add(name, total / samples, samples)
        return 0 if thread.by_backward else samples

    def stepped_by_hand(self, thread: Thread, found: Objective) -> None:
        """A step was taken with a gradient from a function, whose loss is all that is known."""
        self.resumed()
        thread.last, self.thread = [found], thread
        self._open[thread.name] = thread
        _count(thread.totals, found)
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
        thread.last, self.thread, thread.booked = found, thread, thread.steps
        self._open[thread.name] = self._known[thread.name] = thread
        totals = thread.totals
        for each in found:
            _count(totals, each)
        _learn(thread, found, simple=not self.pending and not shared)
        self._age()
        if self.passes.stepped(thread, sum(seen.samples for each in found for seen in each.parts)):
            self._close_training()
        return found

    def steps_left(self, thread: Thread, seconds: float) -> float:
        """How many steps until there is a pass to record, if a step takes so many seconds."""
        samples = sum(seen.samples for each in thread.last for seen in each.parts)
        least = SECONDS / seconds if self._emitted >= FREELY and seconds else 1.0
        return max(self.passes.steps_left(samples), least)

    def loader_begins(self, source: Any, batches: int | None) -> None:
        """A DataLoader is iterated anew, which gives so many batches."""
        if self.passes.begins(source, batches):
            self._close_training()

    def finish(self) -> None:
        """The program has ended."""
        for seen, target, _ in self.pending:
            self.looked(seen, target)
        self.pending = []
        self._close_held(always=True)
        self._close_training(always=True)
        self.passes.finish()

    def _age(self) -> None:
        stale = [entry for entry in self.pending if entry[2] + 1 >= STALE]
        self.pending = [(seen, target, age + 1) for seen, target, age in self.pending if age + 1 < STALE]
        for seen, target, _ in stale:
            self.looked(seen, target)

    def _close_training(self, always: bool = False) -> None:
        if self.thread is None or not (always or self._may_emit()):
            return
        for thread in self._known.values():
            self.passes.count(self._fold(thread))
        threads, self._open = self._open, {}
        for thread in threads.values():
            totals, thread.totals = thread.totals, Totals()
            at = self.passes.epoch(thread), thread.steps
            self.emit(thread, at, "train", figures(totals, "train", primary(thread)))

    def _close_held(self, always: bool = False) -> None:
        if self.thread is None or not self.held or not (always or self._may_emit()):
            return
        held, self.held = self.held, {}
        self.evaluations += 1
        for part, totals in held.items():
            self.emit(self.thread, self._held_at, part, figures(totals, part, primary(self.thread)))

    def _may_emit(self) -> bool:
        now = time.monotonic()
        if self._emitted >= FREELY and now - self._emitted_at < SECONDS:
            return False
        self._emitted, self._emitted_at = self._emitted + 1, now
        return True


def _count(totals: Totals, each: Objective) -> None:
    weight = float(each.parts[0].samples) if len(each.parts) == 1 else 1.0
    if each.loss is not None:
        totals.add("loss", each.loss, weight)
    if each.value is not None:
        totals.add("objective", each.value, 1.0)
    for seen in each.parts:
        totals.count(seen)
        totals.samples += seen.samples


def _learn(thread: Thread, found: list[Objective], simple: bool) -> None:
    """How many losses a step of this thread has, for the steps between the looks."""
    parts = [len(each.parts) for each in found]
    thread.by_backward = any(count != 1 for count in parts)
    thread.summed = any(seen.summed for each in found for seen in each.parts)
    thread.losses_a_step = len(found) if simple and all(each.value is not None for each in found) else 0


def primary(thread: Thread) -> str | None:
    """The loss function that a thread is trained on; None if there are several, or one that is not torch's."""
    functions = {seen.function for each in thread.last for seen in each.parts}
    return functions.pop() if len(functions) == 1 else None


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
    return result


class Passes:
    """Finds out how often the data was passed over.

    A DataLoader that steps are taken from tells it; without one the size of the tensor that the targets are slices
    of; else evaluations are taken for the ends of epochs.
    """

    def __init__(self) -> None:
        self.passing: dict[str, Thread] = {}  # those that stepped since the last pass ended
        self.source = ""  # loader, tensor or evaluation
        self.size: int | None = None  # samples, or batches of the loader
        self._loading: Reference | None = None  # the source whose batch was given last
        self._training: Reference | None = None  # the source that steps are taken from
        self._batches = 0
        self._samples = 0
        self._given, self._length = 0, None  # of the loading source: batches so far, and all of them
        self._unused = 0  # batches that were given, and no loss computed of
        self._target: weakref.ref[Tensor] | None = None
        self._storages: set[int] = set()
        self._names: list[tuple[Reference, str]] = []
        self.expected = ("val", "test")  # what held-out data is called, in the order that it comes in

    def begins(self, source: Any, batches: int | None) -> bool:
        """A DataLoader over this source is iterated anew; tell whether a pass of training ended by that."""
        training = _same(self._training, source) and self._batches > 0
        if training:
            if self.passing:
                self.size = self._batches  # a loop may leave its loader early; to peek into it is no pass
            self._end()
        return training

    def asked(self) -> None:
        """A batch is asked for: until it comes, the loader may be at its end, unless it looks ahead."""
        if self._unused <= 0:
            self._loading = None

    def given(self, source: Any, number: int, batches: int | None) -> None:
        """A loader over this source gave one of its batches."""
        self._unused = self._unused + 1 if _same(self._loading, source) else 1
        self._loading = _reference(source)
        self._given, self._length = number, batches
        if _same(self._training, source):
            self._batches = number

    def used(self) -> None:
        """A loss was computed: of the batches that were given one was used."""
        self._unused = max(0, self._unused - 1)

    def finish(self) -> None:
        """The program has ended: a pass that is complete has ended, too."""
        if self.source == "loader" and self.size is not None and self._batches >= self.size:
            self._end()

    def target(self, target: Any, samples: int) -> None:
        """The target of a loss that is trained on: a slice of a larger tensor tells how many samples there are."""
        if self._training is not None or not isinstance(target, Tensor) or not target.dim():
            return
        if self._target is not None and self._target() is target:
            self.source, self.size = "tensor", samples  # the same tensor again: each step is a pass
            return
        self._target = weakref.ref(target)
        rows = _rows(target)
        if rows > target.shape[0]:
            self.source, self.size = "tensor", rows
            self._storages = {target.untyped_storage().data_ptr()}

    def stepped(self, thread: Thread, samples: int) -> bool:
        """An optimizer stepped; tell whether that ended a pass over a tensor."""
        self.passing[thread.name] = thread
        source = self._loading() if self._loading is not None else None
        if source is not None and not _same(self._training, source):
            if self._training is not None and self._batches and thread.steps > 1:
                self._end()
            self._training, self.source = self._loading, "loader"
            self.size, self._batches = self._length, self._given
        self._samples += samples
        if self.source != "tensor" or self.size is None or self._samples < self.size:
            return False
        self._end()
        return True

    def steps_left(self, samples_a_step: float) -> float:
        """How many steps until a pass over a tensor ends."""
        if self.source != "tensor" or self.size is None or not samples_a_step:
            return math.inf
        return max(1.0, (self.size - self._samples) / samples_a_step)

    def count(self, samples: int) -> None:
        """So many samples were trained on."""
        self._samples += samples

    def epoch(self, thread: Thread) -> float:
        """Passes that a thread has made, with the begun one."""
        done = self._batches if self.source == "loader" else self._samples
        part = min(1.0, done / self.size) if self.size else 0.0
        return thread.passes + (part if thread.name in self.passing else 0.0)

    def evaluated(self) -> None:
        """An evaluation begins: with nothing else to go by, an epoch ends."""
        if not self.source:
            self._end()

    @property
    def training(self) -> bool:
        """Whether the last batch came from the loader that steps are taken from."""
        source = self._loading() if self._loading is not None else None
        return source is not None and _same(self._training, source)

    def is_training_data(self, target: Any) -> bool:
        """Whether this comes from the loader, or lies in the tensor, that is trained on."""
        if self._loading is not None and self._loading() is not None:
            return self.training
        if not isinstance(target, Tensor):
            return False
        same = self._target is not None and self._target() is target
        return same or target.untyped_storage().data_ptr() in self._storages

    def held_out_name(self) -> str:
        """The name of the held-out data that is read now."""
        source = self._loading() if self._loading is not None else None
        return next((name for known, name in self._names if known() is source), "val")

    def held_out(self) -> str:
        """The same, and name it if it is new: ``val`` is what comes first, then ``test``, ``held_out_3``."""
        source = self._loading() if self._loading is not None else None
        self._names = [(known, name) for known, name in self._names if known() is not None]
        taken = {name for _, name in self._names}
        if source is None or any(known() is source for known, _ in self._names):
            return self.held_out_name()
        names = (*self.expected, *(f"held_out_{number}" for number in range(len(self.expected) + 1, len(taken) + 4)))
        name = next(name for name in names if name not in taken)
        self._names.append((_reference(source), name))
        return name

    def _end(self) -> None:
        passes = max(1, int(self._samples // self.size)) if self.source == "tensor" and self.size else 1
        for thread in self.passing.values():
            thread.passes += passes
        self.passing = {}
        self._batches = self._samples = 0


def source_of(dataset: Any, index_sampler: Any) -> Any:
    """What a loader takes its batches from: the dataset, or the sampler that picks a part of it."""
    sampler = getattr(index_sampler, "sampler", index_sampler)
    return dataset if isinstance(sampler, WHOLE) else sampler


def _reference(thing: Any) -> Reference:
    try:
        return weakref.ref(thing)
    except TypeError:  # a list
        return lambda: thing


def _same(reference: Reference | None, thing: Any) -> bool:
    return reference is not None and reference() is thing


def _rows(tensor: Tensor) -> int:
    """How many samples the memory holds that a tensor is a slice of."""
    row = tensor[0].numel() * tensor.element_size() if len(tensor) else 0
    return tensor.untyped_storage().nbytes() // row if row else 0
