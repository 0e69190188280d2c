"""Grid: every combination of the options and of a few points of each range."""

from __future__ import annotations

from fitwell.space import Space
from fitwell.tuning.methods import InOrder, Method


def search(space: Space, _seed: int) -> InOrder:
    """The full grid in its order."""
    return InOrder(space.combinations())


METHOD = Method("tries every combination of the options, and three points of each range", search)
