"""Thinning: no extreme is lost, and what is left does not depend on how often it was thinned."""

import itertools
import math
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fitwell.run import thinning
from fitwell.run.thinning import Event, survivors, thinnings

Value = float | None
NUMBERS = st.lists(st.integers(-5, 5).map(float), min_size=1, max_size=60)
VALUES = st.lists(st.none() | st.integers(-5, 5).map(float), min_size=1, max_size=60)


def event(step: int, signals: dict[str, Value]) -> Event:
    return {"step": step, "epoch": step / 100, "time": 1e9 + step, "signals": signals}


def recorded(values: list[Value], every: int = 1, name: str = "loss") -> list[Event]:
    return [event(every * i, {name: value}) for i, value in enumerate(values)]


def noise(count: int, seed: int = 0) -> list[Value]:
    draw = random.Random(seed)
    return [draw.gauss(0, 1) for _ in range(count)]


def points(events: list[Event], name: str = "loss") -> list[tuple[int, Value]]:
    return [(it["step"], it["signals"][name]) for it in events if name in it["signals"]]


def thinned(values: list[Value], width: int) -> list[int]:
    return survivors([i // width for i in range(len(values))], values)


def until(events: list[Event], count: int) -> list[Event]:
    """The first version of no more than so many points."""
    return next(it for it in thinnings(events) if sum(len(e["signals"]) for e in it) <= count)


def test_of_a_bucket_the_first_the_smallest_and_the_largest_survive() -> None:
    values: list[Value] = [3, 5, 1, 4, 2, 9, 8, 7, *[4, 6, 0, 1, 2, 2, 3, 5], 4]
    assert thinned(values, 8) == [0, 2, 5, *[8, 9, 10], 16]


@given(VALUES, st.sampled_from([1, 2, 4, 8, 64]))
def test_first_last_extremes_and_the_ends_of_every_run_of_nulls_survive(
    values: list[Value], width: int
) -> None:
    kept = thinned(values, width)
    left = [values[i] for i in kept]
    finite = [value for value in values if value is not None]
    assert {0, len(values) - 1} <= set(kept)
    if finite:
        found = [value for value in left if value is not None]
        assert (min(found), max(found)) == (min(finite), max(finite))
    start = 0
    for null, run in itertools.groupby(values, lambda value: value is None):
        end = start + len(list(run)) - 1
        if null:
            assert {start, end} <= set(kept)
            assert not set(range(start + 1, end)) & set(kept)
        start = end + 1
    assert len(left) - left.count(None) <= 3 * math.ceil(len(values) / width) + 1


@given(NUMBERS, st.lists(st.integers(0, 6), min_size=1, max_size=4).map(sorted))
def test_what_is_left_depends_on_the_last_width_alone(values: list[Value], powers: list[int]) -> None:
    kept = list(range(len(values)))
    for power in powers:
        chosen = survivors([i >> power for i in kept], [values[i] for i in kept])
        kept = [kept[i] for i in chosen]
    assert kept == thinned(values, 2 ** powers[-1])


def test_a_long_run_is_seen_evenly_however_often_it_was_thinned() -> None:
    everything, events = recorded(noise(100_000)), []
    for start in range(0, len(everything), 2000):
        events += everything[start : start + 2000]
        if len(events) > 8000:
            events = until(events[:6000], 3000) + events[6000:]
    steps = [step for step, _ in points(events)]
    tenths = [sum(step // 10_000 == tenth for step in steps) for tenth in range(10)]
    assert min(tenths) > 100, f"every tenth of the run is still there: {tenths}"


def test_thinning_goes_on_to_a_handful_of_points_and_ends() -> None:
    values = noise(5000)
    values[700:900] = [None] * 200
    versions = [points(it) for it in thinnings(recorded(values, every=7))]
    sizes = [5000, *map(len, versions)]
    assert all(later < earlier for earlier, later in itertools.pairwise(sizes))
    assert sizes[1] > 500
    assert sizes[-1] < 20
    for left in versions:
        assert set(left) <= set(points(recorded(values, every=7)))
        assert [step for step, _ in left] == sorted(step for step, _ in left)
        assert {(0, values[0]), (7 * 4999, values[4999]), (7 * 700, None), (7 * 899, None)} <= set(left)
        finite = [value for _, value in left if value is not None]
        everything = [value for value in values if value is not None]
        assert (min(finite), max(finite)) == (min(everything), max(everything))


def test_what_is_recorded_seldom_is_kept_whole_as_long_as_anything_else_is_long() -> None:
    events = recorded(noise(20_000))
    for epoch in range(200):
        events[100 * epoch]["signals"]["loss/val"] = float(epoch)
    versions = list(thinnings(events))
    long = [it for it in versions if len(points(it)) >= thinning.SELDOM]
    assert long
    for version in [*long, versions[len(long)]]:
        assert points(version, "loss/val") == points(events, "loss/val")
    assert len(points(versions[-1], "loss/val")) < 10, "where nothing is long, the limit counts"


def test_many_signals_of_few_points_give_way_too() -> None:
    names = [f"layer/{i}" for i in range(50)]
    draw = random.Random(1)
    events = [event(i, dict.fromkeys(names, draw.random())) for i in range(300)]
    assert len(until(events, 5000)) < 150


def test_an_event_keeps_its_step_epoch_and_time_and_goes_when_nothing_is_left() -> None:
    events = recorded(noise(3000), every=3)
    before = [dict(it) for it in events]
    left = next(thinnings(events))
    known = {it["step"]: it for it in events}
    assert all(it == known[it["step"]] for it in left)
    assert all(it["signals"] for it in left)
    assert events == before, "what was given stays as it was"


@pytest.mark.parametrize(
    "values",
    [
        [None] * 5000,
        [None, 1.0] * 2500,
        [1.0] * 5000,
        [float(i) for i in range(5000)],
    ],
    ids=["null", "flickering", "constant", "rising"],
)
def test_any_signal_can_be_made_small(values: list[Value]) -> None:
    assert len(until(recorded(values), 500)) > 0
    assert len(list(thinnings(recorded(values)))[-1]) < 20


def test_steps_that_begin_again_or_jump_are_thinned_too() -> None:
    again = recorded(noise(3000)) + recorded(noise(3000, seed=1))
    jumping = [event(step, {"loss": 1.0}) for _ in range(2000) for step in (5, 10**9)]
    for events in (again, jumping):
        assert len(until(events, 2500)) > 0


@pytest.mark.parametrize("events", [[], [event(0, {})], [event(3, {"a": 1.0})], [event(0, {"a": None})]])
def test_where_nothing_can_go_nothing_goes(events: list[Any]) -> None:
    assert list(thinnings(events)) == []


@settings(max_examples=30)
@given(st.lists(st.dictionaries(st.sampled_from("abc"), st.none() | st.floats(-1, 1)), max_size=40))
def test_thinning_ends_whatever_was_recorded(signals: list[dict[str, Value]]) -> None:
    events = [event(7 * i, it) for i, it in enumerate(signals)]
    for version in thinnings(events):
        for name in "abc":
            before, after = points(events, name), points(version, name)
            assert after[:1] == before[:1]
            assert after[-1:] == before[-1:]
