"""Passes: how often a program has passed over its data, and which data it is trained on."""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from torch.utils.data import DistributedSampler, RandomSampler, SequentialSampler
from torch.utils.data.dataloader import _InfiniteConstantSampler

from fitwell.watching.threads import Thread

WHOLE = (RandomSampler, SequentialSampler, DistributedSampler, _InfiniteConstantSampler)
Reference = Callable[[], Any]


@dataclass(frozen=True)
class Origin:
    """Where the data of a loss comes from.

    Args:
        loader: what the loader takes it from that gave the last batch; None without one.
        trained_on: whether steps are taken from that data.
    """

    loader: Reference | None
    trained_on: bool


class Slices:
    """The part of a tensor that targets are slices of, as in ``y[i:i + 32]``.

    Training and held-out data are often cut from one tensor: what lies beside this part is held out.

    Args:
        target: the first slice.
    """

    def __init__(self, target: Tensor) -> None:
        self.whole: weakref.ref[Tensor] = weakref.ref(target._base)  # type: ignore[arg-type]
        self.first = self.last = target.storage_offset()
        self.low, self.high = _rows(target)
        self.again = False  # the first slice was met again after others: a pass over the part is over

    def see(self, target: Tensor) -> bool:
        """Take a slice into account; tell whether a pass has ended before it."""
        begin = target.storage_offset()
        if begin != self.last:
            self.last, self.again = begin, self.again or begin == self.first
            low, high = _rows(target)
            self.low, self.high = min(low, self.low), max(high, self.high)
        return self.again

    def contain(self, target: Tensor) -> bool:
        """Whether a target lies in this part."""
        whole = self.whole()
        mine = whole is not None and (target is whole or target._base is whole)
        return mine and self.low <= _rows(target)[0] < self.high


class Passes:
    """Finds out how often the data was passed over.

    A DataLoader that steps are taken from tells it; without one the part of a tensor that the targets are slices
    of; else evaluations are taken for the ends of passes.

    Args:
        threads: all of them; a pass counts for those that stepped in it.
    """

    def __init__(self, threads: Sequence[Thread]) -> None:
        self.threads = threads
        self.source = ""  # loader, tensor or evaluation
        self.size: int | None = None  # samples, or batches of the loader
        self.loading: Reference | None = None  # what the loader takes its data from that gave a batch last
        self.slices: Slices | None = None  # until it is known how large a pass is
        self._training: Reference | None = None  # what steps are taken from
        self._iterator: Reference | None = None  # of the loader over it
        self._exhausted = False  # it was asked for a batch that it did not have
        self._batches = self._samples = 0
        self.targeted: weakref.ref[Tensor] | None = None  # by the last loss with a graph
        self._first: weakref.ref[Tensor] | None = None  # target of the last step
        self._part: Slices | None = None
        self._whole = False  # each step is taken from all data
        self._stepped = True  # since a target was seen
        self._latest: Reference | None = None  # the iterator that gave the last batch
        self._gave: Reference | None = None  # what its loader takes its data from
        self.fresh = True  # no step was taken since the last batch was given
        self._given = 0  # batches of the loading source so far ...
        self._length: int | None = None  # ... of so many
        self._unused = 0  # batches that were given, and no loss computed of
        self._names: list[tuple[Reference, str]] = []
        self.expected = ("val", "test")  # what held-out data is called, in the order that it comes in

    def begins(self, source: Any) -> bool:
        """A DataLoader over this source is iterated anew; tell whether a pass of training ended by that."""
        if not (_same(self._training, source) and self._batches):
            return False
        if any(thread.steps > thread.passed for thread in self.threads):
            self.size = self._batches  # a loop may leave its loader early; to peek into it is no pass
        self._end()
        return True

    def asked(self, iterator: Any) -> None:
        """A batch is asked for: until it comes, the loader may be at its end, unless it looks ahead."""
        if self._unused <= 0:
            self.loading = None
        self._exhausted |= _same(self._iterator, iterator)

    def given(self, iterator: Any, source: Any, number: int, batches: int | None) -> None:
        """A loader over this source gave one of its batches."""
        self._unused = self._unused + 1 if _same(self.loading, source) else 1
        self.loading, self._latest = _reference(source), weakref.ref(iterator)
        self._given, self._length, self._gave, self.fresh = number, batches, self.loading, True
        if _same(self._training, source):
            self._iterator, self._batches, self._exhausted = self._latest, number, False

    def gives_again(self, iterator: Any) -> bool:
        """Whether this iterator gave the last batch, too."""
        return self._latest is not None and self._latest() is iterator

    def given_again(self, number: int) -> None:
        """The iterator that gave the last batch gave another one."""
        self._unused = self._unused + 1 if self.loading is self._gave else 1
        self.loading, self._given, self.fresh = self._gave, number, True
        if self._iterator is self._latest:
            self._batches, self._exhausted = number, False

    def used(self) -> None:
        """A loss was computed: of the batches that were given one was used."""
        self._unused = max(0, self._unused - 1)

    def target(self, target: Any) -> None:
        """The target of a loss that is trained on: a slice of a larger tensor tells how many samples there are."""
        if self._training is not None or not isinstance(target, Tensor) or not target.dim():
            return
        self.targeted = weakref.ref(target)
        if _is_slice(target):
            self._sliced(target)
        elif self._stepped and self._part is None:
            same = self._first is not None and self._first() is target
            self.source, self.size, self._whole = ("tensor", len(target), True) if same else ("", None, False)
        if self._stepped:
            self._first, self._stepped = self.targeted, False

    def _sliced(self, target: Tensor) -> None:
        if self._part is None:
            self.source, self.size = "tensor", _rows_of_whole(target)
            self.slices = self._part = Slices(target)
        elif (whole := self._part.whole()) is None or whole is target._base:
            self._part.whole = weakref.ref(target._base)  # type: ignore[arg-type]
            self._part.see(target)

    def moved(self) -> bool:
        """Whether the step that was just taken, and is not counted yet, began a pass."""
        return self._wrapped or self._other_source() is not None

    def move(self, thread: Thread) -> bool:
        """It did; tell whether another pass ended before it."""
        if self._wrapped:
            self.size, self.slices = self._samples, None
            self._end(thread)
            return True
        ended = self._training is not None
        if ended:
            self._end(thread)
        self.source, self._training, self._exhausted = "loader", self.loading, False
        self._iterator, self._batches, self.size = self._latest, self._given, self._length
        return ended

    @property
    def _wrapped(self) -> bool:
        return self.slices is not None and self.slices.again and self._samples > 0

    def _other_source(self) -> Any:
        """What the last batch came from, if steps were taken from something else before that is over."""
        source = None if self.loading is None else self.loading()
        if source is None or _same(self._training, source):
            return None
        # While the loader that steps are taken from is still iterated, another one stands beside it.
        iterated = self._iterator is not None and self._iterator() is not None
        return None if iterated and not self._exhausted else source

    def stepped(self, thread: Thread, samples: int) -> bool:
        """Its loss is counted; tell whether that ended a pass over a tensor."""
        if thread.steps == 1 and self.slices is None:
            self._samples = 0  # another training, not the rest of the last one
        self._samples += samples
        self._stepped = True
        if self.source != "tensor" or self.size is None or not (self._whole or self._samples >= self.size):
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
        part = min(1.0, done / self.size) if self.size else float(self._exhausted)
        return thread.passes + (part if thread.steps > thread.passed else 0.0)

    def evaluated(self) -> None:
        """An evaluation begins: with nothing else to go by, a pass ends."""
        if not self.source:
            self._end()

    def finish(self) -> None:
        """The program has ended: perhaps with the last batch of a pass."""
        done = self._batches if self.source == "loader" else self._samples
        if self._exhausted or self._whole or (self.size and done >= self.size):
            self._end()

    def origin(self, target: Any = None, loading: Reference | None = None) -> Origin:
        """Where a loss with this target, computed now, comes from; or what that loader gave."""
        same = isinstance(target, Tensor) and self.targeted is not None and self.targeted() is target
        # A batch that a step was taken from is used up; what comes then is no loader's, such as a check now and then.
        used_up = loading is None and not self.fresh and not same
        loading = loading or self.loading
        source = None if loading is None else loading()
        trained_on = _same(self._training, source)
        if source is not None and not (trained_on and used_up):
            return Origin(loading, trained_on)
        if not isinstance(target, Tensor):
            return Origin(None, False)
        return Origin(None, same or (self._part is not None and self._part.contain(target)))

    def held_out_name(self, loading: Reference | None) -> str:
        """The name of held-out data; ``val`` is what comes first, then ``test``, ``held_out_3``."""
        source = None if loading is None else loading()
        return next((name for known, name in self._names if known() is source is not None), self.expected[0])

    def held_out(self, loading: Reference | None) -> str:
        """The same, and name it if it is new."""
        source = None if loading is None else loading()
        self._names = [(known, name) for known, name in self._names if known() is not None]
        if source is None or any(known() is source for known, _ in self._names):
            return self.held_out_name(loading)
        taken = {name for _, name in self._names}
        further = range(len(self.expected) + 1, len(self.expected) + len(taken) + 2)
        names = (*self.expected, *(f"held_out_{number}" for number in further))
        name = next(name for name in names if name not in taken)
        self._names.append((_reference(source), name))
        return name

    def _end(self, arriving: Thread | None = None) -> None:
        """A pass has ended, of every thread that stepped in it; the last step of one may belong to the next."""
        passes = max(1, int(self._samples // self.size)) if self.source == "tensor" and self.size else 1
        for thread in self.threads:
            steps = thread.steps - (thread is arriving)
            if steps > thread.passed:
                thread.passes += steps - thread.passed if self._whole else passes
                thread.passed = steps
        self.slices = None
        self._exhausted, self._batches, self._samples = False, 0, 0


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


def _is_slice(target: Tensor) -> bool:
    """Whether a tensor is a part of a larger one: some of its rows."""
    return target._base is not None and target.stride(0) > 0 and _rows_of_whole(target) > len(target)


def _rows_of_whole(target: Tensor) -> int:
    whole = target if target._base is None else target._base
    return whole.numel() // max(1, int(target.stride(0)))


def _rows(target: Tensor) -> tuple[int, int]:
    """The first row of a tensor in the one that it is a slice of, and the one behind its last."""
    if not target.dim():
        return int(target.storage_offset()), int(target.storage_offset()) + 1
    first = int(target.storage_offset()) // max(1, int(target.stride(0)))
    return first, first + len(target)
