"""Batch normalization, without weights of its own, between hidden layers and their activations.

Ioffe and Szegedy 2015, arXiv:1502.03167. Layers that are followed by a normalization already, and the last layer, are
left alone. The running statistics are kept in the layer, so that a copy of a model has them, too.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.module import register_module_forward_hook

from fitwell.treating.changing.between import Between
from fitwell.treating.changing.graph import Use
from fitwell.treating.changing.live import Intervention, Live

_KEPT = "_fitwell_batch_norm"  # attribute of a layer: mean and variance (C,)
_LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)


def _apply(live: Live) -> None:
    between = Between(live, lambda found: Use.ACTIVATED in found and Use.NORMED not in found)
    normed: list[nn.Module] = []

    def after(module: nn.Module, _inputs: Any, output: Any) -> Tensor | None:
        if not isinstance(module, _LAYERS) or not isinstance(output, Tensor) or torch.compiler.is_compiling():
            return None
        site = between.output_of(module, "before an activation")
        if not site.known:
            between.saw(site, output)
            return None
        if _KEPT not in module.__dict__:
            normed.append(module)
        return normalized(module, output)

    def forget() -> None:
        for module in normed:
            module.__dict__.pop(_KEPT, None)

    live.finally_do(forget)
    live.hook(register_module_forward_hook(after))  # type: ignore[arg-type]  # it may return another output


def normalized(layer: nn.Module, output: Tensor) -> Tensor:
    """The output of a layer, (N, ..., C) of a Linear or (N, C, ...) of a convolution, with its batch's statistics.

    Those seen so far are used if the layer is not in training or the batch has but one value for each channel.
    """
    axis = -1 if isinstance(layer, nn.Linear) else 1
    rows = output.movedim(axis, -1)
    flat = rows.reshape(-1, rows.shape[-1])
    if _KEPT not in layer.__dict__:
        zeros = torch.zeros_like(flat[0], dtype=torch.float32).detach()
        layer.__dict__[_KEPT] = (zeros, torch.ones_like(zeros))
    mean, variance = layer.__dict__[_KEPT]
    training = layer.training and len(flat) > 1
    flat = functional.batch_norm(flat, mean, variance, training=training)
    return flat.reshape(rows.shape).movedim(-1, axis)


INTERVENTION = Intervention(
    says="hidden layers are normalized over the batch", apply=_apply, comparable=False
)
