"""A forked child does its work and leaves no trace."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

import pytest
import torch

from fitwell.watching import fork

pytestmark = pytest.mark.skipif(fork.refusal() is not None, reason=f"no forks here: {fork.refusal()}")


def is_gone(child: fork.Child) -> bool:
    """Whether a process has ended and is no zombie."""
    try:
        os.kill(child._pid, 0)
    except ProcessLookupError:
        return True
    return False


def test_the_result_comes_up_the_pipe() -> None:
    x = torch.ones(3)
    child = fork.forked(lambda: {"sum": float(x.add_(1).sum())}, 20)
    assert child.result(wait=20) == {"sum": 6.0}
    assert child.done
    assert child.result() == {"sum": 6.0}
    assert x.tolist() == [1, 1, 1]
    assert is_gone(child)


def test_nobody_waits_for_it_unless_asked() -> None:
    child = fork.forked(lambda: time.sleep(1) or {"late": True}, 20)  # type: ignore[func-returns-value]
    begin = time.monotonic()
    assert child.result() is None
    assert time.monotonic() - begin < 0.5
    assert child.result(wait=20) == {"late": True}


def test_one_that_takes_too_long_is_ended() -> None:
    child = fork.forked(lambda: time.sleep(60) or {}, 0.3)  # type: ignore[func-returns-value]
    assert child.result(wait=20) is None
    assert child.done
    assert is_gone(child)


def test_what_goes_wrong_in_it_is_told(tmp_path: Path) -> None:
    def write() -> dict[str, object]:
        (tmp_path / "file").write_text("no")
        return {}

    for work, error in ((write, "PermissionError"), (lambda: {"x": 1 / 0}, "ZeroDivisionError")):
        result = fork.forked(work, 20).result(wait=20)
        assert result is not None
        assert error in result["error"]
    assert not list(tmp_path.iterdir())


def test_it_prints_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    fork.forked(lambda: {"written": os.write(1, b"hello")}, 20).result(wait=20)
    assert capfd.readouterr().out == ""


def test_no_random_number_is_used_up() -> None:
    before = torch.get_rng_state()
    child = fork.forked(lambda: {"x": float(torch.rand(()))}, 20)
    assert child.result(wait=20) == {"x": float(torch.rand(()))}
    assert not torch.equal(before, torch.get_rng_state())


def test_a_program_that_waits_for_its_children_is_left_alone() -> None:
    before = signal.signal(signal.SIGCHLD, lambda *_: None)
    try:
        assert fork.refusal() is not None
    finally:
        signal.signal(signal.SIGCHLD, before)
    found: list[str | None] = []
    thread = threading.Thread(target=lambda: found.append(fork.refusal()))
    thread.start()
    thread.join()
    assert found[0] is not None


def test_a_thread_that_waits_for_the_interpreter_does_not_stop_the_child() -> None:
    ended = threading.Event()

    def compute() -> None:
        while not ended.is_set():
            sum(range(100))

    others = [threading.Thread(target=compute) for _ in range(2)]
    for other in others:
        other.start()
    try:
        results = [fork.forked(lambda: {"done": 1}, 5.0).result(10.0) for _ in range(20)]
    finally:
        ended.set()
        for other in others:
            other.join()
    assert results == [{"done": 1}] * 20


def test_one_that_is_stopped_is_gone() -> None:
    child = fork.forked(lambda: time.sleep(60) or {}, 60)  # type: ignore[func-returns-value]
    assert not is_gone(child)
    child.stop()
    assert child.done
    assert is_gone(child)
