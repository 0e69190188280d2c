"""What a trained model gets right and wrong on data that it never saw."""

from __future__ import annotations

import base64
import io
import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fitwell.data.contract import Data, Split
from fitwell.models import Family
from fitwell.shape import Target
from fitwell.training.evaluation import outputs_of, probabilities

WORST = 24  # mistakes that are kept
POINTS = 2000  # predicted and true numbers that are kept, for a scatter plot
PICTURE = 96  # pixels of a mistake's longer side, at least


def held_out(family: Family, model: torch.nn.Module, data: Data) -> dict[str, Any]:
    """Confusion matrix or predicted numbers, and the worst mistakes, on the test part (else validation).

    JSON values for ``evaluation.json``: see ``docs/design.md``. Empty without a target or a held-out part.
    """
    name = "test" if data.test is not None else "val"
    part = data.parts.get(name)
    target = data.shape.target
    if part is None or target.kind == "none":
        return {}
    outputs = outputs_of(family, model, part).cpu()
    y = part.fields["y"].index_select(0, part.index).cpu()
    if target.kind == "number":
        return {"part": name} | _numbers(outputs, y, target, data, part)
    return {"part": name} | _classes(outputs, y.view(-1).long(), target, data, part)


def confusion(predicted: Tensor, true: Tensor, classes: int) -> Tensor:
    """(classes, classes) counts: rows are the truth, columns what was predicted."""
    return torch.bincount(true * classes + predicted, minlength=classes**2).view(classes, classes)


def further_figures(outputs: Tensor, y: Tensor, target: Target) -> dict[str, float]:
    """Figures for the end: balanced accuracy and area under the ROC curve, or root mean square error."""
    if target.kind == "number":
        scale = torch.tensor(target.std, dtype=torch.float64)
        return {"rmse": float(((outputs - y).double() * scale).square().mean().sqrt())}
    predicted = probabilities(outputs, target).argmax(1)
    true = y.view(-1).long()
    counts = confusion(predicted, true, len(target.names)).double()
    present = counts.sum(1) > 0
    figures = {"balanced_accuracy": float((counts.diag() / counts.sum(1).clamp_min(1))[present].mean())}
    if target.kind == "binary" and bool(present.all()):
        from sklearn.metrics import roc_auc_score

        figures["auc"] = float(roc_auc_score(true.numpy(), outputs.view(-1).numpy()))
    return figures


def _classes(outputs: Tensor, true: Tensor, target: Target, data: Data, part: Split) -> dict[str, Any]:
    chances = probabilities(outputs, target)
    confidence, predicted = chances.max(1)
    wrong = (predicted != true).nonzero().view(-1)
    worst = wrong[confidence[wrong].argsort(descending=True, stable=True)][:WORST]
    mistakes = [
        {
            "row": _row(data, int(part.index[i])),
            "true": target.names[int(true[i])],
            "predicted": target.names[int(predicted[i])],
            "confidence": round(float(confidence[i]), 4),
            **_picture(part, int(part.index[i])),
        }
        for i in worst.tolist()
    ]
    matrix = confusion(predicted, true, len(target.names)).tolist()
    return {"classes": list(target.names), "confusion": matrix, "mistakes": mistakes}


def _numbers(outputs: Tensor, y: Tensor, target: Target, data: Data, part: Split) -> dict[str, Any]:
    mean, scale = (torch.tensor(v, dtype=torch.float64) for v in (target.mean, target.std))
    predicted, true = outputs.double() * scale + mean, y.double() * scale + mean
    error = (predicted - true).abs().sum(1)
    thin = torch.arange(0, len(true), math.ceil(len(true) / POINTS))
    mistakes = [
        {
            "row": _row(data, int(part.index[i])),
            "true": float(true[i, 0]),
            "predicted": float(predicted[i, 0]),
            **_picture(part, int(part.index[i])),
        }
        for i in error.argsort(descending=True, stable=True)[:WORST].tolist()
    ]
    return {"predicted": predicted[thin, 0].tolist(), "true": true[thin, 0].tolist(), "mistakes": mistakes}


def _row(data: Data, index: int) -> str:
    return data.rows[index] if data.rows else f"sample {index}"


def _picture(part: Split, index: int) -> dict[str, str]:
    """The sample as a PNG in a data URI, if it is a picture."""
    x = part.fields.get("x")
    if x is None or x.ndim != 4 or x.shape[1] not in (1, 3):
        return {}
    from PIL import Image

    pixels = x[index].cpu().double().numpy().transpose(1, 2, 0)
    low, high = min(float(pixels.min()), 0.0), max(float(pixels.max()), 1e-9)
    whole = 255.0 if x.dtype == torch.uint8 and high > 16 else high
    levels = ((pixels - low) / (whole - low) * 255).clip(0, 255).astype(np.uint8)
    image = Image.fromarray(levels[:, :, 0] if levels.shape[2] == 1 else levels)
    enlarge = max(1, PICTURE // max(image.size))
    image = image.resize((image.width * enlarge, image.height * enlarge), Image.Resampling.NEAREST)
    file = io.BytesIO()
    image.save(file, "PNG")
    return {"picture": "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()}
