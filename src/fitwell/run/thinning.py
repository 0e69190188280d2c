"""Give up points of a long recording, but no extreme: every signal's curve keeps its shape.

The steps are divided into buckets of 2^k, the first of which begins at step 0. Of a signal's points in a
bucket the first, the smallest and the largest survive. A bucket of 2^(k+1) holds two of 2^k, so what is left
depends on the last k alone and not on how often it was thinned before: a run of many hours is seen evenly
from its beginning on. (Buckets of so many *points* would span ever more steps the older they are, and the
first hour would vanish.)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import groupby
from typing import Any

Event = dict[str, Any]
Column = tuple[
    list[int], list[float | None]
]  # one signal: numbers of the events that have it, and its values

BUCKET = 8  # points, on average, that a bucket of the longest signal holds: three of them survive
SELDOM = 1000  # a signal of fewer points, such as an epoch's figure, costs little and is kept whole


def thinnings(events: Iterable[Event]) -> Iterator[list[Event]]:
    """Thinner and thinner versions of some events, until nothing more can be given up.

    Every version keeps of every signal the first point, the last, the smallest, the largest, and the first
    and last of each run of nulls (non-finite values). An event that has no signals left goes. A signal of
    fewer than ``SELDOM`` points is touched only when every signal has so few; then those that have most give
    way.

    Args:
        events: oldest first, with their steps, as ``read_events`` gives them.
    """
    heads, columns = _transposed(events)
    steps = [head["step"] for head in heads]
    width = 1
    while columns:
        sizes = {name: len(rows) for name, (rows, _) in columns.items()}
        longest = max(sizes.values())
        few = SELDOM if longest >= SELDOM else longest // 2
        width = max(2 * width, _power_of_two(BUCKET * (max(steps) + 1 - min(steps)) // longest))
        buckets = [step // width for step in steps]
        columns = {
            name: column if sizes[name] < few else _thinned(column, buckets)
            for name, column in columns.items()
        }
        if any(len(rows) < sizes[name] for name, (rows, _) in columns.items()):
            yield _events(heads, columns)
        elif width > max(steps):
            return


def _power_of_two(number: int) -> int:
    """The smallest one that is not below a number."""
    return 1 << max(number - 1, 0).bit_length()


def _thinned(column: Column, buckets: list[int]) -> Column:
    rows, values = column
    kept = survivors([buckets[row] for row in rows], values)
    return [rows[i] for i in kept], [values[i] for i in kept]


def survivors(buckets: list[int], values: list[float | None]) -> list[int]:
    """Which points of a signal survive, as ascending indices.

    Args:
        buckets: of each point the number of its bucket; successive equal numbers are one bucket.
        values: of each point; None is a non-finite one, which is neither smallest nor largest.
    """
    value_at: Callable[[int], Any] = values.__getitem__
    last = len(values) - 1
    kept = {0, last}
    for _, group in groupby(range(len(values)), buckets.__getitem__):
        if numbers := [i for i in group if values[i] is not None]:
            kept.add(numbers[0])
            kept.add(min(numbers, key=value_at))
            kept.add(max(numbers, key=value_at))
    edges = (
        i
        for i, value in enumerate(values)
        if value is None and (values[i - 1] is not None or i == last or values[i + 1] is not None)
    )
    return sorted(kept.union(edges))


def _transposed(events: Iterable[Event]) -> tuple[list[Event], dict[str, Column]]:
    """The events without their signals, and the signals one by one."""
    heads: list[Event] = []
    columns: dict[str, Column] = {}
    for row, event in enumerate(events):
        for name, value in event["signals"].items():
            if name not in columns:
                columns[name] = ([], [])
            rows, values = columns[name]
            rows.append(row)
            values.append(value)
        heads.append(event | {"signals": {}})
    return heads, columns


def _events(heads: list[Event], columns: dict[str, Column]) -> list[Event]:
    signals: list[dict[str, float | None]] = [{} for _ in heads]
    for name, (rows, values) in columns.items():
        for row, value in zip(rows, values, strict=True):
            signals[row][name] = value
    return [head | {"signals": left} for head, left in zip(heads, signals, strict=True) if left]
