"""next_try(): one dose of some remedies, then more of the best, and of the others only what may help."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from fitwell.experiment import Settings
from fitwell.treating.candidates import Candidate
from fitwell.treating.next_try import MOST_SCREENED, next_try

FACTORS = (10.0, 100.0, 3.0, 1000.0, 30.0)


@dataclass(frozen=True)
class Tried:
    """What came of a candidate."""

    candidate: Candidate
    gain: float
    good: float
    perfect: bool = False
    least: float = 0.005

    @property
    def order(self) -> tuple[bool, float, float]:
        return False, self.gain, self.good


def candidate(remedy: str, dose: Settings, advice: bool = False) -> Candidate:
    finding: Any = SimpleNamespace(follows_from=None, severity="advice" if advice else "warning")
    view: Any = None
    return Candidate(finding, view, remedy, dose)


def course(
    doses: Mapping[str, tuple[float, ...]], train: Callable[[str, float], float], lost: bool = False
) -> list[tuple[str, float]]:
    """What is tried in turn; remedies for an advice are called ``advice``; minus infinity is a failure."""
    most = max(map(len, doses.values()))
    left = [
        candidate(name, {"factor": factors[number]}, name == "advice")
        for number in range(most)
        for name, factors in doses.items()
        if number < len(factors)
    ]
    tried: list[Tried] = []
    while (place := next_try(left, tried)) is not None:
        each = left.pop(place)
        good = train(each.remedy, each.dose["factor"])
        gain = good if not lost else 0.0 if good == -math.inf else math.inf
        tried.append(Tried(each, gain, good, perfect=good > 0.9))
    return [(each.candidate.remedy, each.candidate.dose["factor"]) for each in tried]


def test_more_of_what_helps_is_tried_until_it_helps_no_more() -> None:
    def train(_: str, factor: float) -> float:
        return -abs(math.log10(factor) - 2.5) / 10 + 0.25

    assert [dose for _, dose in course({"a": FACTORS}, train)] == [10, 100, 1000, 30]


def test_what_harms_is_only_tried_weaker() -> None:
    assert [dose for _, dose in course({"a": FACTORS}, lambda _, factor: -factor)] == [10, 3]


def test_some_others_come_before_more_of_the_best() -> None:
    doses = dict.fromkeys("abcdef", FACTORS[:2])
    found = course(doses, lambda name, factor: 0.2 + factor / 1000 if name == "b" else 0.0)
    assert found == [("a", 10), ("b", 10), ("c", 10), ("d", 10), ("b", 100)]


def test_without_help_all_is_tried_in_order() -> None:
    doses = dict.fromkeys("abcdef", FACTORS[:2])
    assert course(doses, lambda *_: 0.0) == [*((n, 10) for n in "abcdef"), ("a", 100), ("b", 100)]


def test_a_symptom_is_left_alone_if_the_cause_can_be_mended() -> None:
    doses = {"a": (10.0,), "advice": (10.0,)}
    assert course(doses, lambda *_: 0.2) == [("a", 10)]
    assert course(doses, lambda *_: 0.0) == [("a", 10), ("advice", 10)]


def test_it_stops_where_nothing_can_be_better() -> None:
    assert course({"a": FACTORS, "b": FACTORS}, lambda *_: 1.0) == [("a", 10)]


def test_where_all_fail_the_likeliest_place_is_sought() -> None:
    def train(_: str, factor: float) -> float:
        return -math.inf if factor < 1000 else 0.3

    found = course({"a": FACTORS}, train, lost=True)
    assert [dose for _, dose in found] == [10, 100, 1000]
    assert len(course({"a": FACTORS, "b": FACTORS}, lambda *_: 0.3, lost=True)) == MOST_SCREENED


def test_of_a_training_that_fails_more_of_the_likeliest_remedy_comes_before_the_others() -> None:
    def train(name: str, factor: float) -> float:
        return -math.inf if (name, factor) == ("a", 10) else 0.3

    doses = {"a": FACTORS[:2]} | dict.fromkeys("bcdefgh", FACTORS[:1])
    assert ("a", 100) in course(doses, train, lost=True)
