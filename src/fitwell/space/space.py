"""Space: the dimensions by setting of the plan, the points in them, and what the plan can take."""

from __future__ import annotations

import json
import math
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fitwell.errors import PlanError
from fitwell.plan import FLAT, Plan
from fitwell.space.dimensions import (
    Choice,
    Dimension,
    Integer,
    Side,
    Uniform,
    Values,
    place_of,
    plain,
    read,
)

EDGE = 0.05  # share of a range that counts as its edge
_INSIDE = 0.382  # a share at which a range shows that it takes whole numbers alone
# A part of the plan stands for its first field: "optimizer" is "algorithm", and changes nothing else.
_FIRST = {part: name for name, part in reversed(FLAT.items())}


@dataclass(frozen=True)
class Space:
    """What may be tried, by setting of the plan, in order.

    Args:
        dimensions: by setting. A condition is on a choice that comes earlier, or on what the plan fixes.

    Raises:
        PlanError: it is empty, or a condition is on something else.
    """

    dimensions: Mapping[str, Dimension]

    def __post_init__(self) -> None:
        dimensions: dict[str, Dimension] = {}
        for given, dimension in self.dimensions.items():
            name = _FIRST.get(given, given)
            if name in dimensions:
                raise PlanError(f"{given!r} and {name!r} are the same setting", "each once", "drop one")
            when = {_FIRST.get(parent, parent): wanted for parent, wanted in dimension.when.items()}
            dimensions[name] = replace(dimension, when=when)
        if not dimensions:
            raise PlanError("a space without settings", "one at least", "write lr = {low = ..., high = ...}")
        for name, dimension in dimensions.items():
            for parent, wanted in dimension.when.items():
                _check_parent(dimensions, name, parent, wanted)
        object.__setattr__(self, "dimensions", dimensions)

    @staticmethod
    def of(mapping: Mapping[str, Any]) -> Space:
        """A space of dimensions by setting; a bare list is a choice.

        Raises:
            PlanError: something in it is no dimension.
        """
        return Space({name: read(name, value) for name, value in mapping.items()})

    @staticmethod
    def from_dict(values: Mapping[str, Any]) -> Space:
        """The space that ``to_dict`` wrote, or a person: ``{"lr": {"low": 1e-4, "high": 0.1, "log": true}}``.

        Raises:
            PlanError: something in it is no dimension.
        """
        return Space.of(values)

    @staticmethod
    def from_toml(path: str | Path) -> Space:
        """The space in a file, with a line a setting: ``dropout = {low = 0.0, high = 0.5}``, ``hidden = [64, 128]``.

        Raises:
            PlanError: the file can't be read, or something in it is no dimension.
        """
        try:
            return Space.of(tomllib.loads(Path(path).read_text(encoding="utf-8")))
        except OSError as error:
            raise PlanError(f"{path} can't be read: {error.strerror}", "a file", "check --space") from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise PlanError(f"{path} is not TOML: {error}", "lines as lr = [0.1, 0.01]", "mend it") from None

    def to_dict(self) -> dict[str, Any]:
        """As JSON values, which ``from_dict`` reads back."""
        return {name: plain(dimension) for name, dimension in self.dimensions.items()}

    def check(self, plan: Plan) -> Space:
        """Refuse what the plan can't take.

        Returns:
            The space without conditions on what the plan fixes: where one does not hold, the dimension is left out.

        Raises:
            PlanError: the plan has no such setting, or can't take an option or an end of a range.
        """
        for name, dimension in self.dimensions.items():
            _check_dimension(plan, name, dimension)
        fixed = {path.split(".")[-1]: value for path, value, _ in plan.settings()}
        kept: dict[str, Dimension] = {}
        for name, dimension in self.dimensions.items():
            outer = {p: wanted for p, wanted in dimension.when.items() if p not in self.dimensions}
            for parent, wanted in outer.items():
                plan.change(**{parent: wanted[0]})
            if all(place_of(fixed[parent], wanted) is not None for parent, wanted in outer.items()):
                inner = {p: wanted for p, wanted in dimension.when.items() if p not in outer}
                if all(parent in kept for parent in inner):
                    kept[name] = replace(dimension, when=inner)
        return Space(kept)

    def apply(self, plan: Plan, values: Values) -> Plan:
        """The plan with these values; a number for ``hidden`` is one layer.

        Raises:
            PlanError: the plan can't take one.
        """
        return _apply(plan, values)

    def active(self, name: str, values: Values) -> bool:
        """Whether the condition of a setting holds with the values of others; what a plan fixes counts as holding."""
        return all(
            parent not in self.dimensions
            or (parent in values and place_of(values[parent], wanted) is not None)
            for parent, wanted in self.dimensions[name].when.items()
        )

    def contains(self, values: Values) -> bool:
        """Whether the values are those of a point: one for each setting whose condition holds, and no other."""
        expected = {name for name in self.dimensions if self.active(name, values)}
        return expected == set(values) and all(self.dimensions[name].has(values[name]) for name in expected)

    def at(self, point: Sequence[float]) -> dict[str, Any]:
        """The values at a point of the unit cube, which has a coordinate for each dimension in order."""
        values: dict[str, Any] = {}
        for (name, dimension), coordinate in zip(self.dimensions.items(), point, strict=True):
            if self.active(name, values):
                values[name] = dimension.at(coordinate)
        return values

    def coordinates(self, values: Values) -> list[float | None]:
        """Of each dimension in order; None where the setting is not there, or is none of the options."""
        return [
            dimension.coordinate(values[name]) if name in values and self.active(name, values) else None
            for name, dimension in self.dimensions.items()
        ]

    @property
    def finite(self) -> bool:
        """Whether it has an end of points: nothing but choices and ranges of whole numbers."""
        return all(isinstance(dimension, Choice | Integer) for dimension in self.dimensions.values())

    def grid(self, points: int = 3) -> list[dict[str, Any]]:
        """Every combination of the options and of so many points of each range, the last setting fastest."""
        return list(self.combinations(points))

    def combinations(self, points: int | None = 3) -> Iterator[dict[str, Any]]:
        """The grid one by one; of a finite space every point, if no number of points is given."""
        return self._combinations(list(self.dimensions), {}, points)

    def _combinations(
        self, names: list[str], chosen: dict[str, Any], points: int | None
    ) -> Iterator[dict[str, Any]]:
        if not names:
            yield chosen
        elif not self.active(names[0], chosen):
            yield from self._combinations(names[1:], chosen, points)
        else:
            for level in self.dimensions[names[0]].levels(points):
                yield from self._combinations(names[1:], {**chosen, names[0]: level}, points)

    def size(self, points: int | None = 3) -> int:
        """How many combinations the grid has, without making them."""
        return self._size(list(self.dimensions), {}, points)

    def _size(self, names: list[str], chosen: dict[str, Any], points: int | None) -> int:
        if not names:
            return 1
        name, *rest = names
        if not self.active(name, chosen):
            return self._size(rest, chosen, points)
        levels = self.dimensions[name].levels(points)
        if any(name in self.dimensions[other].when for other in rest):
            return sum(self._size(rest, {**chosen, name: level}, points) for level in levels)
        return len(levels) * self._size(rest, chosen, points)

    def at_edge(self, values: Values) -> dict[str, Side]:
        """The settings whose value lies within 5 % of an end of its range, and which end."""
        edges: dict[str, Side] = {}
        for name, dimension in self.dimensions.items():
            if name in values and not isinstance(dimension, Choice):
                share = dimension.share(values[name])
                if share <= EDGE or share >= 1 - EDGE:
                    edges[name] = "low" if share <= EDGE else "high"
        return edges

    def extended(self, edges: Mapping[str, Side], plan: Plan) -> Space:
        """With ranges that reach as far again beyond these ends, or as far as the plan can take.

        Returns:
            The space itself if no range can be extended.
        """
        dimensions = {
            name: _extended(plan, name, dimension, edges[name])
            if name in edges and not isinstance(dimension, Choice)
            else dimension
            for name, dimension in self.dimensions.items()
        }
        return self if dimensions == self.dimensions else Space(dimensions)


def identity(values: Values) -> str:
    """The same text for the same values, whatever their order and whether they come from JSON."""
    return json.dumps(values, sort_keys=True, default=repr)


def _check_parent(dimensions: dict[str, Dimension], name: str, parent: str, wanted: tuple[Any, ...]) -> None:
    """A condition is on an earlier choice, and can hold."""
    where = f"{name} depends on {parent}"
    if not wanted:
        raise PlanError(f"{where}, but on no value of it", "one value at least", f"name some of {parent}")
    if parent not in dimensions:
        return
    above = dimensions[parent]
    order = list(dimensions)
    if order.index(parent) >= order.index(name):
        raise PlanError(f"{where}, which comes later", "a setting that comes earlier", f"put {parent} first")
    if not isinstance(above, Choice):
        raise PlanError(f"{where}, which is a range", "a choice", f"give the options of {parent}")
    if not any(above.has(value) for value in wanted):
        options = ", ".join(map(str, above.options))
        raise PlanError(
            f"{where} being {', '.join(map(str, wanted))}, which it never is",
            f"one of {options}",
            "change when",
        )


def _apply(plan: Plan, values: Values) -> Plan:
    hidden = values.get("hidden")
    lifted = {"hidden": (hidden,)} if isinstance(hidden, int | float) else {}
    return plan.change(**{**values, **lifted})


def _takes(plan: Plan, name: str, value: Any) -> bool:
    try:
        _apply(plan, {name: value})
    except PlanError:
        return False
    return True


def _check_dimension(plan: Plan, name: str, dimension: Dimension) -> None:
    """Try all options, or the ends of a range and a value between."""
    if isinstance(dimension, Choice):
        for option in dimension.options:
            _apply(plan, {name: option})
        return
    for end in (dimension.low, dimension.high):
        _apply(plan, {name: end})
    if not _takes(plan, name, dimension.at(_INSIDE)):
        low, high = math.ceil(dimension.low), math.floor(dimension.high)
        raise PlanError(
            f"{name} = {dimension.at(_INSIDE):g} can't be used",
            "whole numbers",
            f"write integer({low}, {high})",
        )


def _extended(plan: Plan, name: str, dimension: Uniform, side: Side) -> Uniform:
    """A range as long again beyond one end; where the plan refuses that, as far as it takes, to 1/128 of the range."""
    near, far = getattr(dimension, side), dimension.beyond(side)
    if not _takes(plan, name, far) and min(near, far) < 0 < max(near, far) and _takes(plan, name, 0):
        far = type(near)(0)  # the usual limit, exactly
    if not _takes(plan, name, far):
        for _ in range(32 if isinstance(dimension, Integer) else 7):  # whole numbers: to the very last
            middle = dimension.middle(near, far)
            near, far = (middle, far) if _takes(plan, name, middle) else (near, middle)
        far = near
    return replace(dimension, low=far) if side == "low" else replace(dimension, high=far)
