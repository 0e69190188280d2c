"""``fitwell resume``; that the result is bit-identical stands in tests/training/test_resume.py."""

import json
from pathlib import Path

import pytest

from fitwell.run import Run


def test_a_finished_run_is_left_as_it_is(fitwell, trained, shelf: Path) -> None:
    run = Run(json.loads(trained.out)["run"])
    before = (run.path / "run.json").read_bytes()
    done = fitwell("resume", run.path)
    assert done.code == 0
    assert f"run {run.name} is done already" in done.out
    told = fitwell("resume", run.path, "--json")
    assert json.loads(told.out) == run.result
    assert "is done already" in told.err
    assert (run.path / "run.json").read_bytes() == before


def test_a_run_killed_before_its_first_checkpoint_begins_anew(fitwell, files: Path, runs: Path) -> None:
    from fitwell.plan import Plan
    from fitwell.run import create_run

    # What a SIGKILL right after the folder was made leaves: a plan, no checkpoint, no fingerprint yet.
    plan = Plan(data=files / "photos").change(
        model="mlp", epochs=2, lr=0.01, threads=1, batch_size=8, device="cpu", patience=None
    )
    run = create_run(plan, "photos", runs)
    done = fitwell("resume", "last")
    assert done.code in (0, 1)
    assert "Traceback" not in done.err
    assert run.state in ("done", "preempted")


def test_changed_data_is_refused_and_the_run_kept(
    fitwell, refused, files: Path, tmp_path: Path, runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = tmp_path / "table.csv"
    data.write_bytes((files / "table.csv").read_bytes())
    with monkeypatch.context() as patch:
        patch.setattr("fitwell.fitting.train", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        assert fitwell("train", data, "--epochs", 2, "--threads", 1, "--lr", 0.01).code == 130
    data.write_text(data.read_text().replace("yes", "no", 1))
    assert "is not what it was" in refused(1, "resume", "last")


def test_an_unknown_run_is_refused(refused) -> None:
    assert "no run 'nope'" in refused(1, "resume", "nope")


def test_a_watched_run_can_only_be_run_again(refused, watched_run) -> None:
    assert "run the script again" in refused(1, "resume", "last")
    assert not (watched_run.path / "report.html").exists()
