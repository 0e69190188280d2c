"""Job: a training under way - its model, its optimizer, and how far it is."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from fitwell.data.contract import Data, Split
from fitwell.models import Family
from fitwell.plan import Plan
from fitwell.training.ema import Ema
from fitwell.training.schedules import Schedule

TRAIN_SAMPLE = 4096  # samples of the training part that are measured beside the validation part


@dataclass
class Job:
    """All that the loop needs and changes. A checkpoint keeps what is below ``# progress``."""

    plan: Plan
    family: Family
    model: nn.Module
    data: Data
    optimizer: torch.optim.Optimizer
    schedule: Schedule
    device: torch.device
    epochs: int
    patience: int | None
    ema: Ema | None = None
    # progress
    epoch: int = 0
    position: int = 0  # optimizer steps done within the epoch
    step: int = 0  # optimizer steps done in all
    best_loss: float = math.inf
    best_epoch: int = 0
    best_weights: dict[str, Tensor] = field(default_factory=dict)
    tally: Tensor = field(init=False)  # sum of the epoch's losses over samples
    gradient_norm: Tensor | None = None

    def __post_init__(self) -> None:
        kind = torch.float32 if self.device.type == "mps" else torch.float64
        self.tally = torch.zeros((), dtype=kind, device=self.device)
        self.train_sample = _sample(self.data, self.plan.seed)

    @property
    def finished(self) -> bool:
        """The epochs are over, or the validation loss has not improved for too long."""
        waited = self.epoch - self.best_epoch
        out_of_patience = self.patience is not None and bool(self.best_epoch) and waited >= self.patience
        return self.epoch >= self.epochs or out_of_patience

    @contextmanager
    def evaluated_weights(self) -> Iterator[None]:
        """The weights that count: the moving average, if there is one."""
        if self.ema is None:
            yield
            return
        with self.ema.applied(self.model):
            yield

    def remember(self, loss: float | None) -> None:
        """Keep these weights if the validation loss is the best so far."""
        if loss is not None and loss < self.best_loss - self.plan.stopping.min_delta:
            self.best_loss, self.best_epoch = loss, self.epoch
            self.best_weights = {k: v.detach().clone() for k, v in self.model.state_dict().items()}

    def restore_best(self) -> None:
        """Put back the best weights: those of the lowest validation loss, else the last."""
        if self.best_weights:
            self.model.load_state_dict(self.best_weights)
        elif self.ema is not None:
            self.model.load_state_dict(self.ema.average)


def _sample(data: Data, seed: int) -> Split:
    """As many training samples as validation samples, for figures on equal terms."""
    size = min(len(data.train), TRAIN_SAMPLE, len(data.validation) if data.validation else TRAIN_SAMPLE)
    index = data.train.index
    chosen = torch.randperm(len(index), generator=torch.Generator().manual_seed(seed))[:size]
    return Split(data.train.fields, index[chosen.to(index.device)].sort().values)
