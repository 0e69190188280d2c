"""Methods of search, one a file: they propose the values that are tried, in batches, and are told the scores."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any, Protocol

from fitwell.discovery import members
from fitwell.errors import PlanError
from fitwell.space import Space


class Searcher(Protocol):
    """A search under way. Several batches may be asked for before the first score is told."""

    def ask(self, count: int, /) -> list[dict[str, Any]]:
        """New proposals, points of the space; fewer, or none, when it has no more.

        In a finite space none is ever repeated, and all of them come.
        """

    def tell(self, values: Mapping[str, Any], score: float | None, /, after: int | None = None) -> None:
        """The score of some values, lower is better; None if they failed.

        Values that were not asked for may be told, too: what is known of other trials. Of values that train, or were
        given up, it is told how far they are; what is told later replaces that.

        Args:
            values: a point of the space, else it means nothing.
            score: lower is better.
            after: epochs, if they are not all.
        """


@dataclass(frozen=True)
class Method:
    """A method of search: the constant ``METHOD`` of one file of this folder.

    Args:
        says: what it does, in one sentence.
        searcher: begins a search of a space, with a seed: the same seed and the same scores, the same proposals.
        at_once: proposals that may train at the same time. A method that learns is to see the ends of some soon: fewer
            where fewer are nearly as fast, but one for each core.
    """

    says: str
    searcher: Callable[[Space, int], Searcher]
    at_once: float = math.inf


class InOrder:
    """A searcher that goes through proposals in their order, whatever the scores.

    Args:
        proposals: all of them.
    """

    def __init__(self, proposals: Iterator[dict[str, Any]]) -> None:
        self._proposals = proposals

    def ask(self, count: int, /) -> list[dict[str, Any]]:
        """The next ones."""
        return list(islice(self._proposals, count))

    def tell(self, _values: Mapping[str, Any], _score: float | None, /, after: int | None = None) -> None:
        """Nothing is learned from it."""


def methods() -> dict[str, Method]:
    """Every method by name."""
    return members("fitwell.tuning.methods", "METHOD")


def method(name: str) -> Method:
    """The method of this name.

    Raises:
        PlanError: there is none.
    """
    known = methods()
    if name not in known:
        raise PlanError(f"there is no method {name!r}", f"one of {', '.join(known)}", "change --method")
    return known[name]
