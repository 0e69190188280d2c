"""What gradient boosting reaches on the same parts: on structured data a net must be measured against it.

Trees remain the state of the art around 10,000 rows (Grinsztajn et al. 2022, arXiv 2207.08815).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from fitwell.data.contract import Data, Split
from fitwell.shape import Target
from fitwell.training.evaluation import metrics

CHUNK = 65_536  # rows that are predicted at once
LEVELS = 255  # scikit-learn's limit for one categorical column


def train_baseline(data: Data, seed: int, threads: int = 1, balanced: bool = False) -> dict[str, float]:
    """Train scikit-learn's HistGradientBoosting as it comes, stopped early by the same validation part.

    Args:
        data: structured, with a target.
        seed: of its random draws.
        threads: of OpenMP, which on a busy machine may take ten times as long with two as with one.
        balanced: weight the classes as the net does under ``--class-weights``.

    Returns:
        The metrics of each part: ``train/accuracy``, ``val/accuracy``, ... or ``mae`` and ``r2``.
    """
    target = data.shape.target
    model = _fit(data, seed, threads, balanced)
    if model is None:
        return {}
    figures: dict[str, float] = {}
    for name, part in data.parts.items():
        chunks = torch.split(part.index, CHUNK)
        outputs = torch.cat([_outputs(model, _matrix(Split(part.fields, c))[0], target) for c in chunks])
        found = metrics(outputs, part.fields["y"].index_select(0, part.index).cpu(), target)
        figures |= {f"{name}/{metric}": float(value) for metric, value in found.items()}
    return figures


def suits(data: Data) -> bool:
    """Whether the comparison can be made: structured data with one target."""
    target = data.shape.target
    return data.structured and (target.kind in ("classes", "binary") or target.outputs == 1)


def _fit(data: Data, seed: int, threads: int, balanced: bool) -> Any:
    """The boosting; None if there is one class only, as parts by time or by groups may leave."""
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
    from threadpoolctl import threadpool_limits

    number, (x, y) = data.shape.target.kind == "number", _matrix(data.train)
    if not number and len(np.unique(y)) < 2:
        return None
    kind: Any = HistGradientBoostingRegressor if number else HistGradientBoostingClassifier
    watched, categorical = _watched(data.validation, y, data.shape.target), _categorical(data)
    # Told of no categories, scikit-learn makes no copy of the matrix to encode them.
    options: dict[str, Any] = {
        "categorical_features": categorical if any(categorical) else None,
        "random_state": seed,
    }
    options |= {"class_weight": "balanced"} if balanced and not number else {}
    with threadpool_limits(threads):
        return kind(early_stopping=bool(watched), **options).fit(x, y, **watched)


def _watched(validation: Split | None, y: np.ndarray, target: Target) -> dict[str, np.ndarray]:
    """The validation samples by which the boosting is stopped: those of classes that it knows."""
    if validation is None:
        return {}
    x_val, y_val = _matrix(validation)
    known = np.isin(y_val, y) if target.kind != "number" else np.full(len(y_val), True)
    return {"X_val": x_val[known], "y_val": y_val[known]} if known.any() else {}


def _matrix(part: Split) -> tuple[np.ndarray, np.ndarray]:
    """(n, columns) float64, which scikit-learn then uses as it is, and y (n,)."""
    inputs = [values for name, values in part.fields.items() if name != "y"]
    x = np.empty((len(part), sum(values.shape[1] for values in inputs)))
    start = 0
    for values in inputs:
        end = start + values.shape[1]
        x[:, start:end] = values.index_select(0, part.index).cpu().numpy()
        start = end
    return x, part.fields["y"].index_select(0, part.index).cpu().numpy().ravel()


def _categorical(data: Data) -> list[bool]:
    """Which columns of ``_matrix`` are categories."""
    mask: list[bool] = []
    for values in data.shape.inputs.values():
        mask += [levels <= LEVELS for levels in values.levels] or [False] * values.shape[0]
    return mask


def _outputs(model: Any, x: np.ndarray, target: Target) -> Tensor:
    """The model's answers in the form of a net's: logits, or numbers (N, 1)."""
    if target.kind == "number":
        return torch.from_numpy(model.predict(x)).view(-1, 1)
    probability = torch.from_numpy(model.predict_proba(x)).clamp_min(1e-12)
    if target.kind == "binary":
        return torch.logit(probability[:, 1:], eps=1e-12)
    logits = torch.full((len(x), target.outputs), -30.0, dtype=torch.float64)
    logits[:, torch.from_numpy(model.classes_.astype(np.int64))] = probability.log()
    return logits
