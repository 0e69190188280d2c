"""Other seeds for a program, wherever it sets them."""

from __future__ import annotations

import functools
import random
from collections.abc import Callable
from numbers import Integral
from typing import Any

from fitwell.watching.launch import when_imported

STRIDE = 1009  # a prime: seeds that a program counts up itself do not meet those of another run
MOST = 2**32  # NumPy takes no larger seed


def shift_seeds(seed: int) -> None:
    """Shift each seed that the program sets, and seed everything now, for the programs that set none.

    ``seed_everything`` of Lightning and ``set_seed`` of transformers call what is changed here. ``random_state`` of
    scikit-learn stays: it mostly divides the data, and a division is no part of a training. Torch is seeded by
    ``shift_torch``.
    """
    random.seed(seed)
    _shift(random, "seed", seed)
    when_imported("numpy", functools.partial(_shift_numpy, seed))


def _shift_numpy(seed: int) -> None:
    import numpy as np

    np.random.seed(seed)
    _shift(np.random, "seed", seed)
    _shift(np.random, "default_rng", seed)


def shift_torch(seed: int) -> None:
    """The same for torch, when it is imported."""
    import torch

    torch.manual_seed(seed)
    for owner, name in (
        (torch, "manual_seed"),
        (torch.random, "manual_seed"),
        (torch.cuda, "manual_seed"),
        (torch.cuda, "manual_seed_all"),
    ):
        _shift(owner, name, seed)

    class Generator(torch.Generator):
        """A method of the real one, written in C, can't be exchanged."""

        def manual_seed(self, seed_: int) -> torch.Generator:
            """Take another seed than the one that is given."""
            return super().manual_seed(_shifted(seed_, seed))

    torch.Generator = Generator  # type: ignore[misc]


def _shift(owner: Any, name: str, by: int) -> None:
    """Let a function that takes a seed, its only or first argument, take another one."""
    function: Callable[..., Any] = getattr(owner, name)

    @functools.wraps(function)
    def shifted(*args: Any, **kwargs: Any) -> Any:
        moved = [_shifted(value, by) for value in args[:1]]
        named = {key: _shifted(value, by) if key in ("seed", "a") else value for key, value in kwargs.items()}
        return function(*moved, *args[1:], **named)

    setattr(owner, name, shifted)


def _shifted(value: Any, by: int) -> Any:
    """Another seed; what is no number stays."""
    if isinstance(value, bool) or not isinstance(value, Integral):
        return value
    moved = int(value) + by * STRIDE
    return moved % MOST if 0 <= int(value) < MOST else moved
