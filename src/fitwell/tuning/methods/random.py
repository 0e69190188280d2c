"""Random: points that are random, but spread evenly.

Where few of the settings matter, which is usual, such points try many more values of those than a grid does
(Bergstra & Bengio 2012, section 3, where Sobol's points are the best of those without knowledge of the scores).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fitwell.space import Space, identity
from fitwell.tuning.methods import InOrder, Method

BLOCK = 64  # points drawn at a time: a power of two, whose balance is that of Sobol's points
BARREN = 4  # blocks with nothing new, after which a finite space is nearly exhausted


def search(space: Space, seed: int) -> InOrder:
    """Points without end; of a finite space each once."""
    return InOrder(proposals(space, seed))


def proposals(space: Space, seed: int) -> Iterator[dict[str, Any]]:
    """Sobol's points, scrambled (Owen 1998), without repetition; then whatever a finite space has left."""
    seen: set[str] = set()
    for values in _drawn(space, seed, seen):
        seen.add(identity(values))
        yield values
    for values in space.combinations(None):
        if identity(values) not in seen:
            yield values


def _drawn(space: Space, seed: int, seen: set[str]) -> Iterator[dict[str, Any]]:
    """New points, until there are hardly any left to be found."""
    from scipy.stats.qmc import Sobol  # type: ignore[import-untyped]

    engine = Sobol(len(space.dimensions), scramble=True, rng=seed)
    barren = 0
    while barren < BARREN or not space.finite:
        before = len(seen)
        for point in engine.random(BLOCK):
            values = space.at([float(coordinate) for coordinate in point])
            if identity(values) not in seen:
                yield values
        barren = barren + 1 if len(seen) == before else 0


METHOD = Method("tries random points that are spread evenly", search)
