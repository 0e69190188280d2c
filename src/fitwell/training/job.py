"""Job: a training under way - its model, its optimizer, and how far it is."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from fitwell.data.contract import Data, Split
from fitwell.models import Family
from fitwell.plan import Plan
from fitwell.training.distributed import ALONE, Alone
from fitwell.training.ema import Ema
from fitwell.training.evaluation import main_metric
from fitwell.training.schedules import Schedule

MOST_UNCOUNTED = 1024  # losses that wait to be added up
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
    group: Alone = ALONE  # the processes that train it: see distributed
    # progress
    epoch: int = 0
    position: int = 0  # optimizer steps done within the epoch
    step: int = 0  # optimizer steps done in all
    best_score: float = math.inf  # of the monitored figure, lower is better
    best_epoch: int = 0
    best_weights: dict[str, Tensor] = field(default_factory=dict)
    tally: Tensor = field(init=False)  # sum of the epoch's losses over samples: see count
    gradient_norm: Tensor | None = None

    def __post_init__(self) -> None:
        kind = torch.float32 if self.device.type == "mps" else torch.float64
        self.tally = torch.zeros((), dtype=kind, device=self.device)
        self.uncounted: list[tuple[Tensor, int]] = []
        self.train_sample = _sample(self.data, self.plan.seed)

    def count(self, loss: Tensor, samples: int) -> None:
        """Add a batch's mean loss to the tally: later, many at once, for a sum each step would cost 3 %."""
        self.uncounted.append((loss, samples))
        if len(self.uncounted) == MOST_UNCOUNTED:
            self.tallied()

    def tallied(self) -> Tensor:
        """The tally with everything counted."""
        if self.uncounted:
            losses, samples = zip(*self.uncounted, strict=True)
            weights = torch.tensor(samples, dtype=self.tally.dtype, device=self.device)
            self.tally += torch.stack(losses).to(self.tally.dtype) @ weights
            self.uncounted.clear()
        return self.tally

    @property
    def finished(self) -> bool:
        """The epochs are over, or the validation part has not improved for too long."""
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

    def remember(self, figures: Mapping[str, float]) -> None:
        """Keep these weights if the monitored figure of the validation part is the best so far."""
        metric = main_metric(self.data.shape.target)
        if self.plan.stopping.monitor == "metric" and metric != "loss":
            score = -figures.get(f"{metric}/val", math.nan)
        else:
            score = figures.get("loss/val", math.nan)
        if score < self.best_score - self.plan.stopping.min_delta:
            self.best_score, self.best_epoch = score, self.epoch
            self.best_weights = {k: v.detach().clone() for k, v in self.model.state_dict().items()}

    def restore_best(self) -> None:
        """Put back the best weights, else the last."""
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
