"""Moving averages of the weights of all members, each with its own decay."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from fitwell.training.ema import Ema
from fitwell.training.job import Job
from fitwell.tuning.populations.stacking.rows import Rows


class RowsEma:
    """See ``fitwell.training.ema.Ema``: the average of each member's job is a view of what is kept here.

    Args:
        rows: weights and buffers.
        jobs: of the members, each with its average.
    """

    def __init__(self, rows: Rows, jobs: Sequence[Job]) -> None:
        self.rows = rows
        self.own: list[Ema] = [job.ema for job in jobs if job.ema is not None]
        self.average_KP = rows.weights_KP.clone()
        self.buffers = {name: values.clone() for name, values in rows.buffers.items()}
        for row, (job, ema) in enumerate(zip(jobs, self.own, strict=True)):
            for name, _, view in rows.layout.of(self.average_KP[row], job.model):
                view.copy_(ema.average[name])
                ema.average[name] = view
            for name, buffers in self.buffers.items():
                if name in ema.average:
                    own = ema.average[name]
                    view = buffers[row][tuple(map(slice, own.shape))] if own.ndim else buffers[row]
                    view.copy_(own)
                    ema.average[name] = view

    @torch.no_grad()
    def update(self, first: int, last: int) -> None:
        """Move the averages of some members towards their present weights."""
        part, weights = slice(first, last), []
        for ema in self.own[part]:
            ema.updates += 1
            weights.append(1 - min(ema.decay, (1 + ema.updates) / (10 + ema.updates)))
        weight_K = torch.tensor(weights, device=self.average_KP.device)
        self.average_KP[part].lerp_(self.rows.weights_KP[part], weight_K[:, None])
        for name, average in self.buffers.items():
            now = self.rows.buffers[name][part]
            if now.is_floating_point():
                average[part].lerp_(now, weight_K.view(-1, *[1] * (now.ndim - 1)))
            else:
                average[part].copy_(now)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """The members with their averaged weights, for as long as the block lasts."""
        pairs: list[tuple[Tensor, Tensor]] = [(self.rows.weights_KP, self.average_KP)]
        pairs += [(self.rows.buffers[name], average) for name, average in self.buffers.items()]
        own = [values.clone() for values, _ in pairs]
        for values, average in pairs:
            values.copy_(average)
        try:
            yield
        finally:
            for (values, _), before in zip(pairs, own, strict=True):
                values.copy_(before)
