"""Fit a layer to an input that is wider or narrower than it was made for.

Its parameters stay the same objects, so that an optimizer and tied layers keep them; new values are drawn from the old
ones, with the same draw for layers that were equal (a copy of a model), and scaled so that outputs stay as large.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd


def fit(layer: nn.Module, input: Tensor) -> None:
    """Make a layer take this input; nothing is done if it does, or if nobody knows how.

    Args:
        layer: of torch, before it is first called.
        input: (N, ..., C), or (N, C, ...) if the layer is a convolution, a batch norm or a group norm.
    """
    if isinstance(layer, nn.Linear) and input.shape[-1] != layer.in_features:
        layer.in_features = input.shape[-1]
        _draw(layer.weight, 1, layer.in_features)
    elif isinstance(layer, nn.RNNBase) and input.shape[-1] != layer.input_size:
        _fit_recurrent(layer, input.shape[-1])
    elif isinstance(layer, nn.RNNCellBase) and input.shape[-1] != layer.input_size:
        layer.input_size = input.shape[-1]
        _draw(layer.weight_ih, 1, layer.input_size)
    elif isinstance(layer, _ConvNd) and input.dim() == layer.weight.dim():
        if input.shape[1] != layer.in_channels and input.shape[1] % layer.groups == 0:
            _fit_convolution(layer, input.shape[1])
    else:
        _fit_norm(layer, input)


def _fit_convolution(layer: _ConvNd, channels: int) -> None:
    layer.in_channels = channels
    if isinstance(layer, _ConvTransposeNd):
        _draw(layer.weight, 0, channels)
    else:
        _draw(layer.weight, 1, channels // layer.groups)


def _fit_recurrent(layer: nn.RNNBase, width: int) -> None:
    layer.input_size = width
    for name, weight in layer.named_parameters():
        if name in ("weight_ih_l0", "weight_ih_l0_reverse"):
            _draw(weight, 1, width)


def _fit_norm(layer: nn.Module, input: Tensor) -> None:
    if isinstance(layer, _NormBase) and input.dim() > 1 and input.shape[1] != layer.num_features:
        layer.num_features = input.shape[1]
        _repeat(layer, layer.num_features)
    elif isinstance(layer, nn.GroupNorm) and input.dim() > 1 and input.shape[1] % layer.num_groups == 0:
        layer.num_channels = input.shape[1]
        _repeat(layer, layer.num_channels)
    elif isinstance(layer, (nn.LayerNorm, nn.RMSNorm)) and len(layer.normalized_shape) == 1:
        layer.normalized_shape = (input.shape[-1],)
        _repeat(layer, input.shape[-1])


def _draw(weight: Tensor, axis: int, width: int) -> None:
    """Let an axis over inputs have another width."""
    shape = list(weight.shape)
    scale, shape[axis] = math.sqrt(shape[axis] / width), width
    generator = torch.Generator().manual_seed(0)  # the program's own random numbers stay as they are
    drawn = torch.randint(weight.numel(), (math.prod(shape),), generator=generator)
    weight.data = weight.detach().flatten()[drawn.to(weight.device)].view(shape) * scale


def _repeat(norm: nn.Module, width: int) -> None:
    """Let what a normalization keeps for each feature be of another number."""
    for each in (*norm.parameters(False), *norm.buffers(False)):
        if each.dim() == 1 and len(each) != width:
            each.data = each.detach()[torch.arange(width, device=each.device) % len(each)].clone()
