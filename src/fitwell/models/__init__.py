"""Families of models, one a file: everything is a module with a loss."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from fitwell.discovery import members
from fitwell.errors import PlanError
from fitwell.plan import ModelPlan
from fitwell.shape import Batch, Shape


@dataclass(frozen=True)
class Family:
    """A family of models: the constant ``FAMILY`` of one file of this folder.

    Args:
        build: the module for a plan in which nothing is ``"auto"`` any more, and a shape. It draws its
            initial weights from torch's default generator.
        loss: the scalar that is minimised, for a batch, in training mode.
        predict: what the model says of a batch, in evaluation mode: logits (B, K), numbers (B, K), a
            reconstruction (B, ...). It must not need a target.
        score: the mean loss of ``predict``'s outputs in evaluation: deterministic, comparable between parts.
        defaults: values for the fields of ModelPlan that are ``"auto"``, for a shape and a number of training
            samples: {field: (value, why)}. May also give lr-independent settings: weight_decay, augment,
            epochs, batch_size, ...
        suits: whether the family can be built for the shape: None, or what would be needed.
        supervised: whether it needs a target.
    """

    build: Callable[[ModelPlan, Shape], nn.Module]
    loss: Callable[[nn.Module, Batch], Tensor]
    predict: Callable[[nn.Module, Batch], Tensor]
    score: Callable[[nn.Module, Tensor, Batch], Tensor]
    defaults: Callable[[Shape, int], dict[str, tuple[Any, str]]]
    suits: Callable[[Shape], str | None]
    supervised: bool = True


def families() -> dict[str, Family]:
    """Every family by name."""
    return members("fitwell.models", "FAMILY")


def family(name: str) -> Family:
    """The family of this name.

    Raises:
        PlanError: there is none.
    """
    known = families()
    if name not in known:
        raise PlanError(f"there is no model family {name!r}", f"one of {', '.join(known)}", "change --model")
    return known[name]


def parameter_count(model: nn.Module) -> int:
    """How many numbers the training may change: the model's capacity."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def supervised(
    build: Callable[[ModelPlan, Shape], nn.Module],
    defaults: Callable[[Shape, int], dict[str, tuple[Any, str]]],
    suits: Callable[[Shape], str | None],
) -> Family:
    """A family whose module gives outputs (B, K) that its criterion compares with the target."""
    return Family(build, supervised_loss, supervised_predict, supervised_score, defaults, suits)


def supervised_loss(model: nn.Module, batch: Batch) -> Tensor:
    """The criterion of the model's outputs and the batch's target."""
    return model.criterion(model(*input_fields(batch)), batch["y"])  # type: ignore[operator,no-any-return]


def supervised_predict(model: nn.Module, batch: Batch) -> Tensor:
    """The model's outputs (B, K): logits for classes, standardised numbers otherwise."""
    outputs: Tensor = model(*input_fields(batch))
    return outputs


def supervised_score(model: nn.Module, outputs: Tensor, batch: Batch) -> Tensor:
    """The criterion of outputs that were computed before."""
    return model.criterion(outputs, batch["y"])  # type: ignore[operator,no-any-return]


def input_fields(batch: Batch) -> list[Tensor]:
    """The input fields of a batch in their order: everything but the target."""
    return [values for name, values in batch.items() if name != "y"]


ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "elu": nn.ELU,
    "leaky_relu": nn.LeakyReLU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
}


class Standardize(nn.Module):
    """Bring raw pixels to mean 0 and standard deviation 1 of each channel, as part of the model.

    The saved model then takes the very values that the data set holds. x_BCHW of any dtype -> float32.
    """

    def __init__(self, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        super().__init__()
        self.register_buffer("scale", 1 / torch.tensor(std, dtype=torch.float32).view(-1, 1, 1))
        self.register_buffer("shift", -torch.tensor(mean, dtype=torch.float32).view(-1, 1, 1) * self.scale)

    scale: Tensor
    shift: Tensor

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """(x - mean) / std, channel by channel."""
        # In one operation, addcmul, it takes three times as long.
        return x_BCHW.to(self.scale.dtype).mul(self.scale).add_(self.shift)
