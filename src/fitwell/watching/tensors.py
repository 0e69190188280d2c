"""Reading many tensors at once without changing any: samples of bounded size, and norms summed up by layer.

Shapes: T tensors, L layers. Results stay on the device of what was read, so that nothing waits for them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import TypeVar

import torch
from torch import Tensor

from fitwell.watching.moments import Named, Step

MOST = 32_768  # elements of a sample: up to so many torch uses one thread, and disturbs no other
KEPT = 16_384  # elements of a parameter that are kept from one step to the next
LATEST = 8  # threads for which tensors are kept

Kept = TypeVar("Kept")
_HALF = frozenset({torch.float16, torch.bfloat16})
_SINGLE = _HALF | {torch.float32}
_SUMMED = dict.fromkeys(_SINGLE, torch.float32) | {
    kind: kind for kind in (torch.float64, torch.complex64, torch.complex128)
}  # the precision in which each dtype is summed up
_PLAIN = (Tensor.__torch_dispatch__, torch._C._disabled_torch_dispatch_impl)


def measurable(tensor: Tensor | None) -> bool:
    """Whether a tensor has numbers of its own that norms can be taken of.

    It has none on the device ``meta``; a distributed or otherwise wrapped tensor might ask other processes.
    """
    return (
        tensor is not None
        and tensor.dtype in _SUMMED
        and tensor.layout in (torch.strided, torch.sparse_coo)
        and not tensor.is_meta
        and type(tensor).__torch_dispatch__ in _PLAIN
    )


def gradients(step: Step) -> tuple[list[Named], list[Tensor]]:
    """The parameters whose gradient can be measured, and the dense numbers of it."""
    named, found = [], []
    for each, gradient in zip(step.parameters, step.gradients, strict=True):
        if gradient is not None and measurable(gradient):
            named.append(each)
            found.append(dense(gradient))
    return named, found


def dense(tensor: Tensor) -> Tensor:
    """The numbers of a tensor without a graph; of a sparse one those that are not zero, each place once."""
    plain = tensor.detach() if tensor.requires_grad else tensor
    return plain.coalesce().values() if plain.is_sparse else plain


def thinned(tensor: Tensor, most: int = MOST) -> Tensor:
    """A sample of a tensor, of the same places each time: every k-th element, as a view if possible.

    A tensor that is small enough is returned whole, in its own shape. k has no divisor in common with the
    number of elements: otherwise a sample might lie in a few columns. A complex number counts as two.
    """
    plain = tensor.detach() if tensor.requires_grad else tensor
    if plain.is_sparse:
        if plain.numel() > most and not plain.is_complex():
            return _spread(plain.coalesce(), _every(plain.numel(), most))
        plain = plain.to_dense()
    if plain.is_complex():
        plain = torch.view_as_real(plain.resolve_conj())
    count = plain.numel()
    if count <= most:
        return plain
    every = _every(count, most)
    if plain.is_contiguous():
        return plain.view(-1)[::every]
    places = torch.arange(0, count, every, device=plain.device)
    return plain[torch.unravel_index(places, plain.shape)]


def _spread(sparse: Tensor, every: int) -> Tensor:
    """Every k-th element of a sparse tensor; its zeros are never all in memory."""
    rows, values = sparse.indices(), sparse.values()
    width = math.prod(values.shape[1:])
    row = torch.zeros_like(rows[0])
    for index, size in zip(rows, sparse.shape, strict=False):
        row = row * size + index
    places = (row[:, None] * width + torch.arange(width, device=row.device)).view(-1)
    taken = places % every == 0
    sample = values.new_zeros(-(-sparse.numel() // every))
    sample[places[taken] // every] = values.reshape(-1)[taken]
    return sample


@lru_cache(4096)
def _every(count: int, most: int) -> int:
    every = -(-count // most)
    while math.gcd(every, count) > 1:
        every += 1
    return every


def growth(sample: Tensor, tensor: Tensor) -> float:
    """By how much the norm of a sample grows to that of its tensor, if the rest of it is like the sample."""
    count = tensor.numel() * (2 if tensor.is_complex() else 1)
    return 1.0 if count == sample.numel() else math.sqrt(count / sample.numel())


def norms(tensors: Sequence[Tensor], order: float = 2.0) -> Tensor:
    """The norm of each dense tensor, (T,), in double precision where the device has it.

    Args:
        tensors: of any floating or complex dtypes, sizes and devices; half precision is summed up in single.
        order: of the norm. With 1 it is 0 only where every element is 0; squares of small numbers vanish.
    """
    if not tensors:
        return torch.zeros(0)
    kinds = {tensor.dtype for tensor in tensors}
    if not kinds & _HALF:
        found = torch._foreach_norm(list(tensors), order)
    elif kinds <= _SINGLE:
        found = torch._foreach_norm(list(tensors), order, dtype=torch.float32)
    else:
        found = tuple(torch._foreach_norm([t], order, dtype=_SUMMED[t.dtype])[0] for t in tensors)
    device = found[0].device
    precision = torch.float32 if device.type == "mps" else torch.float64
    if len(kinds) > 1 or any(norm.device != device for norm in found):
        found = tuple(norm.to(device, precision, non_blocking=True) for norm in found)
    return torch.stack(found).to(precision)


def sums(gradients: Sequence[Tensor | None], device: torch.device) -> Tensor:
    """The sum of the absolute values of each gradient, (T,): 0 without one, NaN if it can't be read."""
    if all(gradient is None for gradient in gradients):
        return torch.zeros(len(gradients), device=device)
    found = {place: dense(g) for place, g in enumerate(gradients) if g is not None and measurable(g)}
    sums_T = norms(list(found.values()), order=1).to(device)
    if len(found) == len(gradients):
        return sums_T
    others = [0.0 if gradient is None else math.nan for gradient in gradients]
    result_T = torch.tensor(others, dtype=sums_T.dtype, device=device)
    result_T[torch.tensor(list(found), dtype=torch.int64, device=device)] = sums_T
    return result_T


def total(norms_T: Tensor) -> Tensor:
    """The norm of all tensors together from the norm of each, (..., T): the last axis is gone."""
    return norms_T.square().sum(-1).sqrt_()


def by_layer(layers: Sequence[str], norms_T: Tensor) -> tuple[tuple[str, ...], Tensor]:
    """The norm of each layer's tensors together.

    Args:
        layers: the name of each tensor's layer.
        norms_T: the norm of each tensor, (..., T).

    Returns:
        The names of the layers, in order, and their norms (..., L).
    """
    names, places_T = _places(tuple(layers), norms_T.device)
    squares_L = norms_T.new_zeros(*norms_T.shape[:-1], len(names)).index_add_(-1, places_T, norms_T.square())
    return names, squares_L.sqrt_()


@lru_cache(64)
def _places(layers: tuple[str, ...], device: torch.device) -> tuple[tuple[str, ...], Tensor]:
    names = tuple(dict.fromkeys(layers))
    place = {name: number for number, name in enumerate(names)}
    return names, torch.tensor([place[layer] for layer in layers], dtype=torch.int64, device=device)


def keep(kept: dict[str, Kept], thread: str, value: Kept) -> None:
    """Keep something of a thread, and forget what was kept of the one that stepped longest ago."""
    kept.pop(thread, None)
    kept[thread] = value
    while len(kept) > LATEST:
        del kept[next(iter(kept))]
