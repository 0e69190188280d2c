"""One line that stands for all that a training left behind: its tensors and the random generators."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn


def tensors(name: str, thing: Any) -> Iterator[tuple[str, Tensor]]:
    """Every tensor of a module (parameters, then all buffers), a tensor, or a list, tuple or dict of them."""
    if isinstance(thing, Tensor):
        yield name, thing
    elif isinstance(thing, nn.Module):
        parts = [*thing.named_parameters(), *thing.named_buffers()]
        yield from ((f"{name}.{part}", tensor) for part, tensor in parts)
    elif isinstance(thing, dict):
        for key, value in thing.items():
            yield from tensors(f"{name}[{key!r}]", value)
    elif isinstance(thing, list | tuple):
        for index, value in enumerate(thing):
            yield from tensors(f"{name}[{index}]", value)
    else:
        raise TypeError(f"no digest of {type(thing).__name__}: give modules, tensors, lists or dicts of them")


def content(tensor: Tensor) -> bytes:
    """The bytes of a tensor's values, of any type and shape."""
    return tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()


def digest(*things: Any) -> str:
    """The sha256 over names, types, shapes and bytes of all tensors, and over the states of the generators.

    It draws no random number and changes nothing.
    """
    sha = hashlib.sha256()
    for name, tensor in tensors("", things):
        sha.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        sha.update(content(tensor))
    sha.update(content(torch.get_rng_state()))
    kind, keys, *rest = np.random.get_state()
    sha.update(f"{kind} {rest}\n".encode() + keys.tobytes())
    sha.update(repr(random.getstate()).encode())
    return sha.hexdigest()
