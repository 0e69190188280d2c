"""Multilayer perceptron: numbers, categories, small images; the family for tables."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import accumulate, pairwise
from typing import Any

import torch
from torch import Tensor, nn

from fitwell.models import (
    ACTIVATIONS,
    Standardize,
    supervised,
)
from fitwell.models.dropout import Dropout
from fitwell.models.periodic import Periodic
from fitwell.plan import ModelPlan
from fitwell.shape import Input, Shape

ONE_HOT_LEVELS = 8  # up to here a one-hot column is no wider than an embedding (as in RealMLP, 2407.04491)
FEW = 1000  # training samples of a table, below which a small net without embeddings does better


class Mlp(nn.Module):
    """Layers that run one after another; the first takes the input fields in the order of Shape.inputs."""

    def __init__(self, layers: list[nn.Module]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def forward(self, *fields: Tensor) -> Tensor:
        """Outputs (B, K)."""
        first, *rest = self.layers
        x: Tensor = first(*fields)
        for layer in rest:
            x = layer(x)
        return x


class Codes(nn.Module):
    """Categories (B, columns) int64 -> (B, width): one-hot where there are few, embeddings where many.

    Args:
        levels: categories of each column.
    """

    few: Tensor
    offsets: Tensor

    def __init__(self, levels: tuple[int, ...]) -> None:
        super().__init__()
        few = [column for column, count in enumerate(levels) if count <= ONE_HOT_LEVELS]
        *offsets, self.one_hot_width = accumulate((levels[column] for column in few), initial=0)
        self.register_buffer("few", torch.tensor(few, dtype=torch.int64), persistent=False)
        self.register_buffer("offsets", torch.tensor(offsets, dtype=torch.int64), persistent=False)
        self.many = [column for column, count in enumerate(levels) if count > ONE_HOT_LEVELS]
        self.tables = nn.ModuleList(_embedding(levels[column]) for column in self.many)
        self.width = self.one_hot_width + sum(_embedding_width(levels[column]) for column in self.many)

    def forward(self, codes_BC: Tensor) -> Tensor:
        """The columns side by side, one-hot columns first."""
        ones = torch.zeros((len(codes_BC), self.one_hot_width), device=codes_BC.device)
        ones.scatter_(1, codes_BC.index_select(1, self.few) + self.offsets, 1.0)
        parts = [table(codes_BC[:, column]) for table, column in zip(self.tables, self.many, strict=True)]
        return torch.cat([ones, *parts], 1)


def _embedding_width(levels: int) -> int:
    """1.6 L^0.56 as in fastai, found on many tables; at most 32."""
    return min(32, round(1.6 * math.pow(levels, 0.56)))


def _embedding(levels: int) -> nn.Embedding:
    table = nn.Embedding(levels, _embedding_width(levels))
    nn.init.normal_(table.weight, std=table.embedding_dim**-0.5)  # rows of length 1, as one-hot rows are
    nn.init.zeros_(table.weight[0])  # the code of unseen categories, which training may never meet
    return table


class Join(nn.Module):
    """Several fields, each through its own reader, side by side: (B, width)."""

    def __init__(self, readers: list[nn.Module]) -> None:
        super().__init__()
        self.readers = nn.ModuleList(readers)

    def forward(self, *fields: Tensor) -> Tensor:
        """The readers' outputs in the order of the fields."""
        return torch.cat([read(field) for read, field in zip(self.readers, fields, strict=True)], 1)


class BatchNorm(nn.BatchNorm1d):
    """Batch normalisation that takes a last batch of one sample, which has no spread, as in evaluation."""

    def forward(self, x_BF: Tensor) -> Tensor:
        """Normalised by the batch, or by the running statistics for a single sample."""
        if self.training and len(x_BF) == 1:
            return nn.functional.batch_norm(
                x_BF, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps
            )
        return super().forward(x_BF)


NORMS: dict[str, type[nn.Module]] = {"batch": BatchNorm, "layer": nn.LayerNorm}


def reader(field: Input, embedding: str) -> tuple[list[nn.Module], int]:
    """The layers that turn one input field into (B, width), and the width."""
    if field.kind == "image":
        channels, height, width = field.shape
        return [Standardize(field.mean, field.std), nn.Flatten()], channels * height * width
    if field.kind == "codes":
        codes = Codes(field.levels)
        return [codes], codes.width
    if embedding == "periodic":
        periodic = Periodic(field.shape[0])
        return [periodic], periodic.width
    return [], field.shape[0]


def read_all(shape: Shape, embedding: str) -> tuple[list[nn.Module], int]:
    """The layers that turn all input fields into one (B, width), and the width."""
    readers = [reader(field, embedding) for field in shape.inputs.values()]
    if len(readers) == 1:
        return readers[0]
    modules: list[nn.Module] = [nn.Sequential(*layers) for layers, _ in readers]
    return [Join(modules)], sum(width for _, width in readers)


def dense(inputs: int, outputs: int, activation: str | None) -> nn.Linear:
    """A linear layer, initialised for the activation that follows it (None: the outputs), biases zero.

    He et al. 2015 for relu and its relatives, Glorot & Bengio 2010 for tanh and sigmoid and the outputs.
    """
    layer = nn.Linear(inputs, outputs)
    if activation in (None, "tanh", "sigmoid"):
        nn.init.xavier_normal_(layer.weight)
    else:
        nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    nn.init.zeros_(layer.bias)
    return layer


def hidden_layers(plan: ModelPlan, widths: list[int]) -> Iterator[nn.Module]:
    """Dense, norm, activation and dropout for each step from a width to the next."""
    for inputs, outputs in pairwise(widths):
        yield dense(inputs, outputs, plan.activation)
        if plan.norm != "none":
            yield NORMS[plan.norm](outputs)
        yield ACTIVATIONS[plan.activation]()
        if plan.dropout:
            yield Dropout(float(plan.dropout))


def build(plan: ModelPlan, shape: Shape) -> nn.Module:
    """Readers of the fields, hidden layers, a linear output layer. ``hidden=()`` is a linear model."""
    readers, width = read_all(shape, plan.embedding)
    widths = [width, *map(int, plan.hidden)]
    return Mlp([*readers, *hidden_layers(plan, widths), dense(widths[-1], shape.target.outputs, None)])


def defaults(shape: Shape, samples: int) -> dict[str, tuple[Any, str]]:
    """Sizes by the kind of the inputs and the number of samples."""
    images = [field for field in shape.inputs.values() if field.kind == "image"]
    if images:
        small = math.prod(images[0].shape) <= 1024
        return {
            "hidden": ((256, 128) if small else (512, 256), "98.5 % on MNIST's 784 pixels with 256 and 128"),
            "activation": ("relu", "cheap, and its gradient does not vanish"),
            "norm": ("batch", "allows high rates, so few epochs suffice"),
            "dropout": (0.2, "the pixels of a training image are easily memorised"),
            "augment": ((), "a perceptron does not know that pixels have neighbours; a cnn gains more"),
        }
    return _table_defaults(samples)


def _table_defaults(samples: int) -> dict[str, tuple[Any, str]]:
    smooth = ("silu", "smooth, as most relations between columns are")
    plain = ("none", "the columns are standardised, and a shallow net trains well without")
    if samples < FEW:
        return {
            "hidden": ((64, 32), f"room for interactions, with {samples:,} samples"),
            "activation": smooth,
            "norm": plain,
            "dropout": (0.2, "some noise against memorising rows"),
            "embedding": ("none", f"{samples:,} samples can't tell a bend from noise"),
        }
    epochs = max(10, min(25, 700_000 // samples))
    return {
        "hidden": ((256, 128), f"room for interactions, with {samples:,} samples"),
        "activation": smooth,
        "norm": plain,
        "dropout": (0.3, "embedded numbers make rows easy to memorise"),
        "embedding": ("periodic", "lets the net bend quickly along a number, as trees do"),
        "epochs": (epochs, "later epochs only memorise, even at the small rates of the end"),
    }


def suits(shape: Shape) -> str | None:
    """Numbers, codes and images, in any combination."""
    unknown = {field.kind for field in shape.inputs.values()} - {"numbers", "codes", "image"}
    return f"numbers, codes or an image, not {', '.join(sorted(unknown))}" if unknown else None


FAMILY = supervised(build, defaults, suits)
