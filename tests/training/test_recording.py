"""What is recorded is bounded: in events, and in the time that saving takes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fitwell.data.contract import Data
from fitwell.errors import Preempted
from fitwell.run import Run, create_run
from fitwell.run.events import read_events
from fitwell.training import checkpoint, recording
from fitwell.training.interrupts import Interrupts
from fitwell.training.job import Job
from fitwell.training.loop import train
from fitwell.training.observer import Quiet
from fitwell.training.recording import SAVE_SECONDS, TICK, RunRecorder

Make = Callable[..., Job]


class Clock:
    """Time that passes only when it is told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    time = monotonic


class Shown(Quiet):
    """Keeps what an observer is shown."""

    def __init__(self) -> None:
        self.steps: list[tuple[int, int, float]] = []
        self.rows: list[dict[str, Any]] = []

    def step(self, done: int, total: int, samples_per_second: float) -> None:
        self.steps.append((done, total, samples_per_second))

    def epoch(self, row: Any) -> None:
        self.rows.append(dict(row))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(recording, "time", clock)
    return clock


def recorder(job: Job, folder: Path, **changes: Any) -> RunRecorder:
    given = {"observer": Quiet(), "state": None} | changes
    return RunRecorder(create_run(job.plan, "test", folder), job, **given)


def events(run: Run) -> list[dict[str, Any]]:
    return list(read_events(run.events_path))


def test_a_training_is_recorded(digits: Data, make: Make, tmp_path: Path) -> None:
    job, shown = make(digits, batch_size=16, epochs=5), Shown()
    recorded = recorder(job, tmp_path, observer=shown)
    watcher = recorded.watcher(job)
    watcher.attach()
    train(job, recorded)
    watcher.detach()
    found = events(recorded.run)
    steps = [e for e in found if "loss/batch" in e["signals"]]
    epochs = [e for e in found if "loss/val" in e["signals"]]
    assert [e["step"] for e in steps[:5]] == [1, 2, 3, 4, 5]  # more than these only if the budget allows
    assert [e["epoch"] for e in steps[:5]] == pytest.approx([k / 19 for k in range(1, 6)], abs=1e-6)
    assert all({"loss/batch", "lr", "gradient/norm"} <= set(e["signals"]) for e in steps)
    assert [(e["step"], e["epoch"]) for e in epochs] == [(19 * k, float(k)) for k in range(1, 6)]
    names = {"loss/optimized", "lr", "loss/train", "accuracy/train", "loss/val", "accuracy/val", "throughput"}
    for event, row in zip(epochs, shown.rows, strict=True):
        assert set(event["signals"]) == names
        assert all(row[name] == event["signals"][name] for name in names - {"throughput"})
        assert row.keys() - names == {"epoch", "epochs", "seconds", "best"}
        assert (row["epoch"], row["epochs"]) == (event["epoch"], 5)
    best = [row["epoch"] for row in shown.rows if row["best"]]
    assert best[-1] == job.best_epoch
    assert [e["step"] for e in found] == sorted(e["step"] for e in found)


@pytest.mark.parametrize("cost", [0.0, 0.01, 1.0, 30.0])
def test_saving_takes_a_bounded_share_of_the_time(
    cost: float, digits: Data, make: Make, tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    job, saves = make(digits), []

    def save(*_args: Any) -> None:
        saves.append(clock.now)
        clock.now += cost

    monkeypatch.setattr(checkpoint, "save", save)
    recorded, start = recorder(job, tmp_path), clock.now
    while clock.now < start + 10_000:
        clock.now += 0.05
        job.step += 1
        recorded.step(job)
    assert saves
    assert (len(saves) - 1) * cost <= 0.02 * (clock.now - start)  # what one costs is known after the first
    gaps = [b - a for a, b in zip([start, *saves], saves, strict=False)]
    assert min(gaps) >= SAVE_SECONDS
    # and no rarer than that: what a crash loses is bounded too
    assert max(gaps) <= max(SAVE_SECONDS, 51 * cost) + 0.3


def test_the_observer_is_shown_ten_steps_a_second(
    digits: Data, make: Make, tmp_path: Path, clock: Clock
) -> None:
    job, shown = make(digits, batch_size=10), Shown()
    recorded = recorder(job, tmp_path, observer=shown)
    for _ in range(1000):
        clock.now += 0.002
        job.step += 1
        recorded.step(job)
    assert len(shown.steps) == pytest.approx(1000 * 0.002 / TICK, abs=2)
    for _, total, rate in shown.steps[1:]:
        assert total == job.schedule.steps == 60
        assert rate == pytest.approx(10 / 0.002)


def test_seconds_go_on_over_all_sittings(digits: Data, make: Make, tmp_path: Path, clock: Clock) -> None:
    job = make(digits)
    recorded = recorder(job, tmp_path)
    clock.now += 7.0
    recorded.save(job)
    clock.now += 100.0
    again = make(digits)
    state = checkpoint.load(again, recorded.run.path / "checkpoints")
    later = RunRecorder(recorded.run, again, Quiet(), state)
    clock.now += 2.0
    assert later.seconds == pytest.approx(9.0)


def test_events_after_the_checkpoint_are_recorded_anew(digits: Data, make: Make, tmp_path: Path) -> None:
    job = make(digits)
    recorded = recorder(job, tmp_path)
    recorded.log.append(1, 0.1, {"lr": 1.0})
    recorded.save(job)
    recorded.log.append(2, 0.2, {"lr": 2.0})
    recorded.log.flush()
    assert [e["step"] for e in events(recorded.run)] == [1, 2]
    again = make(digits)
    state = checkpoint.load(again, recorded.run.path / "checkpoints")
    RunRecorder(recorded.run, again, Quiet(), state)
    assert [e["step"] for e in events(recorded.run)] == [1]


@pytest.mark.parametrize("number", [2, 15])
def test_a_signal_saves_and_stops(number: int, digits: Data, make: Make, tmp_path: Path) -> None:
    job, interrupts = make(digits), Interrupts()
    recorded = recorder(job, tmp_path)
    recorded.interrupts = interrupts
    interrupts.received = number
    with pytest.raises(
        Preempted, match=f"signal {number}(.|\n)*fitwell resume {recorded.run.name}"
    ) as caught:
        train(job, recorded)
    assert caught.value.signal == number
    again = make(digits)
    state = checkpoint.load(again, recorded.run.path / "checkpoints")
    assert state is not None
    assert (again.step, again.position) == (1, 1)
