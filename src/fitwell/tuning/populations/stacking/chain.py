"""A chain of layers, ahead and back, without a graph of autograd, whose nodes take longer than a small net's numbers.

A layer that knows its own gradient is ``Direct``; any other is recorded by autograd for itself alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from fitwell.models.mlp import Mlp


@runtime_checkable
class Direct(Protocol):
    """A stacked layer that goes back by itself."""

    def ahead(self, x: Tensor) -> Tensor:
        """(K or 1, B, ...) -> (K or 1, B, ...), in training mode; what ``back`` needs is kept until then."""

    def back(self, gradient: Tensor, wanted: bool) -> Tensor | None:
        """The gradient of x from that of the output, if it is wanted; gradients of weights go to their matrix.

        The gradient that comes in may be overwritten: nobody else has it.
        """


class Chain:
    """The layers of a stacked module, one after another.

    Args:
        module: stacked; a perceptron or a sequence is taken apart, anything else is one link.
    """

    def __init__(self, module: nn.Module) -> None:
        self.links = [link if isinstance(link, Direct) else Recorded(link) for link in _links(module)]
        self.learning: list[bool] = []  # for each link, whether its input depends on weights

    @torch.no_grad()
    def ahead(self, *fields: Tensor) -> Tensor:
        """What the module gives for a batch's fields."""
        self.learning = [False]
        first, *rest = self.links
        x = first.ahead(*fields)
        self.learning.append(_learns(first))
        for link in rest:
            x = link.ahead(x, wanted=self.learning[-1]) if isinstance(link, Recorded) else link.ahead(x)
            self.learning.append(self.learning[-1] or _learns(link))
        return x

    @torch.no_grad()
    def back(self, gradient: Tensor) -> None:
        """Bring the gradients of all weights to where they belong, from that of the outputs."""
        for link, wanted in zip(reversed(self.links), self.learning[-2::-1], strict=True):
            if not (wanted or _learns(link)):
                return
            before = link.back(gradient, wanted)
            if before is None:
                return
            gradient = before


class Recorded:
    """A layer that autograd records, for itself alone.

    Args:
        layer: stacked.
    """

    def __init__(self, layer: nn.Module) -> None:
        self.layer = layer
        self.inputs: list[Tensor] = []
        self.outputs = torch.empty(0)
        self.learns = False

    def ahead(self, *inputs: Tensor, wanted: bool = False) -> Tensor:
        """See ``Direct``."""
        with torch.enable_grad():
            self.inputs = [one.detach().requires_grad_(wanted) for one in inputs]
            self.outputs = self.layer(*self.inputs)
        self.learns = self.outputs.requires_grad
        return self.outputs.detach()

    def back(self, gradient: Tensor, wanted: bool) -> Tensor | None:
        """See ``Direct``."""
        self.outputs.backward(gradient)
        return self.inputs[0].grad if wanted else None


def _learns(link: Direct | Recorded) -> bool:
    """Whether the output of a link depends on weights of its own (or, if it is recorded, on any)."""
    return bool(getattr(link, "learns", False))


def _links(module: nn.Module) -> Iterator[nn.Module]:
    if type(module) not in (Mlp, nn.Sequential):
        yield module
        return
    for child in module.layers if isinstance(module, Mlp) else module.children():
        yield from _links(child)
