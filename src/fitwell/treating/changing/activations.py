"""Change hidden activations: those whose values go into layers with weights.

The output of a model, gates (which multiply something) and what runs within ``nn.LSTM`` and ``nn.GRU`` are left alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from fitwell.treating.changing.between import Between, is_weighed
from fitwell.treating.changing.live import Live

KINDS = ("relu", "leaky_relu", "elu", "gelu", "silu", "sigmoid", "tanh")

Compute = Callable[[], Tensor]
Change = Callable[[Tensor, Compute], Tensor]


def on_hidden(live: Live, kinds: Iterable[str], change: Change) -> None:
    """Let hidden activations give something else, whether modules, functions or methods of tensors.

    Args:
        live: the training.
        kinds: of activations, as functions of ``torch.nn.functional`` are called.
        change: is given the input and what computes the activation; it gives the value in its place.
    """
    hidden = _Hidden(live, change)
    for kind in kinds:
        for name in (kind, f"{kind}_"):
            for owner in (functional, torch, Tensor):
                if hasattr(owner, name):
                    live.replace(owner, name, partial(hidden.made, name))


class _Hidden:
    """Exchanges activations. One may call another (``F.relu`` calls ``torch.relu``): that is one call."""

    def __init__(self, live: Live, change: Change) -> None:
        self._change, self._between = change, Between(live, is_weighed)
        self._busy = False

    def made(self, name: str, old: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            if torch.compiler.is_compiling() or self._busy or not args or not isinstance(args[0], Tensor):
                return old(*args, **kwargs)
            self._busy = True
            try:
                return self._called(name, old, args, kwargs)
            finally:
                self._busy = False

        return call

    def _called(self, name: str, old: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        site = self._between.here()
        if not site.known:
            value = old(*args, **kwargs)
            self._between.saw(site, value)
            return value
        input, *others = args
        in_place = name.endswith("_") or kwargs.get("inplace") or (others and others[-1] is True)
        given = input.clone() if in_place else input
        value = self._change(given, lambda: old(given, *others, **kwargs))
        return input.copy_(value) if in_place else value
