"""Training samples in random order: of every loader that goes through its data in sequence while the program trains."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch.utils.data import SequentialSampler

from fitwell.treating.changing.live import Intervention, Live
from fitwell.treating.changing.trained import training_now


def _apply(live: Live) -> None:
    trains = training_now(live)

    def make(old: Callable[..., Any]) -> Callable[..., Any]:
        def iterate(self: SequentialSampler) -> Iterator[int]:
            if trains():
                return iter(torch.randperm(len(self.data_source)).tolist())
            indices: Iterator[int] = old(self)
            return indices

        return iterate

    live.replace(SequentialSampler, "__iter__", make)


INTERVENTION = Intervention(says="training samples come in random order", apply=_apply, forks=False)
