"""Small residual network for images of 8x8 to 64x64 pixels.

He et al. 2016, with the averaging shortcut of ResNet-D (He et al. 2019).
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from fitwell.errors import PlanError
from fitwell.models import (
    ACTIVATIONS,
    Standardize,
    supervised,
)
from fitwell.models.dropout import Dropout
from fitwell.models.mlp import dense
from fitwell.plan import ModelPlan
from fitwell.shape import Shape

SMALLEST = 4  # pixels: below, a map has too little left for a 3x3 filter to look at


class Cnn(nn.Module):
    """Standardise, a first convolution at full size, residual stages, mean over positions, linear outputs."""

    def __init__(self, standardize: Standardize, stem: nn.Module, stages: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.standardize, self.stem, self.stages, self.head = standardize, stem, stages, head

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Outputs (B, K)."""
        maps_BCHW = self.stem(self.standardize(x_BCHW))
        # A third faster on CPUs. The weights keep their layout, so saving and restoring changes nothing.
        outputs: Tensor = self.head(self.stages(maps_BCHW.contiguous(memory_format=torch.channels_last)))
        return outputs


class Stage(nn.Module):
    """A residual block: activation(shortcut(x) + two convolutions of x); it begins as its shortcut alone.

    Args:
        inputs: channels of x.
        outputs: channels of the result.
        stride: 2 halves height and width, rounding up.
        plan: activation and norm.
    """

    def __init__(self, inputs: int, outputs: int, stride: int, plan: ModelPlan) -> None:
        super().__init__()
        self.residual = nn.Sequential(
            *convolution(inputs, outputs, stride, plan),
            ACTIVATIONS[plan.activation](),
            *convolution(outputs, outputs, 1, plan),
        )
        # Goyal et al. 2017, sec. 5.1: a block that begins as the identity trains well at high rates.
        nn.init.zeros_(self.residual[-1].weight)  # type: ignore[arg-type]
        shortcut: list[nn.Module] = [nn.AvgPool2d(2, ceil_mode=True)] if stride == 2 else []
        if inputs != outputs:
            shortcut.append(nn.Conv2d(inputs, outputs, 1, bias=False))
        self.shortcut = nn.Sequential(*shortcut)
        self.activation = ACTIVATIONS[plan.activation]()

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """(B, outputs, H / stride, W / stride)."""
        outputs: Tensor = self.activation(self.shortcut(x_BCHW) + self.residual(x_BCHW))
        return outputs


def convolution(inputs: int, outputs: int, stride: int, plan: ModelPlan) -> list[nn.Module]:
    """A 3x3 convolution, initialised by He et al. 2015, and its norm.

    Layer norm is over all channels and pixels of an image.
    """
    layer = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=plan.norm == "none")
    nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
        return [layer]
    return [layer, nn.BatchNorm2d(outputs) if plan.norm == "batch" else nn.GroupNorm(1, outputs)]


def build(plan: ModelPlan, shape: Shape) -> nn.Module:
    """``plan.hidden`` are the channels: of the first convolution, then of each residual stage.

    A stage halves the size of the maps as long as at least ``SMALLEST`` pixels remain.

    Raises:
        PlanError: there is not one number of channels.
    """
    if not plan.hidden:
        raise PlanError("a cnn without channels", "the channels of one stage at least", "try --hidden 16,32")
    (image,) = shape.inputs.values()
    channels, *sides = image.shape
    hidden = [int(width) for width in plan.hidden]
    stem = nn.Sequential(*convolution(channels, hidden[0], 1, plan), ACTIVATIONS[plan.activation]())
    stages, side = [], min(sides)
    for inputs, outputs in pairwise(hidden):
        stride = 2 if (side + 1) // 2 >= SMALLEST else 1
        side = (side + stride - 1) // stride
        stages.append(Stage(inputs, outputs, stride, plan))
    head = nn.Sequential(
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        Dropout(float(plan.dropout)),
        dense(hidden[-1], shape.target.outputs, None),
    )
    return Cnn(Standardize(image.mean, image.std), stem, nn.Sequential(*stages), head)


def defaults(shape: Shape, samples: int) -> dict[str, tuple[Any, str]]:  # noqa: ARG001 - the contract's
    """Stages and views by the size of the image and its channels."""
    (image,) = shape.inputs.values()
    colour = image.shape[0] >= 3
    hidden = (32, 64, 128) if colour else (16, 32, 64)
    views = ("shift", "flip") if colour else ("shift",)
    return {
        "hidden": (hidden, "maps at half the size for twice the channels; more for colour"),
        "activation": ("relu", "cheap, and its gradient does not vanish"),
        "norm": ("batch", "allows high rates, so few epochs suffice"),
        "dropout": (0.0, "the mean over positions leaves few weights to memorise with"),
        "augment": (views, "what a picture shows stays the same" + ", mirrored too" * colour),
    }


def suits(shape: Shape) -> str | None:
    """One image and nothing else."""
    fields = list(shape.inputs.values())
    if len(fields) != 1 or fields[0].kind != "image" or min(fields[0].shape[1:]) < SMALLEST:
        return f"one image of at least {SMALLEST}x{SMALLEST} pixels"
    return None


FAMILY = supervised(build, defaults, suits)
