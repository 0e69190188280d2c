"""Nothing that an arm does is seen outside of it."""

from __future__ import annotations

import csv
import logging
import os
import queue
import signal
import socket
import sqlite3
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch.utils.data import DataLoader, TensorDataset

from fitwell.treating.forks.arms import refusal

pytestmark = pytest.mark.skipif(refusal() is not None, reason=f"no forks here: {refusal()}")

NUMBERS = torch.zeros(3)


def _workers() -> None:
    next(iter(DataLoader(TensorDataset(NUMBERS), num_workers=1)))


ATTEMPTS: dict[str, tuple[Callable[[], Any], str]] = {
    "a file": (lambda: Path("best.txt").write_text("of the arm"), "it wrote to a file: best.txt"),
    "a file in low level": (
        lambda: os.open("best.pt", os.O_RDWR | os.O_TRUNC),
        "it wrote to a file: best.pt",
    ),
    "torch.save": (lambda: torch.save({}, "best.pt"), "it wrote to a file: best.pt"),
    "torch.save by name": (lambda: torch.save({}, f="best.pt"), "it wrote to a file: best.pt"),
    "safetensors": (lambda: save_file({"a": NUMBERS}, "best.pt"), "it wrote to a file: best.pt"),
    "numpy": (lambda: np.save("best.npy", np.zeros(3)), "it wrote to a file: best.npy"),
    "to remove": (lambda: os.remove("best.pt"), "it changed files: os.remove best.pt"),
    "a folder": (lambda: os.mkdir("folder"), "it changed files: os.mkdir folder"),
    "a process": (lambda: subprocess.run(["true"], check=True), "it started a process"),
    "a fork": (lambda: os.fork() or os._exit(0), "it started a process"),
    "a shell": (lambda: os.system("true"), "it started a process"),
    "workers": (_workers, "its batches come from other processes"),
    "the network": (lambda: socket.create_connection(("localhost", 9)), "it used the network"),
    "a signal": (lambda: os.kill(os.getppid(), signal.SIGKILL), "it sent a signal to a process"),
    "a database": (lambda: sqlite3.connect("best.pt"), "it opened a database"),
    "a thread that is not here": (lambda: queue.Queue().get(), "it waits for another thread"),
    "an event": (lambda: threading.Event().wait(), "it waits for another thread"),
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with a checkpoint in it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "best.pt").write_text("of the program")
    return tmp_path


def untouched(folder: Path) -> bool:
    """Whether the folder is as it was."""
    return [(p.name, p.read_text()) for p in folder.iterdir()] == [("best.pt", "of the program")]


@pytest.mark.parametrize("attempt", ATTEMPTS)
def test_an_arm_ends_before_it_is_seen(attempt: str, training: type[Any], folder: Path) -> None:
    act, reason = ATTEMPTS[attempt]
    found = training(in_arm=act).asked()
    assert found.control.stopped == reason
    assert untouched(folder)


def test_what_is_written_below_python_is_refused_by_the_kernel(training: type[Any], folder: Path) -> None:
    found = training(in_arm=lambda: torch._C.PyTorchFileWriter("best.pt")).asked()
    assert found.control.stopped is not None
    assert found.control.stopped.startswith("RuntimeError")
    assert untouched(folder)


def test_an_attempt_that_is_caught_ends_it_all_the_same(training: type[Any], folder: Path) -> None:
    def attempt() -> None:
        try:
            (folder / "best.pt").write_text("of the arm")
        except BaseException:
            return

    assert training(in_arm=attempt).asked().control.stopped == "it wrote to a file: best.pt"
    assert untouched(folder)


def test_a_block_that_ends_with_the_program_writes_nothing(training: type[Any], folder: Path) -> None:
    def fail() -> None:
        try:
            raise ValueError("no")
        finally:
            torch.save({}, "best.pt")

    assert training(in_arm=fail).asked().control.stopped == "it wrote to a file: best.pt"
    assert untouched(folder)


def test_logs_that_are_open_stay_the_programs(training: type[Any], folder: Path) -> None:
    logger = logging.getLogger("test_guard")
    handler = logging.FileHandler("log.txt")
    logger.addHandler(handler)
    with open("log.csv", "w", newline="") as file, open("other.csv", "w+", buffering=1) as other:
        rows = csv.writer(file)

        def log() -> None:
            rows.writerow([mine.losses[-1]])
            file.flush()
            logger.warning("a step")
            print("a step", flush=True)  # noqa: T201

        mine = training(each_step=log)
        rows.writerow(["loss"])  # still in the buffer when it forks
        other.write("kept\n")
        found = mine.asked()
    logger.removeHandler(handler)
    handler.close()
    assert found.control.stopped is None
    assert len(found.control.losses) == 6
    assert Path("log.csv").read_text().splitlines() == ["loss", *map(str, mine.losses)]
    assert Path("log.txt").read_text() == "a step\n" * 12
    assert Path("other.csv").read_text() == "kept\n"


def test_nothing_is_printed(training: type[Any], capfd: pytest.CaptureFixture[str]) -> None:
    print("before", end="")  # noqa: T201
    training(in_arm=lambda: print("from the arm", flush=True)).asked()  # noqa: T201
    print("after", flush=True)  # noqa: T201
    assert capfd.readouterr() == ("beforeafter\n", "")


def test_tensorboard_that_is_open_stays_the_programs(training: type[Any], folder: Path) -> None:
    tensorboard = pytest.importorskip("torch.utils.tensorboard")
    writer = tensorboard.SummaryWriter("events", max_queue=2)

    def log() -> None:
        writer.add_scalar("loss", mine.losses[-1], len(mine.losses))
        writer.flush()

    mine = training(each_step=log)
    found = mine.asked(steps=25, total=30)
    writer.close()
    assert found.control.stopped is None
    assert len(found.control.losses) == 25
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    events = accumulator.EventAccumulator("events").Reload().Scalars("loss")
    assert [event.value for event in events] == pytest.approx(mine.losses)


def test_a_file_that_is_read_can_be_read_on(training: type[Any], folder: Path) -> None:
    Path("data.txt").write_text("".join(f"{number}\n" for number in range(100_000)))
    with open("data.txt", "rb", buffering=0) as file:
        read: list[bytes] = []
        mine = training(each_step=lambda: read.append(os.read(file.fileno(), 8192)))
        found = mine.asked()
    assert found.control.stopped is None
    assert b"".join(read) == Path("data.txt").read_bytes()[: 12 * 8192]


def test_what_is_thrown_away_may_be_written(training: type[Any]) -> None:
    found = training(in_arm=lambda: open(os.devnull, "w").close()).asked()
    assert found.control.stopped is None


def test_memory_that_does_not_end(training: type[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fitwell.treating.forks.arms.available", lambda: 400e6)
    found = training(in_arm=lambda: torch.ones(100_000_000)).asked()
    assert found.control.stopped is not None
    assert "memory" in found.control.stopped
