"""Space: what may be tried. For each setting of a plan the options, or the range, that a search may choose from.

    Space.of({"lr": loguniform(1e-4, 1e-1), "hidden": [64, 128, [128, 64]], "dropout": uniform(0, 0.5)})

A dimension with ``when`` is there only under a condition: ``uniform(0, 0.99, when={"algorithm": ["sgd"]})``.
"""

from fitwell.space.dimensions import (
    Choice,
    Dimension,
    Integer,
    LogUniform,
    Side,
    Uniform,
    choice,
    integer,
    loguniform,
    uniform,
)
from fitwell.space.space import Space, identity

__all__ = [
    "Choice",
    "Dimension",
    "Integer",
    "LogUniform",
    "Side",
    "Space",
    "Uniform",
    "choice",
    "identity",
    "integer",
    "loguniform",
    "uniform",
]
