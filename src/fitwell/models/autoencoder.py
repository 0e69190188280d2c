"""Autoencoder: numbers or an image through a narrow code and back. What it can't rebuild is unusual."""

from __future__ import annotations

import math
from typing import Any, cast

import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from torch import Tensor, nn

from fitwell.errors import PlanError
from fitwell.models import Family, Standardize, input_fields
from fitwell.models.mlp import dense, hidden_layers
from fitwell.plan import ModelPlan
from fitwell.shape import Batch, Shape


class Autoencoder(nn.Module):
    """Standardise, encode to a code, decode. The code and the reconstruction are linear in their last layers.

    With one hidden layer all is linear, and the best reconstruction is that of PCA (Baldi & Hornik 1989).
    """

    def __init__(self, standardize: nn.Module, encoder: nn.Module, decoder: nn.Module) -> None:
        super().__init__()
        self.standardize, self.encoder, self.decoder = standardize, encoder, decoder

    def encode(self, x: Tensor) -> Tensor:
        """The code (B, K) of a field (B, ...)."""
        return cast("Tensor", self.encoder(self.standardize(x).flatten(1)))

    def forward(self, x: Tensor) -> Tensor:
        """The reconstruction, standardised, in the shape of the field (B, ...)."""
        return cast("Tensor", self.decoder(self.encode(x))).view(x.shape)


def build(plan: ModelPlan, shape: Shape) -> nn.Module:
    """``plan.hidden`` are the encoder's widths, the last of which is the code; the decoder mirrors them.

    Raises:
        PlanError: there is no hidden layer to be the code.
    """
    if not plan.hidden:
        raise PlanError(
            "an autoencoder without a hidden layer", "the width of the code at least", "try --hidden 32"
        )
    (field,) = shape.inputs.values()
    inputs = math.prod(field.shape)
    *wide, code = (int(width) for width in plan.hidden)
    down, up = [inputs, *wide], [code, *reversed(wide)]
    standardize = Standardize(field.mean, field.std) if field.kind == "image" else nn.Identity()
    encoder = nn.Sequential(*hidden_layers(plan, down), dense(down[-1], code, None))
    decoder = nn.Sequential(*hidden_layers(plan, up), dense(up[-1], inputs, None))
    return Autoencoder(standardize, encoder, decoder)


def loss(model: nn.Module, batch: Batch) -> Tensor:
    """The mean squared error of the standardised reconstruction: 1 is no better than the mean.

    Squared error for images too: unlike the cross-entropy of pixels it is 0 for a perfect reconstruction and
    does not depend on the range of the values.
    """
    (x,) = input_fields(batch)
    return F.mse_loss(model(x), _standardized(model, x))


def predict(model: nn.Module, batch: Batch) -> Tensor:
    """The reconstruction (B, ...) in the units of the field: those of the pixels for an image."""
    (x,) = input_fields(batch)
    reconstruction: Tensor = model(x)
    if isinstance(model.standardize, Standardize):
        return (reconstruction - model.standardize.shift) / model.standardize.scale
    return reconstruction


def score(model: nn.Module, outputs: Tensor, batch: Batch) -> Tensor:
    """The loss of reconstructions that were computed before."""
    (x,) = input_fields(batch)
    return F.mse_loss(_standardized(model, outputs), _standardized(model, x))


def _standardized(model: nn.Module, x: Tensor) -> Tensor:
    return cast("Tensor", cast("nn.Module", model.standardize)(x))


def defaults(shape: Shape, samples: int) -> dict[str, tuple[Any, str]]:  # noqa: ARG001 - the contract's
    """A code of at most 32 numbers, reached in steps."""
    (field,) = shape.inputs.values()
    inputs = math.prod(field.shape)
    code = max(1, min(32, inputs // 2))
    wide = (256, 128) if inputs > 64 else (128, 64)
    return {
        "hidden": ((*wide, code), f"from {inputs} numbers in steps to a code of {code}"),
        "activation": ("silu", "smooth, as the reconstruction is to be"),
        "norm": ("none", "the inputs are standardised, and a shallow net trains well without"),
        "dropout": (0.0, "the narrow code keeps it from memorising"),
        "augment": ((), "the samples themselves are to be rebuilt"),
    }


def suits(shape: Shape) -> str | None:
    """One field, of numbers or an image."""
    kinds = [field.kind for field in shape.inputs.values()]
    return None if kinds in (["numbers"], ["image"]) else "numbers or an image alone, no categories"


FAMILY = Family(
    build=build,
    loss=loss,
    predict=predict,
    score=score,
    defaults=defaults,
    suits=suits,
    supervised=False,
)
