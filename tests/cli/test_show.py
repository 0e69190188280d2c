"""``fitwell show``."""

import json
from pathlib import Path

from fitwell.plan import Plan
from fitwell.run import create_run, find_run
from fitwell.study import create_study


def test_people_see_result_settings_and_curves(fitwell, seen, shelf: Path) -> None:
    done = fitwell("show", "photos", "--runs", shelf)
    assert done.code == 0
    for words in ("done", "accuracy", "model.family", "loss/val"):
        assert words in done.out


def test_json_is_one_object_with_the_plan(fitwell, trained, shelf: Path) -> None:
    told = json.loads(fitwell("show", "table", "--runs", shelf, "--json").out)
    run = find_run("table", shelf)
    assert (told["run"], told["state"], told["result"]) == (str(run.path), "done", run.result)
    assert Plan.from_json(json.dumps(told["plan"])) == run.plan


def test_a_run_that_just_began_can_be_shown(fitwell, runs: Path) -> None:
    create_run(Plan(data="digits"), "digits", runs)
    done = fitwell("show", "last")
    assert (done.code, done.err) == (0, "")
    assert "running" in done.out


def test_a_damaged_run_is_told(refused, runs: Path) -> None:
    run = create_run(Plan(data="digits"), "digits", runs)
    (run.path / "plan.json").write_text("{")
    assert "plan.json is damaged" in refused(1, "show", "last")
    (run.path / "run.json").write_text("{}")
    assert "run.json holds no state" in refused(1, "show", run.path)
    assert "no run 'nope'" in refused(1, "show", "nope")


def test_a_watched_run_shows_what_was_seen(fitwell, watched_run) -> None:
    assert "any training" in fitwell("show", "last").out
    told = json.loads(fitwell("show", "last", "--json").out)
    assert (told["run"], told["facts"]) == (str(watched_run.path), {})
    assert "plan" not in told


def test_a_study_shows_what_was_found_and_its_trials(fitwell, runs: Path) -> None:
    study = create_study(Plan(data="digits"), "tune", "digits", runs, metric="val/accuracy", higher=True)
    trial = create_run(Plan(data="digits").change(lr=0.01), "trial-1", study.path / "trials")
    trial.update(state="done", trial={"number": 1, "values": {"lr": 0.01}, "score": 0.97})
    done = fitwell("show", "last")
    assert (done.code, done.err) == (0, "")
    for words in ("tune-digits", "search for settings, 1 trial", "0.01", "97.00 %"):
        assert words in done.out
    told = json.loads(fitwell("show", "last", "--json").out)
    assert (told["study"]["kind"], told["study"]["best"], told["study"]["score"]) == ("tune", 1, 0.97)
    assert [each["values"] for each in told["trials"]] == [{"lr": 0.01}]
    assert fitwell("show", trial.path).code == 0
