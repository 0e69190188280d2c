"""``fitwell runs``."""

import json
from pathlib import Path

from fitwell.plan import Plan
from fitwell.run import create_run, list_runs
from fitwell.study import create_study


def test_all_runs_are_listed_oldest_first(fitwell, seen, shelf: Path) -> None:
    out = fitwell("runs", "--runs", shelf).out
    names = [run.name for run in list_runs(shelf)]
    assert len(names) == 2
    assert out.index(names[0]) < out.index(names[1])
    assert "too short to tell" in out


def test_json_is_one_list(fitwell, seen, shelf: Path) -> None:
    told = json.loads(fitwell("runs", "--runs", shelf, "--json").out)
    assert [Path(run["run"]).name for run in told] == [run.name for run in list_runs(shelf)]
    assert {run["state"] for run in told} == {"done"}


def test_no_runs_say_how_to_make_one(fitwell, runs: Path) -> None:
    assert fitwell("runs").out == f"no runs in {runs}; `fitwell train digits` makes one\n"
    assert json.loads(fitwell("runs", "--json").out) == []


def test_a_run_without_a_result_and_a_damaged_one_are_no_obstacle(fitwell, runs: Path) -> None:
    fresh = create_run(Plan(data="digits"), "digits", runs)
    damaged = create_run(Plan(data="iris"), "iris", runs)
    (damaged.path / "run.json").write_text("[]")
    done = fitwell("runs")
    assert done.code == 0
    assert fresh.name in done.out
    assert damaged.name not in done.out


def test_a_watched_run_is_listed(fitwell, watched_run) -> None:
    done = fitwell("runs")
    assert watched_run.name in done.out
    assert "watched" in done.out


def test_a_study_is_listed_and_its_trials_are_not(fitwell, runs: Path) -> None:
    study = create_study(Plan(data="digits"), "tune", "digits", runs, metric="val/accuracy", higher=True)
    trial = create_run(Plan(data="digits"), "trial-1", study.path / "trials")
    trial.update(state="done", trial={"number": 1, "values": {}, "score": 0.97})
    out = fitwell("runs").out
    for words in ("preempted, tune", "accuracy 97.00 % (val)"):
        assert words in out
    assert "trial-1" not in out
    (told,) = json.loads(fitwell("runs", "--json").out)
    assert told["study"] == {"kind": "tune", "metric": "val/accuracy", "trials": 1, "best": 1, "score": 0.97}
