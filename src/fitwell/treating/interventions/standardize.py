"""Inputs with mean 0 and variance 1: the first floating input of each whole model.

Per feature of the last axis, or per channel of images and of what goes into a convolution. The statistics are of the
batches that the model was trained on so far. What another model made, with a graph, is left alone; so are inputs that
are named in the call. The statistics are kept in the first layer, which a copy or a wrapper of the model has, too.
"""

from __future__ import annotations

from typing import Any
from weakref import WeakSet

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from fitwell.treating.changing.live import Intervention, Live
from fitwell.treating.changing.running import is_model
from fitwell.treating.changing.standardizer import Standardizer

_KEPT = "_fitwell_standardizer"  # attribute of a layer; None if its input is left alone


def _apply(live: Live) -> None:
    holders: WeakSet[nn.Module] = WeakSet()

    def before(model: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...] | None:
        place = next((i for i, each in enumerate(inputs) if _is_floating(each)), None)
        if place is None or not is_model(model):
            return None
        first = next(part for part in model.modules() if next(part.parameters(False), None) is not None)
        holders.add(first)
        input = _standardized(first, model.training, inputs[place])
        return (*inputs[:place], input, *inputs[place + 1 :])

    def forget() -> None:
        for layer in holders:
            layer.__dict__.pop(_KEPT, None)

    live.calls(before)
    live.finally_do(forget)


def _is_floating(value: Any) -> bool:
    return isinstance(value, Tensor) and value.is_floating_point() and value.dim() > 0 and value.numel() > 0


def _standardized(layer: nn.Module, training: bool, input: Tensor) -> Tensor:
    """The input as the first layer of a model is to have it."""
    axis = 1 if input.dim() > 3 or (isinstance(layer, _ConvNd) and input.dim() > 2) else -1
    rows = input.movedim(axis, -1) if input.dim() > 1 else input[:, None]
    kept = layer.__dict__
    if input.grad_fn is not None:
        kept[_KEPT] = None
    elif _KEPT not in kept and training and torch.is_grad_enabled():
        kept[_KEPT] = Standardizer(rows.shape[-1])
    standardizer: Standardizer | None = kept.get(_KEPT)
    if standardizer is None or len(standardizer.mean) != rows.shape[-1]:
        return input
    if training and torch.is_grad_enabled():
        standardizer.update(rows.reshape(-1, rows.shape[-1]))
    rows = standardizer.standardized(rows)
    return rows.movedim(-1, axis) if input.dim() > 1 else rows[:, 0]


INTERVENTION = Intervention(says="inputs are standardized", apply=_apply)
