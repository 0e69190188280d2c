"""The trained model as files: ``model/`` in a run directory, and what is made from them again.

model/model.safetensors    weights
model/model.json           family, its plan, the loss, shape, encoder, SHA-256 of the weights
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import TypeAdapter
from torch import Tensor, nn

from fitwell import data
from fitwell.data.contract import Samples, Split
from fitwell.errors import DamagedError, RunError
from fitwell.models import Family, family
from fitwell.models.criterion import criterion
from fitwell.plan import LossPlan, ModelPlan, Plan
from fitwell.run.files import read_sealed, sealed, sha256, storage, write_atomic
from fitwell.shape import Shape
from fitwell.training.checkpoint import read_tensors, to_bytes
from fitwell.training.evaluation import outputs_of

SCHEMA = 1
_MODEL, _LOSS = TypeAdapter(ModelPlan), TypeAdapter(LossPlan)


@dataclass(frozen=True)
class Fitted:
    """A trained model with all that it needs to read new data."""

    model: nn.Module
    family: Family
    shape: Shape
    encoder: dict[str, Any]

    def outputs(self, samples: Samples) -> Tensor:
        """What the model says of new samples: logits (N, K), standardised numbers (N, K), a reconstruction.

        Raises:
            DataError: the samples are not like those trained on.
        """
        device = next(self.model.parameters()).device
        fields = {name: value.to(device) for name, value in data.encode(self.encoder, samples).items()}
        rows = torch.arange(samples.count, device=device)
        return outputs_of(self.family, self.model, Split(fields, rows)).cpu()


def build(plan: Plan, shape: Shape, class_counts: Tensor | None = None) -> nn.Module:
    """The model of a plan in which everything is decided, with its criterion."""
    chosen = family(plan.model.family)
    model = chosen.build(plan.model, shape)
    if chosen.supervised:
        model.criterion = criterion(plan.loss, shape.target, class_counts)
    return model


def save_model(folder: Path, plan: Plan, fitted: Fitted) -> None:
    """Write ``model/``: first the weights, then the description with their checksum."""
    with storage(folder):
        folder.mkdir(exist_ok=True)
    weights = to_bytes(fitted.model.state_dict())
    write_atomic(folder / "model.safetensors", weights)
    description = {
        "schema": SCHEMA,
        "model": _MODEL.dump_python(plan.model, mode="json"),
        "loss": _LOSS.dump_python(plan.loss, mode="json"),
        "shape": fitted.shape.to_dict(),
        "encoder": fitted.encoder,
        "sha256": sha256(weights),
    }
    write_atomic(folder / "model.json", sealed(description))


def load_model(folder: Path) -> Fitted:
    """The model that ``save_model`` wrote, in evaluation mode, on the CPU.

    Raises:
        RunError: there is none.
        DamagedError: a file was changed.
    """
    if not (folder / "model.json").exists():
        raise RunError(
            f"{folder} holds no model",
            "a finished run",
            f"`fitwell resume {folder.parent.name}` ends the training",
        )
    description = read_sealed(folder / "model.json")
    try:
        shape = Shape.from_dict(description["shape"])
        spec, loss = _MODEL.validate_python(description["model"]), _LOSS.validate_python(description["loss"])
        checksum, encoder = description["sha256"], description["encoder"]
    except (KeyError, TypeError, ValueError) as error:
        raise DamagedError(
            f"{folder / 'model.json'} is damaged: {error}", "what fitwell wrote", "restore it, or train again"
        ) from None
    weights = read_tensors(folder / "model.safetensors", checksum)
    with torch.random.fork_rng(devices=[]):
        model = build(Plan(data="memory", model=spec, loss=loss), shape)
    model.load_state_dict(weights)
    return Fitted(model.eval(), family(spec.family), shape, encoder)
