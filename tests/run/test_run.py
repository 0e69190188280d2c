"""Run: what a folder tells, and that a damaged one says so."""

import json
from pathlib import Path

import numpy as np
import pytest

from fitwell.errors import DamagedError, RunError
from fitwell.plan import Plan
from fitwell.run import Run, create_run
from fitwell.run.events import EventLog
from fitwell.run.lock import locked

RESULT = {"metrics": {"test/accuracy": 0.9}, "verdict": "just-right"}


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return create_run(Plan(data="digits", stopping=3), "digits", tmp_path)


def test_a_run_tells_its_plan_and_its_state(run: Run) -> None:
    assert (run.state, run.plan, run.name) == ("preempted", Plan(data="digits", stopping=3), run.path.name)
    with locked(run.path):
        assert run.state == "running"
    run.update(state="done", result=RESULT)
    assert (run.state, run.result, run.metrics, run.verdict) == (
        "done", RESULT, {"test/accuracy": 0.9}, "just-right",
    )  # fmt: skip
    assert run.info["seed"] == 0, "an update keeps what it does not name"
    assert "done" in repr(run)


def test_an_unfinished_run_says_how_to_finish(run: Run) -> None:
    with pytest.raises(RunError, match=f"(?s)is preempted: it has no result.*fitwell resume {run.name}"):
        _ = run.metrics


def test_curves_are_read_from_the_events(run: Run) -> None:
    log = EventLog(run.events_path)
    for step, loss in enumerate([0.5, float("nan"), 0.25]):
        log.append(step, step / 2, {"loss/val": loss, "lr": 0.1})
    log.flush()
    assert run.curve("loss/val") == [(0.0, 0.5), (1.0, 0.25)]
    assert run.curve("nothing") == []
    assert run.signals() == ["loss/val", "lr"]


def test_a_frame_has_a_row_a_step(run: Run) -> None:
    log = EventLog(run.events_path)
    log.append(10, 0.5, {"lr": 0.1, "loss/batch": 2.0})
    log.append(20, 1.0, {"lr": 0.2, "loss/batch": 1.0, "null": float("inf")})
    log.append(20, 1.0, {"loss/val": 3.0, "lr": 0.25})
    log.flush()
    frame = run.to_frame()
    assert (frame.index.name, list(frame.index)) == ("step", [10, 20])
    assert list(frame.columns) == ["epoch", "time", "loss/batch", "loss/val", "lr", "null"]
    assert set(frame.dtypes) == {np.dtype(float)}
    assert list(frame["epoch"]) == [0.5, 1.0]
    assert list(frame["time"]) == [run.events[0]["time"], run.events[2]["time"]]
    np.testing.assert_equal(
        frame[["loss/batch", "loss/val", "lr", "null"]].to_numpy(),
        [[2.0, np.nan, 0.1, np.nan], [1.0, 3.0, 0.25, np.nan]],
    )


def test_a_frame_of_no_events_has_no_rows(run: Run) -> None:
    frame = run.to_frame()
    assert (len(frame), list(frame.columns), frame.index.name) == (0, ["epoch", "time"], "step")
    assert set(frame.dtypes) == {np.dtype(float)}


def test_the_evaluation_is_empty_until_it_is_written(run: Run) -> None:
    assert run.evaluation == {}
    (run.path / "evaluation.json").write_text('{"classes": ["a"]}')
    assert run.evaluation == {"classes": ["a"]}


def test_a_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"(?s)holds no run.*run\.json.*fitwell runs"):
        Run(tmp_path)


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '"done"'])
def test_a_damaged_state_is_told(run: Run, content: str) -> None:
    (run.path / "run.json").write_text(content)
    with pytest.raises(DamagedError, match=r"run\.json"):
        _ = run.state


@pytest.mark.parametrize("content", [None, "", "{", "[]", '{"data": "x", "seed": -1}'])
def test_a_damaged_plan_is_told_as_damage_and_not_as_a_wrong_setting(run: Run, content: str | None) -> None:
    path = run.path / "plan.json"
    path.unlink() if content is None else path.write_text(content)
    with pytest.raises(DamagedError, match=r"plan\.json"):
        _ = run.plan


def test_a_failed_update_keeps_the_state(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json, "dumps", lambda *_a, **_k: (_ for _ in ()).throw(MemoryError))
    with pytest.raises(MemoryError):
        run.update(state="done")
    assert run.info["state"] == "running"
