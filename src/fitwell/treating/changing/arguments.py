"""Change what a function is called with."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import torch

from fitwell.treating.changing.live import Live

Arguments = dict[str, Any]


def rewrite(live: Live, owner: Any, name: str, change: Callable[[Arguments], None]) -> None:
    """Let a function be called with other arguments.

    Args:
        live: the training.
        owner: the module or class that has the function; it must be written in Python.
        name: of the function.
        change: is given all arguments by name, with the defaults, and changes them in place.
    """

    def make(old: Callable[..., Any]) -> Callable[..., Any]:
        signature = inspect.signature(old)

        def call(*args: Any, **kwargs: Any) -> Any:
            if torch.compiler.is_compiling():
                return old(*args, **kwargs)
            try:
                bound = signature.bind(*args, **kwargs)
            except TypeError:  # the function itself says best what is wrong
                return old(*args, **kwargs)
            bound.apply_defaults()
            change(bound.arguments)
            return old(*bound.args, **bound.kwargs)

        return call

    live.replace(owner, name, make)


def learns(prediction: Any) -> bool:
    """Whether a loss of this prediction is one to train on, not of an evaluation."""
    return isinstance(prediction, torch.Tensor) and prediction.requires_grad and torch.is_grad_enabled()
