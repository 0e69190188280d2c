"""Restricted Boltzmann machine of binary units, trained by contrastive divergence (Hinton 2002).

E(v, h) = -b.v - c.h - v W h. Pixels from 0 to full intensity are taken as the probabilities that a visible
unit is on. Which values are samples and which probabilities follows Hinton's guide (2010), section 3: the
hidden units that drive a reconstruction are sampled; the statistics that are learned from use the
probabilities of the hidden units. Visible units are sampled as well, so that the chain is true Gibbs sampling
and CD-k tends to the exact gradient as k grows.
"""

from __future__ import annotations

import math
from typing import Any, cast

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from torch import Tensor, nn

from fitwell.errors import PlanError
from fitwell.models import Family, input_fields
from fitwell.plan import ModelPlan
from fitwell.shape import Batch, Input, Shape

SCALES = (1.0, 16.0, 255.0, 65535.0)  # full intensity: floats, scikit-learn's digits, 8 bit, 16 bit


class Rbm(nn.Module):
    """Visible units V, hidden units H.

    Args:
        visible: how many visible units.
        hidden: how many hidden units.
        cd_steps: k of CD-k.
        scale: the value of a pixel of full intensity.
    """

    def __init__(self, visible: int, hidden: int, cd_steps: int, scale: float) -> None:
        super().__init__()
        # Section 8 of the guide: small random weights, hidden biases 0.
        self.weight_VH = nn.Parameter(torch.randn(visible, hidden) * 0.01)
        self.bias_V = nn.Parameter(torch.zeros(visible))
        self.bias_H = nn.Parameter(torch.zeros(hidden))
        self.cd_steps, self.scale = cd_steps, scale

    def visible(self, x: Tensor) -> Tensor:
        """Pixels (B, ...) as probabilities (B, V)."""
        return (x.flatten(1).to(self.weight_VH.dtype) / self.scale).clamp(0, 1)

    def hidden_logits(self, v_BV: Tensor) -> Tensor:
        """Log p(h=1|v) / p(h=0|v), (B, H)."""
        return torch.addmm(self.bias_H, v_BV, self.weight_VH)

    def visible_logits(self, h_BH: Tensor) -> Tensor:
        """Log p(v=1|h) / p(v=0|h), (B, V)."""
        return torch.addmm(self.bias_V, h_BH, self.weight_VH.T)

    def free_energy(self, v_BV: Tensor) -> Tensor:
        """F(v) = -log sum over h of exp(-E(v, h)), (B,), in nats."""
        return -(v_BV @ self.bias_V) - F.softplus(self.hidden_logits(v_BV)).sum(1)

    @torch.no_grad()
    def gibbs(self, v_BV: Tensor, steps: int) -> Tensor:
        """Binary visible units (B, V) after so many full steps of Gibbs sampling from v."""
        for _ in range(steps):
            h_BH = torch.bernoulli(self.hidden_logits(v_BV).sigmoid())
            v_BV = torch.bernoulli(self.visible_logits(h_BH).sigmoid())
        return v_BV

    def forward(self, x: Tensor) -> Tensor:
        """The mean-field reconstruction (B, V): p(v=1 | p(h|x)), without a random draw."""
        return self.visible_logits(self.hidden_logits(self.visible(x)).sigmoid()).sigmoid()

    def conditional_logits(self, v_BV: Tensor, unit_B: Tensor) -> Tensor:
        """Log p(v_i=1 | the other units) / p(v_i=0 | the others) of one unit i of each sample, (B,)."""
        weight_BH = self.weight_VH[unit_B]
        value_B1 = v_BV.gather(1, unit_B[:, None])
        off_BH = self.hidden_logits(v_BV) - value_B1 * weight_BH
        return self.bias_V[unit_B] + (F.softplus(off_BH + weight_BH) - F.softplus(off_BH)).sum(1)


def build(plan: ModelPlan, shape: Shape) -> nn.Module:
    """``plan.hidden`` is the number of hidden units.

    Raises:
        PlanError: there is not exactly one hidden layer.
    """
    if len(plan.hidden) != 1:
        raise PlanError(f"an rbm with hidden = {plan.hidden}", "one hidden layer", "try --hidden 256")
    (image,) = shape.inputs.values()
    return Rbm(math.prod(image.shape), int(plan.hidden[0]), plan.cd_steps, full_intensity(image))


def full_intensity(image: Input) -> float:
    """The scale of the pixels, from their mean and variance over the training part.

    Values from 0 to s have a variance of at most mean (s - mean) (Bhatia & Davis 2000), so s is at least
    mean + variance / mean: the smallest usual scale above that is taken. Brighter pixels count as full.
    """
    least = max(mean + std**2 / mean for mean, std in zip(image.mean, image.std, strict=True) if mean > 0)
    return next((scale for scale in SCALES if least <= scale), least)


def loss(model: nn.Module, batch: Batch) -> Tensor:
    """F(data) - F(sample of k Gibbs steps, held fixed), whose gradient is that of CD-k for W, b and c.

    Its value is not a measure of fit: it is near zero for a good model and for a bad one.
    """
    rbm, v_BV = _machine(model, batch)
    return (rbm.free_energy(v_BV) - rbm.free_energy(rbm.gibbs(v_BV, rbm.cd_steps))).mean()


def predict(model: nn.Module, batch: Batch) -> Tensor:
    """The mean-field reconstruction (B, C, H, W) in the units of the pixels."""
    (x,) = input_fields(batch)
    rbm = cast("Rbm", model)
    reconstruction: Tensor = rbm(x)
    return (reconstruction * rbm.scale).view(x.shape)


def score(model: nn.Module, outputs: Tensor, batch: Batch) -> Tensor:  # noqa: ARG001 - not of the outputs
    """The negative pseudo-log-likelihood of a sample, in nats: V times that of one unit given the others.

    As in Marlin et al. 2010 and scikit-learn's BernoulliRBM, but deterministic: the unit is not drawn but
    steps through the image with the sample's place in the batch, in strides near the golden section, so that
    any stretch of samples covers the units evenly. A gray pixel counts as the probability that it is.
    """
    rbm, v_BV = _machine(model, batch)
    units = v_BV.shape[1]
    unit_B = torch.arange(len(v_BV), device=v_BV.device) * stride(units) % units
    value_B = v_BV.gather(1, unit_B[:, None])[:, 0]
    return units * F.binary_cross_entropy_with_logits(rbm.conditional_logits(v_BV, unit_B), value_B)


def stride(units: int) -> int:
    """The step nearest above 0.618 of the units that shares no divisor with them, so every unit is met."""
    step = round(units * 0.618) or 1
    while math.gcd(step, units) != 1:
        step += 1
    return step


def _machine(model: nn.Module, batch: Batch) -> tuple[Rbm, Tensor]:
    rbm = cast("Rbm", model)
    (x,) = input_fields(batch)
    return rbm, rbm.visible(x)


def defaults(shape: Shape, samples: int) -> dict[str, tuple[Any, str]]:  # noqa: ARG001 - the contract's
    """As many hidden units as the picture needs, and a rate, for none can be found from the loss."""
    (image,) = shape.inputs.values()
    hidden = max(16, min(512, math.prod(image.shape)))
    return {
        "hidden": ((hidden,), "about as many as pixels, at most 512"),
        "activation": ("sigmoid", "the probability of a binary unit"),
        "norm": ("none", "a Boltzmann machine has no norm"),
        "dropout": (0.0, "a Boltzmann machine has no dropout"),
        "augment": ((), "the distribution of the samples themselves is learned"),
        "lr": (5e-3, "the loss of contrastive divergence does not fall, so no rate can be found from it"),
    }


def suits(shape: Shape) -> str | None:
    """One image: its pixels have a least and a greatest value, which standardised numbers have not."""
    fields = list(shape.inputs.values())
    if [field.kind for field in fields] != ["image"] or not any(mean > 0 for mean in fields[0].mean):
        return "one image whose pixels range from 0 to full intensity"
    return None


FAMILY = Family(
    build=build,
    loss=loss,
    predict=predict,
    score=score,
    defaults=defaults,
    suits=suits,
    supervised=False,
)
