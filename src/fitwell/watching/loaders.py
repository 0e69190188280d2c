"""The DataLoaders of a program: which is iterated, what they give, and how long that takes."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import torch
from torch.utils.data import IterableDataset

from fitwell.watching.moments import Batch
from fitwell.watching.passes import source_of

if TYPE_CHECKING:
    from fitwell.watching.receiver import Receiver


class Loaders:
    """Receives what DataLoaders do; each method is called under the watcher's guard."""

    def __init__(self, receiver: Receiver) -> None:
        self._receiver, self._watcher = receiver, receiver.watcher
        self._asked = 0.0

    def begins(self, loader: Any) -> None:
        """A DataLoader is iterated anew."""
        self._receiver.by_hand.settle()
        self._receiver.scores.settle()
        self._watcher.catch_up()
        self._watcher.quick.countdown = 1  # whether this loader is trained from shows at the next step
        self._watcher.phases.loader_begins(source_of(loader.dataset, loader._index_sampler))

    def asked(self, iterator: Any) -> None:
        """A batch is asked for."""
        self._watcher.phases.passes.asked(iterator)
        self._asked = time.perf_counter()

    def given(self, batch: Any, iterator: Any) -> None:
        """A batch is given."""
        self._receiver.scores.settle()
        phases, sampler = self._watcher.phases, iterator._index_sampler
        counted = not isinstance(iterator._dataset, IterableDataset) and hasattr(sampler, "__len__")
        source, batches = source_of(iterator._dataset, sampler), len(sampler) if counted else None
        phases.passes.given(iterator, source, iterator._num_yielded, batches)
        if not torch.is_grad_enabled():
            self._receiver.evaluated(phases.part())
        self._receiver.scores.batch(batch)
        if self._watcher.level:
            part = "train" if torch.is_grad_enabled() else phases.part()
            waited = time.perf_counter() - self._asked
            self._watcher.tell("on_batch", Batch(batch, part, waited, iterator), part)
