"""A forked process gets its own of what it shares with its parent."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch

from fitwell.watching import fork
from fitwell.watching.isolated import shared_memory

pytestmark = pytest.mark.skipif(fork.refusal() is not None, reason=f"no forks here: {fork.refusal()}")


def in_child(work: Any) -> Any:
    """What some work returns in a child."""
    result = fork.forked(lambda: {"result": work()}, 20).result(wait=20)
    assert result is not None
    return result.get("result", result)


def test_a_file_is_read_on_from_a_place_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "data").write_bytes(bytes(range(100)))
    with open(tmp_path / "data", "rb", buffering=0) as file:
        assert file.read(10) == bytes(range(10))
        assert in_child(lambda: list(file.read(20))) == list(range(10, 30))
        assert file.read(5) == bytes(range(10, 15))


def test_what_is_written_to_open_files_and_pipes_is_thrown_away(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    with open(tmp_path / "log", "w+") as log:
        log.write("before\n")

        def work() -> bool:
            log.write("in the child\n")
            log.flush()
            os.write(writing, b"in the child")
            new = os.open(tmp_path / "log", os.O_RDONLY)
            return new in (reading, writing, log.fileno())

        assert in_child(work) is False, "no number is used again"
    os.close(writing)
    assert os.read(reading, 100) == b""
    os.close(reading)
    assert (tmp_path / "log").read_text() == "before\n"


def test_shared_memory_is_copied() -> None:
    shared = torch.arange(5000.0).share_memory_()
    assert shared_memory() >= 20_000
    assert in_child(lambda: [shared_memory(), float(shared.add_(1).sum())]) == [0, 5000 * 4999 / 2 + 5000]
    assert float(shared.sum()) == 5000 * 4999 / 2


def test_handlers_of_signals_are_not_called() -> None:
    before = signal.signal(signal.SIGUSR1, lambda *_: None)
    try:
        assert in_child(lambda: signal.getsignal(signal.SIGUSR1) == signal.SIG_DFL) is True
    finally:
        signal.signal(signal.SIGUSR1, before)
