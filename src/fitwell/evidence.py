"""Evidence: View -> Measure -> Condition -> Proof.

Everything is three-valued: True, False, or None for what cannot be checked (Kleene's strong logic). What was not
seen is never taken for fine.

    rising = all_of(rise("loss/val") > 0.05, slope("loss/train") < 0)
    rising.prove(view).holds
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

Truth = bool | None
Value = float | str | bool | None
Subject = Mapping[str, Any]

NOTHING: Subject = {}


@dataclass(frozen=True)
class Series:
    """The values of one signal, oldest first; NaN is a value that was not finite.

    Args:
        values: the numbers.
        steps: at which they were recorded, counted from 1.
        epochs: passes over the data that were done by then, with fractions.
    """

    values: Sequence[float]
    steps: Sequence[int]
    epochs: Sequence[float]

    def __len__(self) -> int:
        return len(self.values)

    @cached_property
    def finite(self) -> list[float]:
        """The values without those that were not finite."""
        return [value for value in self.values if math.isfinite(value)]


@dataclass(frozen=True)
class View:
    """What is known of one thread of a training: a model with what optimizes it.

    Args:
        facts: facts.json of the run, see ``docs/design.md``.
        signals: by name, without the prefix of the thread.
        thread: its name in ``facts["threads"]``.
        subject: what is spoken of now, such as a layer or the place of a loss; see ``for_some``.
        measured: what was read already, for many rules ask for the same.
    """

    facts: Mapping[str, Any] = field(default_factory=dict)
    signals: Mapping[str, Series] = field(default_factory=dict)
    thread: str = ""
    subject: Subject = field(default_factory=dict)
    measured: dict[Measure, Value] = field(default_factory=dict, repr=False, compare=False)

    def value(self, measure: Measure) -> Value:
        """What a measure reads from it, once."""
        if measure not in self.measured:
            self.measured[measure] = measure.read(self)
        return self.measured[measure]

    def fact(self, *path: str) -> Any:
        """What the facts hold under these keys, one within the other; None where there is nothing."""
        found: Any = self.facts
        for key in path:
            found = found.get(key) if isinstance(found, Mapping) else None
        return found

    def known(self, signal: str) -> Any:
        """The facts of a signal about this thread; about all of them if it does not tell them apart."""
        facts = self.fact("signals", signal)
        threads = facts.get("threads", facts) if isinstance(facts, Mapping) else None
        if not isinstance(threads, Mapping):
            return facts
        others = {thread.get("name") for thread in self.fact("threads") or []}
        if self.thread in threads or "threads" in facts or others.intersection(threads):
            return threads.get(self.thread)
        return facts

    def series(self, signal: str) -> Series | None:
        """The values of a signal; None if there are none."""
        found = self.signals.get(signal)
        return found if found is not None and len(found) else None

    def layers(self, signal: str) -> dict[str, Series]:
        """By layer the series ``layer/<name>/<signal>``, in the order in which the layers run."""
        named = {}
        for name in self.signals:
            if name.startswith("layer/") and name.endswith(f"/{signal}"):
                named[name.removeprefix("layer/").removesuffix(f"/{signal}")] = self.signals[name]
        table = self.known("layers") or {}
        order = {row["name"]: number for number, row in enumerate(table.get("table", []))}
        return dict(sorted(named.items(), key=lambda item: order.get(item[0], len(order))))

    def about(self, subject: Subject) -> View:
        """The same, speaking of a subject."""
        return replace(self, subject={**self.subject, **subject}, measured={})


@dataclass(frozen=True)
class Evidence:
    """One line that a person can argue with."""

    measure: str
    value: Value
    sign: str
    limit: Value | Sequence[Value]
    holds: Truth
    unit: str = ""

    def plain(self) -> dict[str, Any]:
        """As in findings.json."""
        shown = list(self.limit) if isinstance(self.limit, tuple) else self.limit
        infinite = isinstance(self.value, float) and math.isinf(self.value)  # which JSON has no number for
        value = str(self.value) if infinite else self.value
        keys = {"measure": self.measure, "value": value, "sign": self.sign, "limit": shown}
        return keys | {"unit": self.unit, "holds": self.holds}


@dataclass(frozen=True)
class Proof:
    """Whether a condition holds, and why.

    Args:
        holds: None if it could not be checked.
        evidence: of every clause, whether it holds or not.
        subjects: what it holds for, if it is about some layers, losses, ...
    """

    holds: Truth
    evidence: tuple[Evidence, ...] = ()
    subjects: tuple[Subject, ...] = ()


Findings = Mapping[str, Truth]  # what is known so far of the findings that a condition asks for


@dataclass(frozen=True)
class Condition:
    """Something that can be proved of a view; made by comparing measures, and by the functions below."""

    def prove(self, view: View, findings: Findings = NOTHING) -> Proof:
        """Whether it holds, and the evidence."""
        raise NotImplementedError

    def parts(self) -> Sequence[Condition]:
        """The conditions within it."""
        return ()

    def __bool__(self) -> bool:
        raise TypeError(
            "a condition has no truth value: write all_of(a, b) for `a and b` and for `0 < x < 1`"
        )


@dataclass(frozen=True)
class Measure:
    """A number, a word or a yes or no that is read from a view; None where it cannot be.

    Args:
        text: what it is, as it stands in a proof.
        read: gives its value.
        unit: such as ``share`` or ``steps``.
    """

    text: str
    read: Callable[[View], Value]
    unit: str = ""

    def __gt__(self, limit: float) -> Condition:
        return Limit(self, ">", limit)

    def __lt__(self, limit: float) -> Condition:
        return Limit(self, "<", limit)

    def __ge__(self, limit: float) -> Condition:
        return Limit(self, ">=", limit)

    def __le__(self, limit: float) -> Condition:
        return Limit(self, "<=", limit)

    def equals(self, value: Value) -> Condition:
        """Whether it is this value."""
        return Limit(self, "is", value)

    def one_of(self, *values: Value) -> Condition:
        """Whether it is among these values."""
        return Limit(self, "is one of", values)

    def none_of(self, *values: Value) -> Condition:
        """Whether it is none of these values."""
        return Limit(self, "is none of", values)


_COMPARE: Mapping[str, Callable[[Any, Any], bool]] = {
    ">": lambda value, limit: value > limit,
    "<": lambda value, limit: value < limit,
    ">=": lambda value, limit: value >= limit,
    "<=": lambda value, limit: value <= limit,
    "is": lambda value, limit: value == limit,
    "is one of": lambda value, limit: value in limit,
    "is none of": lambda value, limit: value not in limit,
}


@dataclass(frozen=True)
class Limit(Condition):
    """A measure and the limit that it crosses."""

    measure: Measure
    sign: str
    limit: Value | tuple[Value, ...]

    def prove(self, view: View, findings: Findings = NOTHING) -> Proof:  # noqa: ARG002
        """Compare; what could not be measured, or is no number, cannot be checked."""
        value = view.value(self.measure)
        if isinstance(value, float) and math.isnan(value):
            value = None
        holds = None if value is None else _COMPARE[self.sign](value, self.limit)
        line = Evidence(self.measure.text, value, self.sign, self.limit, holds, self.measure.unit)
        return Proof(holds, (line,))


@dataclass(frozen=True)
class _Combined(Condition):
    conditions: tuple[Condition, ...]

    def parts(self) -> Sequence[Condition]:
        return self.conditions

    def _proofs(self, view: View, findings: Findings) -> list[Proof]:
        return [condition.prove(view, findings) for condition in self.conditions]


@dataclass(frozen=True)
class All(_Combined):
    """Every one of some conditions."""

    def prove(self, view: View, findings: Findings = NOTHING) -> Proof:
        """The least of the truths."""
        proofs = self._proofs(view, findings)
        return _joined(least(proof.holds for proof in proofs), proofs)


@dataclass(frozen=True)
class Some(_Combined):
    """At least one of some conditions."""

    def prove(self, view: View, findings: Findings = NOTHING) -> Proof:
        """The greatest of the truths; where it holds, the evidence is of those that hold."""
        proofs = self._proofs(view, findings)
        holds = greatest(proof.holds for proof in proofs)
        return _joined(holds, [proof for proof in proofs if not holds or proof.holds])


@dataclass(frozen=True)
class ForSome(Condition):
    """A condition that is about a layer, the place of a loss, ...: whether it holds for one of them."""

    what: str
    subjects: Callable[[View], Iterable[Subject] | None]
    condition: Condition

    def parts(self) -> Sequence[Condition]:
        """The condition that each is tried by."""
        return (self.condition,)

    def prove(self, view: View, findings: Findings = NOTHING) -> Proof:
        """The evidence is of the first for which it holds, else of the one that came nearest."""
        subjects = self.subjects(view)
        if subjects is None:
            return Proof(None, (Evidence(self.what, None, "is", "seen", None),))
        tried = [(subject, self.condition.prove(view.about(subject), findings)) for subject in subjects]
        if not tried:
            return Proof(False, (Evidence(self.what, False, "is", "seen", False),))
        holding = [(subject, proof) for subject, proof in tried if proof.holds]
        if holding:
            inner = holding[0][1].subjects
            return Proof(True, holding[0][1].evidence, inner or tuple(subject for subject, _ in holding))
        holds = greatest(proof.holds for _, proof in tried)
        nearest = max((proof for _, proof in tried if proof.holds is holds), key=_nearness)
        return Proof(holds, nearest.evidence)


@dataclass(frozen=True)
class Found(Condition):
    """Whether another finding was made, or was not."""

    name: str
    wanted: bool

    def prove(self, view: View, findings: Findings = NOTHING) -> Proof:  # noqa: ARG002
        """What the rules of an earlier stratum said."""
        known = findings.get(self.name)
        holds = None if known is None else known is self.wanted
        return Proof(holds, (Evidence(f"finding {self.name}", known, "is", self.wanted, holds),))


def all_of(*conditions: Condition) -> Condition:
    """Whether every condition holds."""
    return All(conditions)


def any_of(*conditions: Condition) -> Condition:
    """Whether at least one condition holds."""
    return Some(conditions)


def for_some(
    what: str, subjects: Callable[[View], Iterable[Subject] | None], condition: Condition
) -> Condition:
    """Whether a condition holds for some layer, place of a loss, ...

    Args:
        what: the plural of what they are, such as ``layers``.
        subjects: gives each as a mapping that measures read as ``view.subject``; None if none could be seen, and
            no subject if there are none. The ``where`` of a subject is the line that the finding names.
        condition: is tried with each.
    """
    return ForSome(what, subjects, condition)


def found(name: str) -> Condition:
    """Whether the rules make this finding."""
    return Found(name, True)


def absent(name: str) -> Condition:
    """Whether the rules do not make this finding; unknown while that cannot be checked."""
    return Found(name, False)


def least(truths: Iterable[Truth]) -> Truth:
    """Kleene's conjunction: False if any is, else None if any is, else True."""
    known = list(truths)
    return False if False in known else None if None in known else True


def greatest(truths: Iterable[Truth]) -> Truth:
    """Kleene's disjunction: True if any is, else None if any is, else False."""
    known = list(truths)
    return True if True in known else None if None in known else False


def conditions(condition: Condition) -> Iterator[Condition]:
    """A condition and all that are within it."""
    yield condition
    for part in condition.parts():
        yield from conditions(part)


def _joined(holds: Truth, proofs: Sequence[Proof]) -> Proof:
    evidence = tuple(line for proof in proofs for line in proof.evidence)
    subjects = next((proof.subjects for proof in proofs if proof.subjects), ())
    return Proof(holds, evidence, subjects)


def _nearness(proof: Proof) -> float:
    """The share of its lines that hold."""
    return sum(line.holds is True for line in proof.evidence) / max(1, len(proof.evidence))
