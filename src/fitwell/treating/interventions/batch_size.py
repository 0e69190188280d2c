"""Larger or smaller batches in training.

Of loaders in random order from the beginning, so that the program sees the number of batches there will be; of others
when they are gone through while the program trains. Loaders of the evaluation stay as they are, and so does
``drop_last``. A loader whose program makes the batches itself (``batch_sampler``) is left alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch.utils.data import BatchSampler, DataLoader, SequentialSampler

from fitwell.treating.changing.live import Intervention, Live
from fitwell.treating.changing.trained import training_now

_KEPT = "_fitwell_batch_size"  # attribute of a loader whose batches are changed


def _apply(live: Live, factor: float) -> None:
    trains = training_now(live)

    def initializing(old: Callable[..., Any]) -> Callable[..., Any]:
        def init(self: DataLoader[Any], *args: Any, **kwargs: Any) -> None:
            old(self, *args, **kwargs)
            sampler = self.batch_sampler
            own = (len(args) > 4 and args[4] is not None) or kwargs.get("batch_sampler") is not None
            if own or type(sampler) is not BatchSampler:
                self.__dict__[_KEPT] = True
            elif type(self.sampler).__name__ != "_InfiniteConstantSampler" and not isinstance(
                self.sampler, SequentialSampler
            ):
                change_size(self, factor)

        return init

    def iterating(old: Callable[..., Any]) -> Callable[..., Any]:
        def iterate(self: DataLoader[Any]) -> Any:
            if trains():
                change_size(self, factor)
            return old(self)

        return iterate

    live.replace(DataLoader, "__init__", initializing)
    live.replace(DataLoader, "__iter__", iterating)


def change_size(loader: DataLoader[Any], factor: float) -> None:
    """Multiply the size of the batches, once: to at least 1, and to no more than there are samples."""
    sampler = loader.batch_sampler
    if loader.__dict__.get(_KEPT) or not isinstance(sampler, BatchSampler):
        return
    size = max(1, round(sampler.batch_size * factor))
    samples = _length(loader.sampler)
    sampler.batch_size = size if samples is None else min(size, max(samples, sampler.batch_size))
    loader.__dict__[_KEPT] = True
    loader.__dict__["batch_size"] = sampler.batch_size  # which torch lets nobody set


def _length(sampler: Any) -> int | None:
    try:
        return len(sampler)
    except TypeError:
        return None


INTERVENTION = Intervention(
    says="batches of {factor:g} times the size",
    apply=_apply,
    forks=False,
    examples=({"factor": 4.0}, {"factor": 0.5}),
)
