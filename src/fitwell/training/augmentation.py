"""New views of images and mixtures of samples: whole batches, on their device, labels untouched by views.

Every draw comes from torch's default generator, whose state is in the checkpoint.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from torch import Tensor

from fitwell.shape import Batch

ROTATION = math.radians(12)  # within what a person still reads as upright; 6 and 9 stay apart
COLOR = 0.3  # largest relative change of brightness, contrast and saturation


def augment(x_BCHW: Tensor, names: tuple[str, ...]) -> Tensor:
    """New views of each image of a batch, each drawn for itself; shape and dtype stay.

    Args:
        x_BCHW: uint8 or floating.
        names: of ``VIEWS``, applied in this order.
    """
    for name in names:
        x_BCHW = VIEWS[name](x_BCHW)
    return x_BCHW


def shift(x_BCHW: Tensor, most: int | None = None) -> Tensor:
    """Each image moved by up to an eighth of its side (``most`` pixels), its edge pixels repeated.

    An eighth is the usual crop of CIFAR's 32 pixels padded by 4; 3 of MNIST's 28, 1 of 8.
    """
    batch, _, height, width = x_BCHW.shape
    down_B, right_B = ((_draw(batch, x_BCHW) * 2 - 1) for _ in range(2))
    rows_BH = _moved(down_B, height, most)
    columns_BW = _moved(right_B, width, most)
    return _gather(x_BCHW, rows_BH, columns_BW)


def _moved(share_B: Tensor, side: int, most: int | None) -> Tensor:
    """The source index (B, side) of each place when moved by share_B * most, to the nearest pixel."""
    reach = side // 8 if most is None else most
    # +-(reach + 1/2), so that the outermost shifts are as likely as the others
    offset_B = (share_B * (reach + 0.5)).round().clamp(-reach, reach).long()
    return (torch.arange(side, device=share_B.device) + offset_B[:, None]).clamp(0, side - 1)


def _gather(x_BCHW: Tensor, rows_BH: Tensor, columns_BW: Tensor) -> Tensor:
    """x[b, :, rows[b, i], columns[b, j]] as one gather over the pixels."""
    batch, channels, height, width = x_BCHW.shape
    pixels = (rows_BH[:, :, None] * width + columns_BW[:, None, :]).view(batch, 1, -1)
    flat = x_BCHW.reshape(batch, channels, -1)
    return flat.gather(2, pixels.expand(-1, channels, -1)).view(batch, channels, height, width)


def flip(x_BCHW: Tensor, which_B: Tensor | None = None) -> Tensor:
    """Half of the images (or those of ``which_B``) mirrored, left to right."""
    if which_B is None:
        which_B = _draw(len(x_BCHW), x_BCHW) < 0.5
    return torch.where(which_B[:, None, None, None], x_BCHW.flip(3), x_BCHW)


def rotate(x_BCHW: Tensor, angle_B: Tensor | None = None) -> Tensor:
    """Each image turned by up to 12 degrees (or by ``angle_B``, radians) and interpolated.

    Edge pixels are repeated outwards.
    """
    batch, _, height, width = x_BCHW.shape
    if angle_B is None:
        angle_B = (_draw(batch, x_BCHW) * 2 - 1) * ROTATION
    cos_B, sin_B, zero_B = angle_B.cos(), angle_B.sin(), torch.zeros_like(angle_B)
    # affine_grid counts both sides from -1 to 1, hence the ratio of the sides
    top_B3 = torch.stack([cos_B, -sin_B * (height / width), zero_B], 1)
    bottom_B3 = torch.stack([sin_B * (width / height), cos_B, zero_B], 1)
    grid = F.affine_grid(torch.stack([top_B3, bottom_B3], 1), list(x_BCHW.shape), align_corners=False)
    turned = F.grid_sample(x_BCHW.float(), grid, padding_mode="border", align_corners=False)
    return _as_before(turned, x_BCHW)


def color(x_BCHW: Tensor) -> Tensor:
    """Brightness, contrast and, with three channels, saturation changed by up to 30 %, each image its own.

    uint8 stays within 0 to 255; floating values are free, for their range is not known.
    """
    brightness, contrast, saturation = (
        (1 + (_draw(len(x_BCHW), x_BCHW) * 2 - 1) * COLOR)[:, None, None, None] for _ in range(3)
    )
    x = x_BCHW.float() * brightness
    mean_B = x.mean((1, 2, 3), keepdim=True)
    x = mean_B + (x - mean_B) * contrast
    if x.shape[1] == 3:
        gray = x.mean(1, keepdim=True)
        x = gray + (x - gray) * saturation
    return _as_before(x, x_BCHW)


def _draw(count: int, like: Tensor) -> Tensor:
    return torch.rand(count, device=like.device)


def _as_before(x: Tensor, like: Tensor) -> Tensor:
    return x.to(like.dtype) if like.is_floating_point() else x.round_().clamp_(0, 255).to(like.dtype)


VIEWS: dict[str, Callable[[Tensor], Tensor]] = {
    "shift": shift,
    "flip": flip,
    "rotate": rotate,
    "color": color,
}


def mixup(batch: Batch, alpha: float, classes: int) -> Batch:
    """Each sample mixed with another of the batch, their targets too (Zhang et al. 2018, eq. 1).

    Args:
        batch: fields of numbers or images, and y.
        alpha: each pair's share is drawn from Beta(alpha, alpha): small values mix little.
        classes: K, where y is (B,) classes; other targets are floating already.

    Returns:
        The fields as float32; y as (B, K) probabilities for classes, as mixed numbers otherwise.
    """
    y = batch["y"]
    if not y.is_floating_point():
        batch = batch | {"y": F.one_hot(y, classes)}
    partner_B = torch.randperm(len(y), device=y.device)
    share_B = torch.distributions.Beta(*torch.full((2, len(y)), alpha, device=y.device)).sample()
    return {name: _mixed(values, partner_B, share_B) for name, values in batch.items()}


def _mixed(values: Tensor, partner_B: Tensor, share_B: Tensor) -> Tensor:
    share = share_B.view(-1, *[1] * (values.ndim - 1))
    values = values.float()
    return torch.lerp(values.index_select(0, partner_B), values, share)
