"""Dimensions: what one setting may be. Some options, or a range with its own scale, plain or logarithmic.

A *share* of a range is 0 at its low end and 1 at its high end; a *coordinate* is a place in the unit interval.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from fitwell.errors import PlanError

Side = Literal["low", "high"]
Values = Mapping[str, Any]
Condition = Mapping[str, tuple[Any, ...]]


@dataclass(frozen=True)
class Choice:
    """One of some options.

    Args:
        options: as JSON values; a list is kept as a tuple.
        when: the condition: for each setting the values with which the dimension is there.

    Raises:
        PlanError: there is no option, or one is there twice.
    """

    options: tuple[Any, ...]
    when: Condition = field(default_factory=dict, kw_only=True)

    def __post_init__(self) -> None:
        options = tuple(frozen(option) for option in self.options)
        if not options:
            raise PlanError("a choice without options", "one option at least", "write choice([64, 128])")
        for number, option in enumerate(options):
            if place_of(option, options) != number:
                raise PlanError(f"the option {option!r} is there twice", "different options", "drop one")
        object.__setattr__(self, "options", options)
        object.__setattr__(self, "when", _condition(self.when))

    def at(self, coordinate: float) -> Any:
        """The option at a coordinate from 0 to 1; each has an equal part of it."""
        return self.options[min(int(coordinate * len(self.options)), len(self.options) - 1)]

    def coordinate(self, value: Any) -> float | None:
        """The middle of an option's part; None for what is no option."""
        place = place_of(value, self.options)
        return None if place is None else (place + 0.5) / len(self.options)

    def levels(self, points: int | None) -> Sequence[Any]:  # noqa: ARG002 - as of a range
        """Every option, however many points a range has."""
        return self.options

    def has(self, value: Any) -> bool:
        """Whether it is one of the options."""
        return place_of(value, self.options) is not None


@dataclass(frozen=True)
class Uniform:
    """Any number between two, equally likely.

    Args:
        low: the lowest.
        high: the highest.
        when: the condition, as of a choice.

    Raises:
        PlanError: the ends are no finite numbers, or not in this order.
    """

    low: float
    high: float
    when: Condition = field(default_factory=dict, kw_only=True)

    def __post_init__(self) -> None:
        for end in (self.low, self.high):
            if isinstance(end, bool) or not isinstance(end, int | float) or not math.isfinite(end):
                raise PlanError(f"a range with the end {end!r}", "a finite number", "change it")
        if self.low >= self.high:
            raise PlanError(
                f"a range from {self.low:g} to {self.high:g}",
                "a low end below the high one",
                "change the ends",
            )
        if self.logarithmic and self.low <= 0:
            raise PlanError(
                f"a logarithmic range from {self.low:g}", "a low end above 0", "raise it, or leave out log"
            )
        object.__setattr__(self, "when", _condition(self.when))

    @property
    def logarithmic(self) -> bool:
        """Whether its own scale is the logarithm."""
        return False

    def share(self, value: float) -> float:
        """Where a value lies: 0 is the low end and 1 the high one, in its own scale."""
        if self.logarithmic and value <= 0:
            return -math.inf
        scale = math.log if self.logarithmic else float
        return (scale(value) - scale(self.low)) / (scale(self.high) - scale(self.low))

    def value(self, share: float) -> float:
        """The value at a share, also beyond the ends."""
        if share in (0, 1):  # to the last bit
            return self.high if share else self.low
        if self.logarithmic:
            return self.low * float((self.high / self.low) ** share)
        return self.low + share * (self.high - self.low)

    def beyond(self, side: Side) -> float:
        """The end of a range that is as long again on one side, in its own scale."""
        return self.value(-1 if side == "low" else 2)

    def middle(self, one: float, other: float) -> float:
        """Between two values, in its own scale."""
        return math.sqrt(one * other) if self.logarithmic else (one + other) / 2

    def at(self, coordinate: float) -> Any:
        """The value at a coordinate from 0 to 1."""
        return min(max(self.value(coordinate), self.low), self.high)

    def coordinate(self, value: Any) -> float | None:
        """Of a value; beyond the range that of its nearer end."""
        return min(max(self.share(value), 0.0), 1.0)

    def levels(self, points: int | None) -> Sequence[Any]:
        """So many values, evenly spaced in its own scale, with both ends; one is in the middle."""
        if points is None:
            raise ValueError("a range has no end of values")
        return [self.value(number / (points - 1) if points > 1 else 0.5) for number in range(points)]

    def has(self, value: Any) -> bool:
        """Whether it is a number of the range."""
        return isinstance(value, int | float) and self.low <= value <= self.high


@dataclass(frozen=True)
class LogUniform(Uniform):
    """Any number between two, each factor equally likely: 0.001 to 0.01 as often as 0.01 to 0.1."""

    @property
    def logarithmic(self) -> bool:
        """Its own scale is the logarithm."""
        return True


@dataclass(frozen=True)
class Integer(Uniform):
    """A whole number between two, which are included.

    Args:
        low: the lowest.
        high: the highest.
        log: whether each factor is equally likely, instead of each number.
        when: the condition, as of a choice.
    """

    low: int
    high: int
    log: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        for end in (self.low, self.high):
            if not isinstance(end, int):
                raise PlanError(
                    f"a range of whole numbers with the end {end!r}", "a whole number", "round it"
                )

    @property
    def logarithmic(self) -> bool:
        """Whether its own scale is the logarithm."""
        return self.log

    @property
    def _cells(self) -> Uniform:
        """The range in which each number is the middle of its cell."""
        return (LogUniform if self.log else Uniform)(self.low - 0.5, self.high + 0.5)

    def beyond(self, side: Side) -> float:
        """As of any range, rounded, and with ``log`` at least 1."""
        end = round(super().beyond(side))
        return max(end, 1) if self.log else end

    def middle(self, one: float, other: float) -> float:
        """The whole number between two, or the lower of them."""
        return math.floor((one + other) / 2)

    def at(self, coordinate: float) -> Any:
        """The number in whose cell a coordinate from 0 to 1 lies."""
        return min(max(math.floor(self._cells.value(coordinate) + 0.5), self.low), self.high)

    def coordinate(self, value: Any) -> float | None:
        """Of a number; beyond the range that of its nearer end."""
        return self._cells.share(min(max(value, self.low), self.high))

    def levels(self, points: int | None) -> Sequence[Any]:
        """As of any range, rounded, each once; all numbers if no number of points is given."""
        if points is None:
            return range(self.low, self.high + 1)
        return list(dict.fromkeys(round(level) for level in super().levels(points)))

    def has(self, value: Any) -> bool:
        """Whether it is a whole number of the range."""
        return super().has(value) and value == int(value)


Dimension = Choice | Uniform | LogUniform | Integer


def choice(*options: Any, when: Values | None = None) -> Choice:
    """One of some options: ``choice([64, 128])`` or ``choice(64, 128)``.

    Args:
        options: the options, or one list of them.
        when: the condition: ``{"algorithm": ["sgd"]}``.
    """
    listed = options[0] if len(options) == 1 and isinstance(options[0], list | tuple) else options
    return Choice(tuple(listed), when=when or {})


def uniform(low: float, high: float, *, when: Values | None = None) -> Uniform:
    """Any number from ``low`` to ``high``, under the condition ``when``."""
    return Uniform(low, high, when=when or {})


def loguniform(low: float, high: float, *, when: Values | None = None) -> LogUniform:
    """Any number from ``low`` to ``high``, each factor equally likely, under the condition ``when``."""
    return LogUniform(low, high, when=when or {})


def integer(low: int, high: int, *, log: bool = False, when: Values | None = None) -> Integer:
    """A whole number from ``low`` to ``high``, with ``log`` each factor equally likely, under ``when``."""
    return Integer(low, high, log, when=when or {})


def frozen(value: Any) -> Any:
    """Lists as tuples, at every depth."""
    return tuple(frozen(each) for each in value) if isinstance(value, list | tuple) else value


def _thawed(value: Any) -> Any:
    return [_thawed(each) for each in value] if isinstance(value, list | tuple) else value


def place_of(value: Any, options: Sequence[Any]) -> int | None:
    """The place of a value among options; 64 and (64,) are the same hidden layer, True and 1 are not the same."""
    value = frozen(value)
    for place, option in enumerate(options):
        same = value in (option, (option,)) or (value,) == option
        if same and isinstance(value, bool) == isinstance(option, bool):
            return place
    return None


def _condition(when: Values) -> dict[str, tuple[Any, ...]]:
    if not isinstance(when, Mapping):
        raise PlanError(f"when = {when!r}", "values by setting", 'write when={"algorithm": ["sgd"]}')
    return {name: frozen(v) if isinstance(v, list | tuple) else (v,) for name, v in when.items()}


def read(name: str, value: Any) -> Dimension:
    """What stands for a setting in a mapping or a file, as a dimension.

    Raises:
        PlanError: it is none.
    """
    if isinstance(value, Dimension):
        return value
    try:
        if isinstance(value, list):
            return Choice(tuple(value))
        if isinstance(value, Mapping):
            return _from_table(value)
    except PlanError as error:
        raise PlanError(f"{name}: {error.happened}", error.expected, error.fix) from None
    if isinstance(value, tuple):
        listed = ", ".join(map(repr, value))
        fix = f"write choice([{listed}]) for options, uniform({listed}) or loguniform({listed}) for a range"
        raise PlanError(f"{name} = {value!r} may be options or a range", "one that says which", fix)
    raise PlanError(
        f"{name} = {value!r} leaves nothing to try",
        "options or a range",
        f"write [{value!r}, ...], or set it in the plan",
    )


def _from_table(table: Mapping[str, Any]) -> Dimension:
    known = ("options", "when") if "options" in table else ("low", "high", "log", "integer", "when")
    for key in table:
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else "leave it out"
            raise PlanError(f"unknown key {key!r}", f"some of {', '.join(known)}", hint)
    when = table.get("when", {})
    if "options" in table:
        if not isinstance(table["options"], list | tuple):
            raise PlanError(f"options = {table['options']!r}", "a list", "write options = [64, 128]")
        return Choice(tuple(table["options"]), when=when)
    missing = [key for key in ("low", "high") if key not in table]
    if missing:
        raise PlanError(f"a range without {missing[0]}", "low and high", "write {low = 0.0, high = 0.5}")
    low, high, log = table["low"], table["high"], bool(table.get("log"))
    if table.get("integer"):
        return Integer(low, high, log, when=when)
    return (LogUniform if log else Uniform)(low, high, when=when)


def plain(dimension: Dimension) -> dict[str, Any]:
    """A dimension as JSON values, which ``read`` takes back."""
    if isinstance(dimension, Choice):
        table: dict[str, Any] = {"options": _thawed(dimension.options)}
    else:
        table = {"low": dimension.low, "high": dimension.high}
        table |= {"log": True} if dimension.logarithmic else {}
        table |= {"integer": True} if isinstance(dimension, Integer) else {}
    return table | (
        {"when": {name: _thawed(v) for name, v in dimension.when.items()}} if dimension.when else {}
    )
