"""TensorBoard reads what is written: the values, at the steps and the times of the events."""

import math
import os
import sys
from pathlib import Path

import pytest

from fitwell.errors import FitwellError, StorageError
from fitwell.integrations.tensorboard import write_tensorboard
from fitwell.plan import Plan
from fitwell.run import Run, create_run
from fitwell.run.events import EventLog

accumulators = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")

RECORDED = [
    (10, {"loss/batch": 0.5, "layer/größe/update_ratio": 1e-3}),
    (20, {"loss/batch": math.inf}),
    (20, {"loss/val": 0.25}),
    (10**10, {"loss/batch": -3.0}),
]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    run = create_run(Plan(data="digits"), "digits", tmp_path)
    log = EventLog(run.events_path)
    for number, (step, signals) in enumerate(RECORDED):
        monkeypatch.setattr("fitwell.run.events.time.time", lambda now=1.7e9 + number / 8: now)
        log.append(step, 0.0, signals)
    log.flush()
    return run


def read(folder: Path) -> dict[str, list[tuple[float, int, float]]]:
    accumulator = accumulators.EventAccumulator(str(folder), size_guidance={accumulators.SCALARS: 0})
    accumulator.Reload()
    return {
        tag: [(it.wall_time, it.step, it.value) for it in accumulator.Scalars(tag)]
        for tag in accumulator.Tags()["scalars"]
    }


def test_tensorboard_reads_every_signal_with_its_time_and_step(run: Run) -> None:
    path = write_tensorboard(run)
    assert path.parent == run.path / "tensorboard"
    found = read(path.parent)
    assert sorted(found) == ["layer/größe/update_ratio", "loss/batch", "loss/val"]
    assert found["loss/val"] == [(1.7e9 + 0.25, 20, 0.25)]
    assert found["layer/größe/update_ratio"] == [(1.7e9, 10, pytest.approx(1e-3))]
    batch = found["loss/batch"]
    assert [it[:2] for it in batch] == [(1.7e9, 10), (1.7e9 + 0.125, 20), (1.7e9 + 0.375, 10**10)]
    assert (batch[0][2], batch[2][2]) == (0.5, -3.0)
    assert math.isnan(batch[1][2])


def test_writing_again_replaces_the_file_and_nothing_else(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "board"
    first = write_tensorboard(run, folder)
    (folder / "events.out.tfevents.other").write_bytes(b"")
    content = first.read_bytes()
    assert write_tensorboard(run, str(folder)) == first
    assert first.read_bytes() == content
    assert len(os.listdir(folder)) == 2
    assert len(read(folder)["loss/batch"]) == 3


def test_a_run_without_events_is_an_empty_file_that_opens(tmp_path: Path) -> None:
    path = write_tensorboard(create_run(Plan(data="digits"), "digits", tmp_path))
    assert read(path.parent) == {}


def test_without_the_package_it_is_told_how_to_get_it(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "tensorboard"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with pytest.raises(FitwellError, match=r"(?s)TensorBoard.*fix: pip install 'fitwell\[tensorboard\]'"):
        write_tensorboard(run)
    assert not (run.path / "tensorboard").exists()


def test_a_folder_that_can_not_be_written_is_named(run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="file"):
        write_tensorboard(run, tmp_path / "file")
