"""A checkpoint brings everything back, bit for bit; it is whole or it is refused."""

from __future__ import annotations

import builtins
import contextlib
import copy
import errno
import functools
import json
import os
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from torch import Tensor

from fitwell.data.contract import Data
from fitwell.errors import DamagedError, StorageError
from fitwell.training import checkpoint
from fitwell.training.job import Job
from fitwell.training.loop import Silent, train

Make = Callable[..., Job]
HARD = {"dropout": 0.3, "ema": 0.9, "accumulate": 2, "batch_size": 16, "patience": 5}


class StopAt(Silent):
    """Ends the training after a step."""

    def __init__(self, step: int) -> None:
        self.at = step

    def step(self, job: Job) -> None:
        if job.step == self.at:
            raise KeyboardInterrupt


def until(job: Job, step: int) -> Job:
    with pytest.raises(KeyboardInterrupt):
        train(job, StopAt(step))
    return job


def contents(job: Job) -> dict[str, Any]:
    """Everything that a checkpoint must bring back."""
    return copy.deepcopy(
        {
            "progress": (job.epoch, job.position, job.step, job.best_score, job.best_epoch),
            "tally": job.tallied().clone(),
            "model": dict(job.model.state_dict()),
            "optimizer": job.optimizer.state_dict(),
            "schedule": job.schedule.state_dict(),
            "best": job.best_weights,
            "ema": (job.ema.updates, job.ema.average) if job.ema else None,
        }
    )


def equal(one: Any, other: Any) -> bool:
    if isinstance(one, Tensor):
        return isinstance(other, Tensor) and one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(equal(value, other[key]) for key, value in one.items())
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(equal, one, other))
    return bool(one == other)


@pytest.mark.parametrize(
    "name",
    [
        "adamw",
        "sgd",
        "rmsprop",
        "adagrad",
        "adadelta",
        "adamax",
        "nadam",
        "radam",
        "asgd",
        "rprop",
        "adafactor",
    ],
)
def test_a_training_goes_on_bit_for_bit(name: str, digits: Data, make: Make, tmp_path: Path) -> None:
    def new() -> Job:
        return make(digits, optimizer=name, schedule="plateau", **HARD)

    # 300 samples / 16 / 2: ten steps an epoch, so this is within the second
    job = until(new(), 14)
    checkpoint.save(job, tmp_path, events_size=123, seconds=4.5)
    before = contents(job)
    train(job, Silent())
    expected = contents(job)

    again = new()
    torch.manual_seed(99)
    state = checkpoint.load(again, tmp_path)
    assert state is not None
    assert (state.events_size, state.seconds, state.step, state.epoch, state.position) == (123, 4.5, 14, 1, 4)
    assert equal(contents(again), before)
    train(again, Silent())
    assert equal(contents(again), expected)


def test_a_folder_without_a_checkpoint_changes_nothing(digits: Data, make: Make, tmp_path: Path) -> None:
    job = make(digits)
    before = contents(job)
    assert checkpoint.load(job, tmp_path / "none") is None
    assert equal(contents(job), before)


def test_there_is_no_pickle(digits: Data, make: Make, tmp_path: Path) -> None:
    checkpoint.save(until(make(digits, **HARD), 14), tmp_path, 0, 0.0)
    files = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file())
    names = ("model.safetensors", "optimizer.safetensors", "state.json")
    assert files == sorted(f"{place}/{name}" for place in ("best", "last") for name in names)
    for file in files:
        if file.endswith(".json"):
            assert json.loads((tmp_path / file).read_text())["schema"] == 1
        else:
            with safe_open(tmp_path / file, "pt") as tensors:
                list(tensors.keys())


def test_best_is_written_once(digits: Data, make: Make, tmp_path: Path) -> None:
    job = until(make(digits, **HARD), 14)
    checkpoint.save(job, tmp_path, 0, 0.0)
    before = (tmp_path / "best" / "state.json").stat().st_mtime_ns
    checkpoint.save(job, tmp_path, 0, 0.0)
    assert (tmp_path / "best" / "state.json").stat().st_mtime_ns == before
    job.best_epoch += 1
    checkpoint.save(job, tmp_path, 0, 0.0)
    assert (tmp_path / "best" / "state.json").stat().st_mtime_ns > before


# --- damage


@pytest.fixture(scope="module")
def saved(digits: Data, make: Make, tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("checkpoints")
    checkpoint.save(until(make(digits, **HARD), 14), folder, 7, 1.5)
    return folder


FILES = [
    f"{place}/{name}"
    for place in ("last", "best")
    for name in ("model.safetensors", "optimizer.safetensors", "state.json")
]


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("how", ["flipped", "truncated"])
def test_damage_is_found_before_a_tensor_is_used(
    file: str, how: str, saved: Path, digits: Data, make: Make, tmp_path: Path
) -> None:
    folder = tmp_path / "checkpoints"
    shutil.copytree(saved, folder)
    content, draw = (saved / file).read_bytes(), random.Random(0)
    intact = make(digits, **HARD)
    checkpoint.load(intact, saved)
    expected, job, unnoticed = contents(intact), make(digits, **HARD), []
    fresh = contents(job)
    for position in {0, 8, len(content) - 1, *draw.sample(range(len(content)), min(60, len(content)))}:
        damaged = bytearray(content)
        damaged[position] ^= 1 << draw.randrange(8)
        (folder / file).write_bytes(damaged if how == "flipped" else content[:position])
        try:
            checkpoint.load(job, folder)
        except DamagedError as error:
            named = str(error)
            assert str((folder / file).parent) in named
            if file.startswith("last"):
                assert equal(contents(job), fresh)
            continue
        except Exception as error:  # what a user would see as a traceback
            unnoticed.append((position, repr(error)))
            job = make(digits, **HARD)
            continue
        if not equal(contents(job), expected):  # else a blank was changed into another
            unnoticed.append((position, content[max(0, position - 20) : position + 20]))
        job = make(digits, **HARD)
    assert unnoticed == []


@pytest.mark.parametrize("file", FILES)
def test_a_missing_file_is_an_error_that_names_it(
    file: str, saved: Path, digits: Data, make: Make, tmp_path: Path
) -> None:
    folder = tmp_path / "checkpoints"
    shutil.copytree(saved, folder)
    (folder / file).unlink()
    with pytest.raises(DamagedError, match=Path(file).name):
        checkpoint.load(make(digits, **HARD), folder)


# --- crashes


class Crash(BaseException):
    """The power is gone: nothing may be tidied up."""


CALLS = [(os, name) for name in ("rename", "replace", "fsync", "mkdir", "unlink", "rmdir")]
CALLS.append((builtins, "open"))


@contextlib.contextmanager
def crash_at(number: int, after: bool) -> Iterator[list[int]]:
    """Let the ``number``-th call to the file system crash: before it does anything, or right after."""
    count = [0]
    with pytest.MonkeyPatch.context() as patch:
        for owner, name in CALLS:

            def call(*args: Any, _real: Any, _name: str, **kwargs: Any) -> Any:
                count[0] += 1
                if count[0] == number and not after:
                    raise Crash
                try:
                    result = None if _name == "fsync" else _real(*args, **kwargs)
                except OSError:
                    if count[0] == number:
                        raise Crash from None
                    raise
                if count[0] == number and after:
                    if _name == "open":
                        result.close()
                    raise Crash
                return result

            patch.setattr(owner, name, functools.partial(call, _real=getattr(owner, name), _name=name))
        yield count


@pytest.fixture(scope="module")
def moments(digits: Data, make: Make) -> tuple[Job, Job]:
    """The same training at two moments, each with other best weights."""
    torch.set_num_threads(1)
    old, new = until(make(digits, **HARD), 11), until(make(digits, epochs=3, **HARD), 24)
    assert 0 < old.best_epoch < new.best_epoch
    return old, new


def check(folder: Path, job: Job, old: dict[str, Any], new: dict[str, Any]) -> bool:
    """The checkpoint loads and is the old or the new one, whole; whether it is the new one."""
    assert checkpoint.load(job, folder) is not None
    found = contents(job)
    best = found.pop("best")
    is_new = found["progress"] == new["progress"]
    expected = new if is_new else old
    assert equal(found, {key: value for key, value in expected.items() if key != "best"})
    # The newer best weights may be there before the newer rest: they are written first.
    assert equal(best, new["best"]) or (not is_new and equal(best, old["best"]))
    return is_new


@pytest.mark.parametrize("after", [False, True], ids=["before the call", "after the call"])
def test_a_crash_at_any_call_leaves_the_old_or_the_new(
    after: bool, moments: tuple[Job, Job], digits: Data, make: Make, tmp_path: Path
) -> None:
    old, new = moments
    was, becomes, job = contents(old), contents(new), make(digits, **HARD)
    checkpoint.save(old, tmp_path / "start", 0, 0.0)
    with crash_at(0, after) as count:
        shutil.copytree(tmp_path / "start", tmp_path / "whole")
        count[0] = 0
        checkpoint.save(new, tmp_path / "whole", 0, 0.0)
        calls = count[0]
    assert calls > 20
    seen = []
    for number in range(1, calls + 1):
        folder = tmp_path / f"crash{number}"
        shutil.copytree(tmp_path / "start", folder)
        with crash_at(number, after), pytest.raises(Crash):
            checkpoint.save(new, folder, 0, 0.0)
        seen.append(check(folder, job, was, becomes))
        # ... and what the crash left behind does not hinder the next save, not even one that crashes too
        with crash_at(number % 17 + 1, not after), contextlib.suppress(Crash):
            checkpoint.save(new, folder, 0, 0.0)
        check(folder, job, was, becomes)
        checkpoint.save(new, folder, 0, 0.0)
        assert check(folder, job, was, becomes)
        assert not list(folder.glob(".last*"))
    assert seen == sorted(seen)
    assert not seen[0]
    assert seen[-1]


@pytest.mark.parametrize("after", [False, True])
def test_a_crash_of_the_first_save_leaves_nothing_or_a_checkpoint(
    after: bool, moments: tuple[Job, Job], digits: Data, make: Make, tmp_path: Path
) -> None:
    old, _ = moments
    for number in range(1, 20):
        folder, job = tmp_path / str(number), make(digits, **HARD)
        fresh = contents(job)
        with crash_at(number, after), contextlib.suppress(Crash):
            checkpoint.save(old, folder, 0, 0.0)
        found = checkpoint.load(job, folder)
        assert equal(contents(job), contents(old) if found else fresh)


def test_a_full_disk_is_a_storage_error_and_the_former_checkpoint_stays(
    moments: tuple[Job, Job], digits: Data, make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = moments
    checkpoint.save(old, tmp_path, 0, 0.0)

    def full(_handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match="disk is full"):
        checkpoint.save(new, tmp_path, 0, 0.0)
    assert not check(tmp_path, make(digits, **HARD), contents(old), contents(new))
