"""tune() and resume_study(): killed or stopped at any moment, a study ends as it would have."""

from __future__ import annotations

import importlib
import multiprocessing
import os
import random
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from fitwell import tuned
from fitwell.cli import main
from fitwell.errors import DataError, PlanError, Preempted, RunError
from fitwell.plan import Plan
from fitwell.run import create_run
from fitwell.run.files import write_json
from fitwell.run.lock import locked
from fitwell.space import Space, loguniform
from fitwell.study import StudyRecord, TrialRecord
from fitwell.tuned import Quiet, Study, resume_study, tune
from fitwell.tuning import keeping, setting, verifying
from fitwell.tuning.engine import Engine

for slow in (
    "sklearn.datasets",
    "scipy.stats.qmc",
    "torch._dynamo",
    "fitwell.cli.tune",
    "fitwell.views.study",
):
    importlib.import_module(slow)  # here, once for all forks

PLAN = Plan(data="iris").change(
    model="mlp", hidden=(8,), lr=0.01, epochs=3, threads=1, dropout=0.1, device="cpu"
)
SPACE = {"lr": loguniform(0.003, 0.3), "hidden": [[8], [16]]}
FORKS = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork to kill a child that has torch loaded")
KILLS = int(os.environ.get("FITWELL_KILLS", "4"))


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few seeds, no pictures, and always the same size of a population."""
    monkeypatch.setattr(verifying, "SEEDS", 2)
    monkeypatch.setattr(tuned, "_draw", lambda _study: None)
    monkeypatch.setattr(setting, "best_size", lambda *_: (3, {1: 2e-4, 3: 1e-4}))
    monkeypatch.setattr(os, "fsync", lambda _handle: None)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """A study that nobody disturbed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(verifying, "SEEDS", 2)
        return tune(
            PLAN, SPACE, trials=6, method="random", halving=False, runs=tmp_path_factory.mktemp("runs")
        )


class Watching(Quiet):
    """Does something when so many trials have ended."""

    def __init__(self, after: int, act: Callable[[], object]) -> None:
        self.left, self.act = after, act
        self.seen: list[int] = []
        self.said: list[str] = []

    def say(self, text: str) -> None:
        self.said.append(text)

    def trial(self, told: TrialRecord, best: float | None = None) -> None:
        self.seen.append(told.number)
        if len(self.seen) == self.left:
            self.act()


def interrupting() -> Watching:
    return Watching(1, lambda: os.kill(os.getpid(), signal.SIGINT))


def same(one: StudyRecord, other: StudyRecord) -> None:
    """Both tried the same, and rank it in the same way."""
    assert [(each.number, each.values, each.stage) for each in one.trials] == [
        (each.number, each.values, each.stage) for each in other.trials
    ]
    for mine, theirs in zip(one.trials, other.trials, strict=True):
        assert theirs.state == mine.state
        assert theirs.score == pytest.approx(mine.score, abs=1e-6)
    assert [each.number for each in one.ranked()] == [each.number for each in other.ranked()]
    assert one.summary["best"] == other.summary["best"]


def ended(study: StudyRecord) -> dict[int, tuple[int, bytes]]:
    """run.json of each trial that has ended, and when it was written."""
    files = {each.number: each.path / "run.json" for each in study.trials if each.state != "running"}
    return {number: (file.stat().st_mtime_ns, file.read_bytes()) for number, file in files.items()}


TUNE = (
    "tune", "iris", "--model", "mlp", "--hidden", "8", "--lr", "0.01", "--patience", "none", "--threads", "1",
    "--device", "cpu", "--trials", "5", "--method", "random", "--no-halving",
)  # fmt: skip


def _program(arguments: list[str], folder: Path, seconds: float | None) -> None:
    """In a child: the command line, while a timer waits to kill the process at any moment."""
    if seconds is not None:
        timer = threading.Timer(seconds, lambda: os.kill(os.getpid(), signal.SIGKILL))
        timer.daemon = True
        timer.start()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with open(folder / "out", "a") as out, redirect_stdout(out), redirect_stderr(out):
        sys.argv = ["fitwell", *arguments]
        main()


def begun(folder: Path, *arguments: str, killed_after: float | None = None) -> BaseProcess:
    """`fitwell` with these arguments, in a process of its own."""
    folder.mkdir(exist_ok=True)
    (folder / "space.toml").write_text("lr = {low = 0.003, high = 0.3, log = true}\nhidden = [8, 16]\n")
    whole = [*arguments, "--runs", str(folder / "runs")]
    whole += ["--space", str(folder / "space.toml")] if arguments[0] == "tune" else []
    program = multiprocessing.get_context("fork").Process(target=_program, args=(whole, folder, killed_after))
    program.start()
    return program


@FORKS
def test_killed_at_random_moments_it_ends_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Save after each epoch, so that a kill finds checkpoints of every moment.
    monkeypatch.setattr(keeping, "SAVE_SECONDS", 0.0)
    monkeypatch.setattr(keeping, "SAVE_SHARE", 0)
    epochs, draw, start = ("--epochs", "8"), random.Random(KILLS), time.monotonic()
    whole = begun(tmp_path / "whole", *TUNE, *epochs)
    whole.join()
    assert whole.exitcode == 0, (tmp_path / "whole" / "out").read_text()
    seconds = time.monotonic() - start
    kept: dict[int, tuple[int, bytes]] = {}
    for kill in range(KILLS):
        begun_already = (tmp_path / "cut" / "runs").exists()
        arguments = ("resume", "last") if begun_already else (*TUNE, *epochs)
        program = begun(tmp_path / "cut", *arguments, killed_after=seconds * draw.uniform(0.3, 0.6))
        program.join()
        for path in (tmp_path / "cut" / "runs").glob("*-tune-*/study.json"):
            now = ended(StudyRecord(path.parent))
            assert kept.items() <= now.items(), f"what had ended before kill {kill} was touched"
            kept = now
    last = begun(tmp_path / "cut", "resume", "last")
    last.join()
    assert last.exitcode == 0, (tmp_path / "cut" / "out").read_text()
    record = StudyRecord(next((tmp_path / "cut" / "runs").iterdir()))
    assert kept.items() <= ended(record).items()
    same(StudyRecord(next((tmp_path / "whole" / "runs").iterdir())), record)
    assert "Traceback" not in (tmp_path / "cut" / "out").read_text()


@FORKS
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 75)])
def test_a_program_that_is_told_to_stop_says_how_it_goes_on(number: int, code: int, tmp_path: Path) -> None:
    program = begun(tmp_path, *TUNE, "--epochs", "100000")
    runs, late = tmp_path / "runs", time.monotonic() + 60
    while not list(runs.glob("*/trials/*/run.json")) and time.monotonic() < late:
        time.sleep(0.02)
    time.sleep(0.3)
    os.kill(program.pid or 0, number)
    program.join(60)
    said = (tmp_path / "out").read_text()
    assert program.exitcode == code, said
    record = StudyRecord(next(runs.iterdir()))
    assert f"fitwell resume {record.name}" in said
    assert "Traceback" not in said
    assert (record.state, record.info["state"]) == ("preempted", "preempted")
    assert record.info["spent"] > 0
    assert list(record.path.glob("trials/*/checkpoints/member-1/last/state.json"))


@pytest.mark.parametrize("after", [1, 3, 6])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopped_by_a_signal_it_goes_on_to_the_same_end(
    after: int, number: int, study: Study, tmp_path: Path
) -> None:
    before = signal.getsignal(signal.SIGTERM)
    stopping = Watching(after, lambda: os.kill(os.getpid(), number))
    with pytest.raises(Preempted) as stopped:
        tune(PLAN, SPACE, trials=6, method="random", halving=False, runs=tmp_path, observer=stopping)
    assert signal.getsignal(signal.SIGTERM) is before
    assert stopped.value.signal == number
    record = StudyRecord(next(tmp_path.iterdir()))
    assert stopped.value.fix == f"fitwell resume {record.name}"
    assert record.state == "preempted"
    kept = ended(record)
    assert len(kept) >= after
    again = Watching(0, lambda: None)
    done = resume_study(record.name, runs=tmp_path, observer=again)
    assert kept.items() <= ended(done).items()
    assert not set(again.seen) & set(kept)
    same(study, done)
    assert done.summary["verified"]["best"] == pytest.approx(study.summary["verified"]["best"], rel=1e-6)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_between_the_trainings_stops_it_too(
    number: int, study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        os.kill(os.getpid(), number)
        time.sleep(5)

    with monkeypatch.context() as patch:
        patch.setattr("fitwell.tuning.kinds.tune.ensemble", interrupted)
        with pytest.raises(Preempted) as stopped:
            tune(PLAN, SPACE, trials=6, method="random", halving=False, runs=tmp_path)
    assert stopped.value.signal == number
    same(study, resume_study("last", runs=tmp_path))


def test_a_failure_is_kept_and_can_be_resumed(
    study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("no more disk")

    with monkeypatch.context() as patch:
        patch.setattr("fitwell.tuning.kinds.tune.ensemble", broken)
        with pytest.raises(RuntimeError):
            tune(PLAN, SPACE, trials=6, method="random", halving=False, runs=tmp_path)
    record = StudyRecord(next(tmp_path.iterdir()))
    assert (record.state, record.info["error"]) == ("failed", "no more disk")
    same(study, resume_study(record.path))


def test_a_study_that_was_killed_before_its_data_was_known_goes_on(study: Study, tmp_path: Path) -> None:
    with pytest.raises(Preempted):
        tune(PLAN, SPACE, trials=6, method="random", halving=False, runs=tmp_path, observer=interrupting())
    record = StudyRecord(next(tmp_path.iterdir()))
    (record.path / "trials" / "half-made").mkdir()
    info = {name: value for name, value in record.info.items() if name != "fingerprint"}
    write_json(record.path / "run.json", info)
    same(study, resume_study(record.path))
    assert not (record.path / "trials" / "half-made").exists()


def test_a_study_that_is_done_is_left_as_it_is(study: Study) -> None:
    before = (study.path / "run.json").read_bytes()
    seen = Watching(0, lambda: None)
    assert resume_study(study.path, observer=seen).best == study.best
    assert (study.path / "run.json").read_bytes() == before
    assert seen.said == [f"study {study.name} is done already"]


def test_one_process_at_a_time(tmp_path: Path) -> None:
    with pytest.raises(Preempted):
        tune(
            PLAN,
            SPACE,
            trials=2,
            runs=tmp_path,
            observer=interrupting(),
        )
    record = StudyRecord(next(tmp_path.iterdir()))
    with locked(record.path), pytest.raises(RunError, match="another process"):
        resume_study(record.path)


def test_other_data_and_what_is_no_study_are_refused(tmp_path: Path) -> None:
    frame = pd.DataFrame(np.random.default_rng(0).normal(size=(90, 3)), columns=list("abc"))
    frame["y"] = np.where(frame["a"] > 0, "yes", "no")
    plan = PLAN.change(source=frame, target="y")
    with pytest.raises(Preempted):
        tune(
            plan,
            SPACE,
            trials=3,
            runs=tmp_path,
            observer=interrupting(),
        )
    with pytest.raises(DataError, match="not what it was"):
        resume_study("last", runs=tmp_path, data=frame.assign(a=frame["b"]))
    assert resume_study("last", runs=tmp_path, data=frame).state == "done"
    create_run(PLAN, "iris", tmp_path / "other")
    with pytest.raises(RunError, match="holds no study"):
        resume_study("last", runs=tmp_path / "other")


def test_off_the_main_thread_it_works_as_well(tmp_path: Path) -> None:
    found: list[Study] = []
    thread = threading.Thread(
        target=lambda: found.append(tune(PLAN, {"lr": [0.03]}, method="grid", runs=tmp_path))
    )
    thread.start()
    thread.join()
    assert found[0].state == "done"


@pytest.mark.parametrize(
    ("space", "said"),
    [
        ({"lr": [0.01, -1.0]}, "lr"),
        ({"dropout": loguniform(0.1, 7.0)}, "dropout"),
        ({"activation": ["relu", "nope"]}, "activation"),
        ({"nope": [1, 2]}, "nope"),
        ({"hidden": [[8], [0]]}, "hidden"),
        ({"validation": [0.1, 0.2]}, "validation can't be tuned"),
        ({"source": ["iris", "digits"]}, "source can't be tuned"),
        ({"device": ["cpu", "cuda"]}, "device can't be tuned"),
        ({"lr": 0.1}, "leaves nothing to try"),
        ({}, "a space without settings"),
    ],
)
def test_an_impossible_space_is_refused_before_anything_is_done(
    space: dict[str, Any], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tuned, "settle", lambda *_: pytest.fail("the data was read"))
    with pytest.raises(PlanError) as refused:
        tune(PLAN, space, runs=tmp_path / "runs")
    assert said in str(refused.value)
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"method": "nope"}, "there is no method 'nope'"),
        ({"trials": 0}, "trials is 0"),
        ({"seconds": 0.0}, "seconds is 0"),
        ({"seconds": float("nan")}, "seconds is nan"),
        ({"cv": 1}, "cv is 1"),
    ],
)
def test_an_impossible_request_is_refused(asked: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(PlanError, match=said):
        tune(PLAN, SPACE, runs=tmp_path / "runs", **asked)
    assert not (tmp_path / "runs").exists()


def test_what_was_asked_is_kept(study: Study) -> None:
    asked = {"trials": 6, "seconds": None, "cv": None, "halving": False, "method": "random"}
    assert study.document["request"] == asked
    assert study.space == Space.of(SPACE)
    assert (study.method, study.state) == ("random", "done")
    assert len(study.trials) == 1 + 6 + 2 * 2 + 2 * len(study.notes)


@pytest.mark.parametrize(
    ("space", "method", "kept"), [(SPACE, "auto", "bayes"), (None, "auto", "auto"), (None, "grid", "grid")]
)
def test_the_method_that_is_meant(space: Any, method: str, kept: str, tmp_path: Path) -> None:
    done = tune(PLAN, space, method=method, trials=2, runs=tmp_path)
    assert done.method == kept
    assert (done.space is None) == (kept == "auto")


def test_in_two_processes_it_is_the_same(study: Study, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr("fitwell.training.threads.available", lambda: 2)
    workers, run = set(), Engine.run

    def counting(self: Engine, *given: Any) -> None:
        workers.add(self.workers)
        run(self, *given)

    monkeypatch.setattr(Engine, "run", counting)
    same(study, tune(PLAN, SPACE, trials=6, method="random", halving=False, runs=tmp_path))
    assert workers == {2}


def test_the_ensemble_answers_as_a_run_does(tmp_path: Path) -> None:
    study = tune(
        PLAN.change(source="wine", epochs=10),
        {"seed": [1, 2, 3]},
        method="grid",
        halving=False,
        runs=tmp_path,
    )
    made = study.ensemble(3)
    assert 2 <= len(set(made.trials)) <= len(made.trials) <= 3
    said, chances = made.predict("wine"), made.predict_proba("wine")
    assert (said.shape, chances.shape) == ((178,), (178, 3))
    assert np.allclose(chances.sum(1), 1)
    assert (np.array(sorted(set(said)))[chances.argmax(1)] == said).all()


def test_the_time_counts_over_all_sittings(tmp_path: Path) -> None:
    stopping = Watching(2, lambda: os.kill(os.getpid(), signal.SIGINT))
    with pytest.raises(Preempted):
        tune(PLAN, SPACE, seconds=100.0, runs=tmp_path, observer=stopping)
    record = StudyRecord(next(tmp_path.iterdir()))
    record.update(spent=99.0)
    resume_study(record.path)
    assert record.info["spent"] < 110


def test_it_can_be_drawn(study: Study) -> None:
    assert study.figure().axes
    assert study.report().exists()
