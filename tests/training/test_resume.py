"""A training that is killed and resumed ends exactly as the undisturbed one."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import signal
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch

import fitwell
from fitwell.errors import DamagedError, DataError, FitwellError, Preempted
from fitwell.plan import Plan
from fitwell.run import Run
from fitwell.run.events import read_events
from fitwell.training import recording

KILLS = int(os.environ.get("FITWELL_KILLS", "4"))

HARD = Plan(data="digits").change(
    lr=0.003, epochs=3, batch_size=16, accumulate=2, threads=1, ema=0.95, clip=1.0, patience=None
)  # fmt: skip
PLANS = {
    "mlp with dropout, mixup and augmentation": HARD.change(
        model="mlp", hidden=(32,), dropout=0.2, mixup=0.2, augment=("shift",)
    ),
    "cnn with batch norm, sgd and plateau": HARD.change(
        model="cnn", hidden=(4, 8), augment=("shift", "rotate"), optimizer="sgd", schedule="plateau", epochs=2
    ),
    "rbm": HARD.change(model="rbm", hidden=(16,), cd_steps=2, augment=()),
}


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Save at almost every step, so that a kill finds checkpoints of every moment."""
    monkeypatch.setattr(recording, "SAVE_SECONDS", 0.0)
    monkeypatch.setattr(recording, "SAVE_SHARE", 0)
    monkeypatch.setattr(recording, "TICK", 0.0)
    # Syncing would only make the test slow: the operating system survives, so nothing is lost.
    monkeypatch.setattr(os, "fsync", lambda _handle: None)


def outcome(run: Run) -> tuple[object, ...]:
    """All of a run's result that must not depend on interruptions."""
    events = [  # of epochs: which steps are looked at depends on the time that there is
        (e["step"], e["epoch"], {k: v for k, v in e["signals"].items() if k != "throughput"})
        for e in read_events(run.events_path)
        if "loss/optimized" in e["signals"]
    ]
    weights = json.loads((run.path / "model" / "model.json").read_text())["sha256"]
    last = json.loads((run.path / "checkpoints" / "last" / "state.json").read_text())
    kept = {k: last[k] for k in ("epoch", "step", "best_epoch", "best_score", "schedule", "sha256")}
    return weights, run.metrics, events, kept


def _train_until_killed(plan_json: str, folder: str, name: str | None, seconds: float) -> None:
    """In a child: train or resume, while a timer waits to kill the process at any moment."""
    timer = threading.Timer(seconds, lambda: os.kill(os.getpid(), signal.SIGKILL))
    timer.daemon = True
    timer.start()
    if name is None:
        fitwell.fit(Plan.from_json(plan_json), runs=folder)
    else:
        fitwell.resume(name, runs=folder)
    os._exit(0)


@pytest.mark.parametrize("name", PLANS)
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork to kill a child that has torch loaded")
def test_killed_at_random_moments_it_ends_the_same(name: str, tmp_path: Path) -> None:
    plan, draw = PLANS[name], random.Random(KILLS)
    start = time.monotonic()
    expected = outcome(fitwell.fit(plan, runs=tmp_path / "whole"))
    duration = time.monotonic() - start
    context = multiprocessing.get_context("fork")
    kills = 0
    while kills < KILLS:
        runs = tmp_path / f"killed{kills}"
        run: str | None = None
        for _ in range(100):
            seconds = draw.uniform(0.05, duration) if kills < KILLS else 1e9
            child = context.Process(
                target=_train_until_killed, args=(plan.to_json(), str(runs), run, seconds)
            )
            child.start()
            child.join()
            assert child.exitcode in (0, -signal.SIGKILL)
            kills += child.exitcode != 0
            found = fitwell.list_runs(runs)
            run = found[-1].name if found else None
            if child.exitcode == 0:
                break
        assert run is not None
        assert outcome(Run(runs / run)) == expected


class _StopsAt:
    """An observer that sends this process a signal in the middle of a training."""

    def __init__(self, step: int, number: int) -> None:
        self.at, self.number = step, number

    def say(self, text: str) -> None: ...
    def begin(self, info: object) -> None: ...
    def epoch(self, row: object) -> None: ...
    def end(self) -> None: ...

    def step(self, done: int, total: int, samples_per_second: float) -> None:
        if done == self.at:
            os.kill(os.getpid(), self.number)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_save_and_say_how_to_resume(number: int, tmp_path: Path) -> None:
    plan = PLANS["mlp with dropout, mixup and augmentation"]
    expected = outcome(fitwell.fit(plan, runs=tmp_path / "whole"))
    handlers = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    with pytest.raises(Preempted, match="fitwell resume") as caught:
        fitwell.fit(plan, runs=tmp_path, observer=_StopsAt(50, number))
    assert caught.value.signal == number
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == handlers
    stopped = fitwell.find_run("last", tmp_path)
    assert stopped.state == "preempted"
    resumed = fitwell.resume(stopped.path)
    assert resumed.state == "done"
    assert outcome(resumed) == expected


def _stopped(tmp_path: Path, plan: Plan) -> Run:
    with pytest.raises(Preempted):
        fitwell.fit(plan, runs=tmp_path, observer=_StopsAt(50, signal.SIGTERM))
    return fitwell.find_run("last", tmp_path)


@pytest.mark.parametrize("file", ["model.safetensors", "optimizer.safetensors"])
def test_a_changed_checkpoint_is_refused(file: str, tmp_path: Path) -> None:
    run = _stopped(tmp_path, PLANS["rbm"])
    path = run.path / "checkpoints" / "last" / file
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(DamagedError, match="SHA-256"):
        fitwell.resume(run.path)


def test_data_in_memory_is_given_again_and_must_be_the_same(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    x, y = draw.normal(size=(400, 5)), draw.integers(0, 2, 400)
    plan = Plan(data=(x, y)).change(epochs=10, batch_size=16, lr=0.01, threads=1)
    run = _stopped(tmp_path, plan)
    with pytest.raises(DataError, match="lived in memory"):
        fitwell.resume(run.path)
    with pytest.raises(DataError, match="not what it was"):
        fitwell.resume(run.path, data=(x + 1e-3 * draw.normal(size=x.shape), y))
    assert fitwell.resume(run.path, data=(x, y)).state == "done"


def test_resuming_a_finished_run_changes_nothing(tmp_path: Path) -> None:
    run = fitwell.fit(PLANS["rbm"].change(epochs=1), runs=tmp_path)
    before = {path: path.stat().st_mtime_ns for path in run.path.rglob("*")}
    fitwell.resume(run.path)
    assert {path: path.stat().st_mtime_ns for path in run.path.rglob("*")} == before


def test_fit_leaves_the_process_as_it_was(tmp_path: Path) -> None:
    torch.manual_seed(7)
    state, threads = torch.get_rng_state(), torch.get_num_threads()
    fitwell.fit(PLANS["rbm"].change(epochs=1), runs=tmp_path)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.get_num_threads() == threads


def test_a_full_disk_fails_the_run_and_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = PLANS["mlp with dropout, mixup and augmentation"]
    expected = outcome(fitwell.fit(plan, runs=tmp_path / "whole"))
    real, saves = recording.checkpoint.save, []

    def full(*args: object) -> None:
        saves.append(args)
        if len(saves) > 20:
            raise OSError(28, "No space left on device")
        real(*args)

    def save(job: object, folder: Path, *args: object) -> None:
        from fitwell.run.files import storage

        with storage(folder):
            full(job, folder, *args)

    monkeypatch.setattr(recording.checkpoint, "save", save)
    with pytest.raises(FitwellError, match="disk is full"):
        fitwell.fit(plan, runs=tmp_path)
    monkeypatch.setattr(recording.checkpoint, "save", real)
    failed = fitwell.find_run("last", tmp_path)
    assert failed.state == "failed"
    assert outcome(fitwell.resume(failed.path)) == expected
