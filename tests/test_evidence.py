"""Three-valued evidence: what was not seen is never taken for fine, and every proof shows its lines."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Mapping
from typing import Any

import pytest

from fitwell.evidence import (
    Condition,
    Measure,
    Series,
    Truth,
    View,
    absent,
    all_of,
    any_of,
    conditions,
    for_some,
    found,
    greatest,
    least,
)

TRUTHS: tuple[Truth, ...] = (True, False, None)


def given(value: object) -> Measure:
    return Measure("value", lambda view: value)  # type: ignore[arg-type,return-value]


def fixed(truth: Truth) -> Condition:
    return given(truth).equals(True)


def size(view: View) -> Any:
    return view.subject.get("size")


SIZE = Measure("size", size, "units")


@pytest.mark.parametrize(("a", "b"), list(itertools.product(TRUTHS, repeat=2)))
def test_the_tables_of_kleene(a: Truth, b: Truth) -> None:
    order = {False: 0, None: 1, True: 2}
    low, high = sorted((a, b), key=order.__getitem__)
    assert least([a, b]) is low
    assert greatest([a, b]) is high
    assert all_of(fixed(a), fixed(b)).prove(View()).holds is low
    assert any_of(fixed(a), fixed(b)).prove(View()).holds is high


def test_nothing_is_true_of_all_and_false_of_some() -> None:
    assert all_of().prove(View()).holds is True
    assert any_of().prove(View()).holds is False


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        (given(1.0) > 0.5, True), (given(0.5) > 0.5, False), (given(0.5) >= 0.5, True), (given(2) < 3, True),
        (given(3) <= 2, False), (given(math.inf) > 5, True), (given("a").equals("a"), True),
        (given("a").one_of("b", "c"), False), (given("a").none_of("b", "c"), True), (given(0).equals(0), True),
        (given(None) > 0.5, None), (given(None).none_of("b"), None), (given(math.nan) > 0.5, None),
        (given(math.nan) < 0.5, None), (given(False).equals(False), True),
    ],
)  # fmt: skip
def test_a_limit_compares(condition: Condition, holds: Truth) -> None:
    assert condition.prove(View()).holds is holds


def test_a_condition_is_no_truth_value() -> None:
    with pytest.raises(TypeError, match="all_of"):
        bool(given(1) > 0)
    with pytest.raises(TypeError, match="all_of"):
        assert 0 < given(1) < 2  # type: ignore[operator]


def test_a_line_can_be_argued_with_and_is_json() -> None:
    condition = all_of(SIZE > 2, given("a").one_of("a", "b"), given(math.inf) > 1, given(math.nan) > 1)
    lines = [line.plain() for line in condition.prove(View(subject={"size": 3})).evidence]
    assert lines[0] == {
        "measure": "size",
        "value": 3,
        "sign": ">",
        "limit": 2,
        "unit": "units",
        "holds": True,
    }
    assert lines[1]["limit"] == ["a", "b"]
    assert (lines[2]["value"], lines[3]["value"], lines[3]["holds"]) == ("inf", None, None)
    assert json.loads(json.dumps(lines, allow_nan=False)) == lines


def test_a_conjunction_shows_all_lines_a_disjunction_those_that_hold() -> None:
    one, other = SIZE > 2, SIZE > 5
    view = View(subject={"size": 3})
    assert [line.holds for line in all_of(one, other).prove(view).evidence] == [True, False]
    assert [line.holds for line in any_of(one, other).prove(view).evidence] == [True]
    assert [line.holds for line in any_of(other, other).prove(view).evidence] == [False, False]


def each(*sizes: float | None) -> Any:
    return lambda view: [{"name": f"s{i}", "size": value} for i, value in enumerate(sizes)]


def test_for_some_names_those_it_holds_for() -> None:
    proof = for_some("things", each(1, 4, None, 5), SIZE > 2).prove(View())
    assert proof.holds is True
    assert [subject["name"] for subject in proof.subjects] == ["s1", "s3"]
    assert [line.value for line in proof.evidence] == [4]


def test_for_some_that_holds_for_none_shows_the_nearest() -> None:
    condition = for_some("things", each(1, 4), all_of(SIZE > 2, SIZE > 9))
    proof = condition.prove(View())
    assert (proof.holds, proof.subjects) == (False, ())
    assert [line.value for line in proof.evidence] == [4, 4]


def test_for_some_that_cannot_be_checked_shows_what_was_not_seen() -> None:
    proof = for_some("things", each(4, None), all_of(SIZE > 2, SIZE > 9)).prove(View())
    assert proof.holds is None
    assert [line.holds for line in proof.evidence] == [None, None]


def test_without_subjects_it_is_false_and_unseen_ones_are_unknown() -> None:
    nobody = for_some("things", lambda view: [], SIZE > 2).prove(View())
    unseen = for_some("things", lambda view: None, SIZE > 2).prove(View())
    assert (nobody.holds, unseen.holds) == (False, None)
    assert [line.measure for line in (*nobody.evidence, *unseen.evidence)] == ["things", "things"]


def test_subjects_may_lie_within_subjects() -> None:
    def inner(view: View) -> list[Mapping[str, Any]]:
        return [{"size": size, "outer": view.subject["name"]} for size in view.subject["sizes"]]

    outer = [{"name": "a", "sizes": [1]}, {"name": "b", "sizes": [1, 3]}]
    proof = for_some("a", lambda view: outer, for_some("b", inner, SIZE > 2)).prove(View())
    assert [(subject["outer"], subject["size"]) for subject in proof.subjects] == [("b", 3)]


def test_subjects_survive_a_conjunction() -> None:
    proof = all_of(fixed(True), for_some("things", each(3), SIZE > 2)).prove(View())
    assert [subject["name"] for subject in proof.subjects] == ["s0"]


@pytest.mark.parametrize("known", TRUTHS)
def test_findings_are_asked_for_or_denied(known: Truth) -> None:
    assert found("x").prove(View(), {"x": known}).holds is known
    assert absent("x").prove(View(), {"x": known}).holds is (None if known is None else not known)
    assert found("x").prove(View()).holds is None
    nested = for_some("things", each(1), any_of(found("x")))
    assert nested.prove(View(), {"x": known}).holds is known


def test_all_conditions_are_found_within_one() -> None:
    parts = [fixed(True), found("a"), absent("b")]
    whole = all_of(parts[0], for_some("things", each(), any_of(parts[1], parts[2])))
    assert {id(part) for part in parts} <= {id(part) for part in conditions(whole)}
    assert len(list(conditions(whole))) == 6


def test_facts_are_found_by_their_keys() -> None:
    view = View({"a": {"b": 0}, "c": [1]})
    assert (view.fact("a", "b"), view.fact("a"), view.fact("a", "x", "y"), view.fact("c", "d")) == (
        0, {"b": 0}, None, None,
    )  # fmt: skip
    assert view.fact("failure") is None


@pytest.mark.parametrize(
    ("facts", "thread", "known"),
    [
        ({"net": {"steps": 3}, "critic": {"steps": 5}}, "critic", {"steps": 5}),
        ({"threads": {"net": {"steps": 3}}, "more": 1}, "net", {"steps": 3}),
        ({"threads": {"net": {"steps": 3}}, "more": 1}, "critic", None),
        ({"net": {"steps": 3}}, "critic", None),
        ({"steps": 3}, "critic", {"steps": 3}),
        ([1, 2], "net", [1, 2]),
        (None, "net", None),
        ({}, "net", {}),
    ],
)
def test_what_a_signal_knows_of_a_thread(facts: object, thread: str, known: object) -> None:
    named = [{"name": "net"}, {"name": "critic"}]
    assert View({"threads": named, "signals": {"s": facts}}, thread=thread).known("s") == known


def test_series_and_layers() -> None:
    series = Series([1.0, math.nan, 2.0], [1, 2, 3], [0.5, 1.0, 1.5])
    names = ("layer/b/dead_share", "layer/a.0/dead_share", "layer/b/other", "loss/val")
    table = {"table": [{"name": "a.0"}, {"name": "b"}]}
    view = View({"signals": {"layers": {"net": table}}}, dict.fromkeys(names, series), "net")
    assert (series.finite, len(series)) == ([1.0, 2.0], 3)
    assert list(view.layers("dead_share")) == ["a.0", "b"]
    assert list(View({}, view.signals).layers("dead_share")) == ["b", "a.0"]
    assert view.series("loss/val") is series
    assert view.series("loss/train") is None
    assert View({}, {"empty": Series([], [], [])}).series("empty") is None


def test_a_view_about_a_subject_keeps_the_outer_one() -> None:
    view = View({"a": 1}, thread="net").about({"layer": "fc"}).about({"size": 3})
    assert (view.subject, view.fact("a"), view.thread) == ({"layer": "fc", "size": 3}, 1, "net")
