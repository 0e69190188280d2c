"""What ``tune.py`` trains, the same for everybody: two nets, their data in whole batches, their learning rates."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

CONFIGURATIONS = 32
LOWEST, HIGHEST = 1e-4, 1e-2  # of the learning rates
BATCH = 64


@dataclass(frozen=True)
class Net:
    """A perceptron, and what it learns.

    Args:
        source: of the data, as fitwell names it.
        sizes: inputs, hidden units, outputs.
        validation: samples that are not trained on, so that BATCH divides the others.
        epochs: of a training that is measured as a whole.
        members: sizes of populations that are measured.
        goal: how many times as fast as the hand-written loop a population is to be.
    """

    source: str
    sizes: tuple[int, ...]
    validation: int
    epochs: int
    members: tuple[int, ...]
    goal: float

    @property
    def parameters(self) -> int:
        """Weights and biases."""
        return sum(before * after + after for before, after in pairwise(self.sizes))

    @property
    def operations(self) -> int:
        """Multiplications and additions of a step: forward, and backward without the gradient of the first input."""
        products = [before * after for before, after in pairwise(self.sizes)]
        return 2 * BATCH * (3 * sum(products) - products[0])

    def __str__(self) -> str:
        return f"{self.source} {'-'.join(map(str, self.sizes))}, batch {BATCH}"


NETS = {
    "digits": Net("digits", (64, 64, 10), 261, 20, (CONFIGURATIONS,), 8.0),
    "mnist": Net("mnist", (784, 128, 10), 10_080, 1, (8, 16, CONFIGURATIONS), 4.0),
}


def rates(count: int) -> list[float]:
    """Learning rates, evenly spaced in their logarithm: of those 32, every other one, and so on."""
    factor = math.log(HIGHEST / LOWEST)
    return [LOWEST * math.exp(factor * number / max(1, count - 1)) for number in range(count)]


@cache
def data_of(net: Net) -> Any:
    """The data of a net, read by fitwell. MNIST must be there: nothing is downloaded while others are measured."""
    from fitwell import data as datasets
    from fitwell.plan import DataPlan

    if net.source == "mnist" and not Path(os.environ.get("FITWELL_DATA", "data"), "mnist").is_dir():
        raise FileNotFoundError("name the folder that holds mnist/ by FITWELL_DATA")

    return datasets.load(DataPlan(source=net.source, validation=net.validation, test=0))


def tensors_of(net: Net) -> tuple[tuple[Any, Any], tuple[Any, Any]]:
    """Pixels from 0 to 1 (N, F) and classes (N,), to train on and to validate on: what hand-written loops read."""
    data = data_of(net)

    def part(split: Any) -> tuple[Any, Any]:
        fields = split.take(split.index)
        x_NF = fields["x"].flatten(1).float()
        return x_NF / x_NF.max(), fields["y"].long()

    return part(data.train), part(data.validation)


def network(net: Net) -> Any:
    """A fresh net of PyTorch."""
    from torch import nn

    layers = [layer for i, o in pairwise(net.sizes[:-1]) for layer in (nn.Linear(i, o), nn.ReLU())]
    return nn.Sequential(*layers, nn.Linear(net.sizes[-2], net.sizes[-1]))


def plan_of(net: Net, **values: Any) -> Any:
    """The same net, optimizer and batches as a plan that is decided throughout."""
    from fitwell.plan import Plan
    from fitwell.training.defaults import decide

    same: dict[str, Any] = {"model": "mlp", "hidden": net.sizes[1:-1], "norm": "none", "dropout": 0.0}
    same |= {
        "algorithm": "adam",
        "weight_decay": 0.0,
        "schedule": "constant",
        "batch_size": BATCH,
        "lr": 1e-3,
    }
    same |= {"augment": (), "patience": None, "epochs": 1000, "threads": 1, "device": "cpu"}
    plan = Plan(data=net.source).change(**(same | values))
    return decide(plan, data_of(net))[0]
