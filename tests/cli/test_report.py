"""``fitwell report``."""

import json
from pathlib import Path

from fitwell.plan import Plan
from fitwell.run import create_run, find_run
from fitwell.study import create_study


def test_the_report_is_written_anew_and_its_path_printed(fitwell, seen, shelf: Path) -> None:
    path = find_run("photos", shelf).path / "report.html"
    path.unlink()
    assert fitwell("report", "photos", "--runs", shelf).out == f"{path}\n"
    assert path.read_text(encoding="utf-8").lower().startswith("<!doctype html")
    assert json.loads(fitwell("report", "photos", "--runs", shelf, "--json").out) == {"report": str(path)}


def test_an_unfinished_run_and_an_unknown_one_are_refused(refused, runs: Path) -> None:
    run = create_run(Plan(data="digits"), "digits", runs)
    assert "no run 'nope'" in refused(1, "report", "nope")
    assert f"fitwell resume {run.name}" in refused(1, "report", "last")
    assert not (run.path / "report.html").exists()


def test_a_watched_run_has_a_report_before_its_end(fitwell, watched_run) -> None:
    assert fitwell("report", "last").out == f"{watched_run.path / 'report.html'}\n"
    assert "train.py" in (watched_run.path / "report.html").read_text(encoding="utf-8")


def test_a_study_has_a_report_before_its_end(fitwell, runs: Path) -> None:
    study = create_study(Plan(data="digits"), "tune", "digits", runs)
    assert fitwell("report", "last").out == f"{study.path / 'report.html'}\n"
    assert f"fitwell resume {study.name}" in (study.path / "report.html").read_text(encoding="utf-8")
