"""A run as rules see it: each of its threads as a view."""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from fitwell.evidence import Series, View
from fitwell.run.files import read_json
from fitwell.run.run import Run
from fitwell.treatment import FILE

Names = tuple[str, ...]
Axes = tuple[list[int], list[int], list[float]]


class _Table:
    """Events as columns: those that hold the same signals lie together, and are turned when one is asked for."""

    def __init__(self, events: Sequence[Mapping[str, Any]]) -> None:
        self._events = events
        self._rows: dict[Names, list[int]] = defaultdict(list)
        for number, event in enumerate(events):
            self._rows[tuple(event["signals"])].append(number)
        self._columns: dict[Names, dict[str, tuple[Any, ...]]] = {}
        self._ordered: dict[tuple[Names, ...], Axes] = {}
        self.names = sorted(set().union(*self._rows))

    def series(self, name: str) -> Series:
        """All values of a signal."""
        groups = tuple(group for group in self._rows if name in group)
        found = list(itertools.chain.from_iterable(self._turned(group)[name] for group in groups))
        order, steps, epochs = self._axes(groups)
        values = [found[at] for at in order] if len(groups) > 1 else found
        if None in values:
            values = [math.nan if value is None else value for value in values]
        return Series(values, steps, epochs)

    def _axes(self, groups: tuple[Names, ...]) -> Axes:
        """The order of the rows of some groups, one group after the other, and their steps and epochs."""
        if groups not in self._ordered:
            numbers = list(itertools.chain.from_iterable(self._rows[group] for group in groups))
            order = sorted(range(len(numbers)), key=numbers.__getitem__)
            rows = [self._events[numbers[at]] for at in order]
            self._ordered[groups] = order, [row["step"] for row in rows], [row["epoch"] for row in rows]
        return self._ordered[groups]

    def _turned(self, group: Names) -> dict[str, tuple[Any, ...]]:
        if group not in self._columns:
            rows = (self._events[number]["signals"].values() for number in self._rows[group])
            self._columns[group] = dict(zip(group, zip(*rows, strict=True), strict=True))
        return self._columns[group]


class _Signals(Mapping[str, Series]):
    """The signals of one thread by name, each read from the table when it is asked for."""

    def __init__(self, table: _Table, names: list[str], prefix: str) -> None:
        self._table, self._prefix = table, prefix
        self._names = dict.fromkeys(name.removeprefix(prefix) for name in names)
        self._read: dict[str, Series] = {}

    def __getitem__(self, name: str) -> Series:
        if name not in self._names:
            raise KeyError(name)
        if name not in self._read:
            self._read[name] = self._table.series(self._prefix + name)
        return self._read[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def thread_views(run: Run) -> list[View]:
    """The threads of a run, the one with most steps first, of equal ones the last.

    The facts are those of facts.json and in them, as ``fit``, the result of a training of fitwell's own, and as
    ``treatment`` what came of treating it.
    """
    facts = run.facts
    if not run.watched:
        facts |= {"fit": run.info.get("result") or {}}
    if (run.path / FILE).exists():
        facts |= {"treatment": read_json(run.path / FILE)}
    return views_of(facts, run.events)


def views_of(facts: Mapping[str, Any], events: Sequence[Mapping[str, Any]]) -> list[View]:
    """The same of what is known of a run that goes on.

    Args:
        facts: as in facts.json.
        events: as in events.jsonl.
    """
    table = _Table(events)
    threads = facts.get("threads") or [{"name": "", "prefix": "", "steps": 0}]
    others = [thread["prefix"] for thread in threads if thread["prefix"]]
    found = []
    for thread in reversed(threads):
        prefix = thread["prefix"]
        own = [
            name
            for name in table.names
            if (name.startswith(prefix) if prefix else not any(name.startswith(other) for other in others))
        ]
        found.append((thread["steps"], View(facts, _Signals(table, own, prefix), thread["name"])))
    return [view for _, view in sorted(found, key=lambda each: -each[0])]
