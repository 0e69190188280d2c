"""A run as rules see it."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from fitwell.plan import Plan
from fitwell.run import Run, create_run
from fitwell.run.events import EventLog
from fitwell.run.files import write_json
from fitwell.run.view import thread_views


def thread(name: str, prefix: str = "", steps: int = 10) -> dict[str, Any]:
    return {"name": name, "prefix": prefix, "steps": steps}


def watched(folder: Path, *threads: dict[str, Any], **facts: Any) -> Run:
    run = create_run(None, "train", folder)
    run.update(program={"argv": ["train.py"]})
    write_json(run.path / "facts.json", {"schema": 1, "threads": list(threads)} | facts)
    return run


def record(run: Run, *events: tuple[int, float, dict[str, float]]) -> None:
    log = EventLog(run.events_path)
    for step, epoch, signals in events:
        log.append(step, epoch, signals)
    log.flush()


def test_signals_are_series_with_steps_and_epochs(tmp_path: Path) -> None:
    run = watched(tmp_path, thread("net"))
    record(run, (1, 0.1, {"loss/batch": 2.0}), (5, 0.5, {"lr": 0.1}), (9, 0.9, {"loss/batch": math.nan}))
    (view,) = thread_views(run)
    series = view.signals["loss/batch"]
    assert (series.steps, series.epochs, series.finite) == ([1, 9], [0.1, 0.9], [2.0])
    assert math.isnan(series.values[1])
    assert series is view.signals["loss/batch"]
    assert (sorted(view.signals), len(view.signals)) == (["loss/batch", "lr"], 2)
    assert view.series("accuracy/val") is None


def test_each_thread_has_its_own_signals(tmp_path: Path) -> None:
    threads = thread("net"), thread("critic", "thread/critic/", 30)
    run = watched(tmp_path, *threads)
    record(run, (1, 0, {"loss/batch": 2.0, "thread/critic/loss/batch": 3.0, "layer/fc/weight_norm": 1.0}))
    critic, net = thread_views(run)
    assert (critic.thread, net.thread) == ("critic", "net")
    assert list(critic.signals) == ["loss/batch"]
    assert critic.signals["loss/batch"].values == [3.0]
    assert sorted(net.signals) == ["layer/fc/weight_norm", "loss/batch"]
    assert net.facts is critic.facts


def test_a_prefix_is_no_part_of_another_name(tmp_path: Path) -> None:
    run = watched(tmp_path, thread("a"), thread("b", "thread/b/"), thread("b2", "thread/b2/"))
    record(run, (1, 0, {"thread/b2/lr": 2.0, "thread/b/lr": 1.0, "lr": 0.0}))
    found = {view.thread: view.signals["lr"].values for view in thread_views(run)}
    assert found == {"a": [0.0], "b": [1.0], "b2": [2.0]}


def test_the_thread_with_most_steps_is_first_and_of_equal_ones_the_last(tmp_path: Path) -> None:
    run = watched(tmp_path, thread("a"), thread("b", "thread/b/", 50), thread("c", "thread/c/", 50))
    assert [view.thread for view in thread_views(run)] == ["c", "b", "a"]


@pytest.mark.parametrize("facts", [None, {}, {"threads": []}])
def test_a_program_that_never_trained_has_one_empty_view(tmp_path: Path, facts: object) -> None:
    run = create_run(None, "train", tmp_path)
    run.update(program={"argv": ["train.py"]})
    if facts is not None:
        write_json(run.path / "facts.json", facts)
    (view,) = thread_views(run)
    assert (dict(view.signals), view.thread) == ({}, "")
    with pytest.raises(KeyError):
        view.signals["loss/val"]


def test_the_result_of_a_training_of_our_own_is_a_fact(tmp_path: Path) -> None:
    run = create_run(Plan(data="digits"), "digits", tmp_path)
    record(run, (40, 1.0, {"loss/val": 0.5}))
    assert thread_views(run)[0].fact("fit") == {}
    run.update(result={"metrics": {"val/loss": 0.5}})
    (view,) = thread_views(run)
    assert view.fact("fit", "metrics", "val/loss") == 0.5
    assert view.signals["loss/val"].values == [0.5]


def test_events_of_different_signals_come_in_their_order(tmp_path: Path) -> None:
    run = watched(tmp_path, thread("net"))
    record(run, (1, 0.1, {"a": 1.0}), (2, 0.2, {"a": 2.0, "b": 9.0}), (3, 0.3, {"a": 3.0}))
    (view,) = thread_views(run)
    assert (view.signals["a"].values, view.signals["a"].steps) == ([1.0, 2.0, 3.0], [1, 2, 3])
