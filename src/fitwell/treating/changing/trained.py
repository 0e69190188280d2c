"""Whether the program trains now, as far as a DataLoader that begins can know it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from weakref import WeakSet

import torch
from torch import nn

from fitwell.treating.changing.live import Live
from fitwell.treating.changing.running import is_model


def training_now(live: Live) -> Callable[[], bool]:
    """A function that tells whether gradients are enabled and a model is in training mode.

    Before the first call of a model, what ``train`` or ``eval`` said last counts; at first that is training.
    """
    models: WeakSet[nn.Module] = WeakSet()
    mode = True

    def called(model: nn.Module, _: tuple[Any, ...]) -> None:
        if torch.is_grad_enabled() and is_model(model):
            models.add(model)

    def make(old: Callable[..., Any]) -> Callable[..., Any]:
        def train(self: nn.Module, *args: Any, **kwargs: Any) -> Any:
            nonlocal mode
            mode = bool(args[0] if args else kwargs.get("mode", True))
            return old(self, *args, **kwargs)

        return train

    live.calls(called)
    live.replace(nn.Module, "train", make)
    return lambda: torch.is_grad_enabled() and (any(each.training for each in models) if models else mode)
