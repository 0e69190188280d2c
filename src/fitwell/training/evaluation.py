"""Measure a model on a part of the data, in evaluation mode."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from fitwell.data.contract import Split
from fitwell.models import Family
from fitwell.shape import Batch, Target

LARGEST_BATCH, NUMBERS = 1024, 2**20  # samples, and input numbers, that are evaluated at once


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Evaluation mode without gradients; the former mode comes back afterwards."""
    was_training = model.training
    model.eval()
    try:
        with torch.inference_mode():
            yield
    finally:
        model.train(was_training)


def measure(family: Family, model: nn.Module, part: Split, target: Target) -> dict[str, float]:
    """The mean loss over a part, and the metrics that suit the target, by name."""
    total, outputs = torch.zeros(()), []
    with evaluating(model):
        for batch in part.batches(_batch_size(part)):
            output = family.predict(model, batch)
            total = total.to(output.device) + family.score(model, output, batch).double() * _size(batch)
            if target.kind != "none":
                outputs.append(output)
        figures = {"loss": total / len(part)}
        if outputs:
            figures |= metrics(torch.cat(outputs), part.fields["y"].index_select(0, part.index), target)
    # One transfer from the device for all figures.
    return dict(zip(figures, torch.stack(list(figures.values())).tolist(), strict=True))


def _batch_size(part: Split) -> int:
    """As many samples as fit into memory even where a model widens its input a hundredfold."""
    widest = max(values[0].numel() for values in part.fields.values())
    return max(1, min(LARGEST_BATCH, NUMBERS // max(widest, 1)))


def _size(batch: Batch) -> int:
    return len(next(iter(batch.values())))


def outputs_of(family: Family, model: nn.Module, part: Split) -> Tensor:
    """What the model says of each sample of a part: (n, ...), on the model's device."""
    with evaluating(model):
        return torch.cat([family.predict(model, batch) for batch in part.batches(_batch_size(part))])


def metrics(outputs: Tensor, y: Tensor, target: Target) -> dict[str, Tensor]:
    """Accuracy for classes; mean absolute error and R2, in the target's own units, for numbers.

    Args:
        outputs: logits (N, K), or standardised numbers (N, K).
        y: classes (N,), or floats (N, K).
        target: what y means.
    """
    if target.kind == "classes":
        return {"accuracy": (outputs.argmax(1) == y).double().mean()}
    if target.kind == "binary":
        return {"accuracy": ((outputs > 0) == (y > 0.5)).double().mean()}
    scale = torch.tensor(target.std, dtype=torch.float64, device=y.device)
    error = (outputs.double() - y.double()) * scale
    spread = (y.double() - y.double().mean(0)) * scale
    r2 = 1 - error.square().sum(0) / spread.square().sum(0).clamp_min(1e-12)
    return {"mae": error.abs().mean(), "r2": r2.mean()}


def main_metric(target: Target) -> str:
    """The figure to look at first."""
    return {"classes": "accuracy", "binary": "accuracy", "number": "r2", "none": "loss"}[target.kind]


def probabilities(outputs: Tensor, target: Target) -> Tensor:
    """Class probabilities (N, number of classes) from logits."""
    if target.kind == "binary":
        positive = torch.sigmoid(outputs.double())
        return torch.cat([1 - positive, positive], dim=1)
    return torch.softmax(outputs.double(), dim=1)
