"""What is read of the order of calls: shares of the steps seen, schedules, and places."""

from __future__ import annotations

from typing import Any

import pytest

from fitwell.diagnosis import numbered
from fitwell.evidence import View
from fitwell.measures import loops


def _order(**counts: Any) -> View:
    return View({"signals": {"call_order": {"threads": {"net": counts}}}}, thread="net")


def test_shares_of_the_steps_seen() -> None:
    view = _order(steps=10, cleared_between_backward_and_step=4)
    assert loops.CLEARED_TOO_LATE.read(view) == 0.4
    assert loops.DISCARDED.read(view) == 0.0
    assert loops.CLIP_AFTER_STEP.read(view) is None, "nothing was clipped"
    assert loops.CLEARED_TOO_LATE.read(View()) is None


def test_gradientless() -> None:
    known = {"parameters": 4, "always_missing": {"count": 1}, "always_zero": {"count": 2}}
    assert (
        loops.GRADIENTLESS.read(View({"signals": {"missing_gradients": {"net": known}}}, thread="net"))
        == 0.75
    )
    assert loops.GRADIENTLESS.read(View()) is None


def _scheduled(rates: list[float], **scheduler: Any) -> View:
    known = {"kind": "StepLR", "planned": None, "ends_at": None, "calls": 100, "steps": None} | scheduler
    signals = {"schedulers": {"threads": {"net": [known]}}, "call_order": {"threads": {"net": {"steps": 5}}}}
    threads = [{"name": "net", "steps": 100, "epochs": 4}]
    return View({"threads": threads, "signals": signals}, {"lr": numbered(rates)}, "net")


def test_when_the_rate_ends() -> None:
    steady = [0.1] * 5
    assert loops.RATE_ENDS.read(_scheduled(steady)) == 1.0
    assert loops.RATE_ENDS.read(_scheduled(steady, ends_at=20)) == 0.2
    assert loops.RATE_ENDS.read(_scheduled(steady, ends_at=20, calls=4, steps=5)) == 0.25, (
        "80 calls by the end"
    )
    assert loops.RATE_ENDS.read(_scheduled([0.1] * 30 + [0.001] * 70)) == pytest.approx(0.31)
    assert loops.RATE_ENDS.read(_scheduled([0.1] * 30 + [0.001] * 69 + [0.1])) == 1.0, "it rises again"
    assert loops.RATE_ENDS.read(View()) is None


def test_the_pace_of_a_scheduler() -> None:
    assert loops.SCHEDULED_PER_STEP.read(_scheduled([0.1], calls=25)) == 0.25
    assert loops.STEPS_PER_PASS.read(_scheduled([0.1])) == 25
    assert loops.COSINE_CALLS.read(_scheduled([0.1], kind="CosineAnnealingLR", planned=20)) == 5
    assert loops.COSINE_CALLS.read(_scheduled([0.1], kind="OneCycleLR", planned=20)) == 0
    assert loops.PLAN_DONE.read(_scheduled([0.1], planned=100, calls=4)) == 0.04
    assert loops.PLAN_DONE.read(_scheduled([0.1], planned=500, calls=4)) == 1.0, "not a plan for this run"
    assert loops.PLAN_DONE.read(_scheduled([0.1], planned=100, calls=-1)) == 1.0, "within another scheduler"


def test_a_loop_without_a_scheduler() -> None:
    view = View(_order(steps=5).facts, {"lr": numbered([0.1] * 5)}, "net")
    assert loops.SCHEDULED_PER_STEP.read(view) == 0.0
    assert loops.RATE_ENDS.read(view) == 1.0


def test_growing_graphs() -> None:
    def growth(nodes: list[float]) -> Any:
        return loops.GRAPH_GROWTH.read(View(signals={"graph/nodes": numbered(nodes)}))

    assert growth([10, 20, 30, 40, 50]) == 5.0
    assert growth([10, 20, 30, 20, 50]) == 1.0
    assert growth([2_000, 4_000, 5_000, 5_000, 5_000]) == 2.5, "counting ends at a bound"
    assert growth([10, 20, 30]) is None


def test_workers() -> None:
    def view(*loaders: dict[str, Any]) -> View:
        return View({"signals": {"loader_workers": {"loaders": list(loaders)}}})

    fine = {"seeded_alike": False, "generators": [], "equal": 0, "where": None}
    bad = {"seeded_alike": True, "generators": ["rng"], "equal": 3, "where": {"line": 4}}
    measures = (loops.SEEDED_ALIKE, loops.COPIED_GENERATORS, loops.EQUAL_BATCHES)
    assert [measure.read(view(fine)) for measure in measures] == [False, 0, 0]
    assert [measure.read(view(fine, bad)) for measure in measures] == [True, 1, 3]
    assert [measure.read(View()) for measure in measures] == [None] * 3
    assert loops.workers_place(view(fine, bad)) == {"line": 4}


def test_the_place_of_a_call() -> None:
    view = _order(steps=3, where={"clip_after_step": {"line": 7}})
    assert loops.place_of("call_order", "clip_before_backward", "clip_after_step")(view) == {"line": 7}
    assert loops.place_of("call_order", "other")(view) is None
    assert loops.place_of("carried_gradients")(View()) is None


def test_the_rate_at_the_end() -> None:
    assert loops.END_RATE.read(View(signals={"lr": numbered([0.1, 0.4, 0.2])})) == 0.5
    assert loops.END_RATE.read(View()) is None
