"""Modules without a layer of their own: torch.func maps one of them over the members' weights.

Slower than a batched product, but it takes any module that draws nothing and changes no buffer.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from fitwell.tuning.populations.stacking import settings
from fitwell.tuning.populations.stacking.rows import Unstackable, View

DRAWS = (nn.modules.dropout._DropoutNd, nn.RReLU)
CHANGES = (nn.modules.batchnorm._NormBase,)  # running statistics can't be written under vmap


class Mapped(nn.Module):
    """One module under vmap, with the weights of K members.

    Args:
        modules: one of each member, of the same shapes.
        rows: their weights.
        name: of the modules.

    Raises:
        Unstackable: the modules draw random numbers, change buffers, or differ in shape or settings.
    """

    def __init__(self, modules: Sequence[nn.Module], rows: View, name: str) -> None:
        super().__init__()
        first = modules[0]
        called = name or type(first).__name__
        for inner, module in first.named_modules():
            if isinstance(module, (*DRAWS, *CHANGES)):
                raise Unstackable(f"{called}.{inner} is a {type(module).__name__}".replace(". ", " "))
        if any(not _alike(module, first) for module in modules):
            raise Unstackable(f"{called} has different widths or settings")
        if rows.ragged:  # it may mix features, those that pad the narrower members too
            raise Unstackable(f"{called} reads features of different number")
        self.count = rows.count
        self._module = [first]  # in a list: its parameters are not those that count
        self.weights = {inner: rows.leaf(f"{name}.{inner}") for inner, _ in first.named_parameters()}
        self.constants = {inner: rows.buffer(f"{name}.{inner}") for inner, _ in first.named_buffers()}

    def train(self, mode: bool = True) -> Mapped:
        """Training or evaluation mode, of the module too."""
        self._module[0].train(mode)
        return super().train(mode)

    def forward(self, *inputs: Tensor) -> Tensor:
        """(K or 1, B, ...) -> (K, B, ...)."""

        def one(weights: dict[str, Tensor], constants: dict[str, Tensor], *fields: Tensor) -> Tensor:
            output: Tensor = functional_call(self._module[0], weights | constants, fields)
            return output

        shown = [field.expand(self.count, *field.shape[1:]) for field in inputs]
        outputs: Tensor = vmap(one)(self.weights, self.constants, *shown)
        return outputs


def _alike(one: nn.Module, other: nn.Module) -> bool:
    """Whether two modules differ in nothing but the values of their weights."""
    mine, theirs = settings(one), settings(other)
    shapes, others = ([(n, p.shape) for n, p in module.named_parameters()] for module in (one, other))
    return shapes == others and mine.keys() == theirs.keys() and all(_same(mine[n], theirs[n]) for n in mine)


def _same(a: object, b: object) -> bool:
    if isinstance(a, Tensor) or isinstance(b, Tensor):
        return isinstance(a, Tensor) and isinstance(b, Tensor) and torch.equal(a, b)
    try:
        return a is b or bool(a == b)
    except (ValueError, RuntimeError):  # of arrays, which have no single truth
        return False
