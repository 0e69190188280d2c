"""A worker trains as this process would; what it knows comes over, and nobody is left behind."""

from __future__ import annotations

import multiprocessing
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import pytest
import torch

from fitwell.data.contract import Data
from fitwell.errors import FitwellError, PlanError
from fitwell.tuning.populations import apart
from fitwell.tuning.populations.apart import Worker, possible
from fitwell.tuning.populations.members import Member
from fitwell.tuning.populations.packing import arrange
from fitwell.tuning.populations.team import Here

pytestmark = pytest.mark.skipif(not possible(), reason="this system does not fork what has torch in it")
Make = Callable[..., Member]
CHANGES: dict[str, list[dict[str, Any]]] = {
    "drawn": [{"dropout": 0.3, "mixup": 0.2, "augment": ("shift",), "seed": seed} for seed in (0, 1)],
    "ema and plateau": [
        {"ema": 0.9, "shape": "plateau", "plateau_patience": 1, "lr": lr} for lr in (0.05, 0.1)
    ],
    "widths and batch norm": [{"hidden": (width,), "norm": "batch"} for width in (8, 12)],
    "an optimizer of its own": [{"algorithm": "adadelta", "lr": lr} for lr in (0.5, 1.0)],
    "alone": [{"precision": "bf16", "dropout": 0.2}],
    "patience": [{"patience": 1, "lr": lr, "epochs": 9} for lr in (0.1, 0.01)],
}


@pytest.fixture
def worker() -> Iterator[Callable[[Sequence[Member]], Worker]]:
    """A worker, which is ended after the test."""
    begun: list[Worker] = []

    def worker(members: Sequence[Member]) -> Worker:
        begun.append(Worker(partial(Here, arrange(members, 8, 1)), members))
        return begun[-1]

    yield worker
    for one in begun:
        one.end()


def epochs(one: Worker, count: int) -> list[list[Any]]:
    rows = []
    for _ in range(count):
        one.begin_epoch()
        rows.append(one.end_epoch(lambda _text: None))
    return rows


@pytest.mark.parametrize("name", CHANGES)
def test_it_trains_as_this_process_does_to_the_last_bit(
    name: str, make: Make, digits: Data, worker: Any, tools: Any
) -> None:
    mine, theirs = ([make(digits, **changes) for changes in CHANGES[name]] for _ in range(2))
    here = Here(arrange(mine, 8, 1), lambda _text: None)
    for _round in range(2):  # the second goes on with what was brought
        one = worker(theirs)
        for rows in epochs(one, 2):
            expected = {id(member): row for member, row in zip(here.members, here.epoch(), strict=True)}
            assert rows == [expected[id(member)] for member in mine]
        one.bring()
    for own, other in zip(mine, theirs, strict=True):
        assert (own.scores, own.kept_row, own.failed) == (other.scores, other.kept_row, other.failed)
        assert torch.equal(own.stream.get_state(), other.stream.get_state())
        tools.same_job(own.job, other.job, 0.0)


def test_the_figures_come_at_once_and_the_weights_when_they_are_asked_for(
    make: Make, digits: Data, worker: Any
) -> None:
    member = make(digits)
    before = {name: values.clone() for name, values in member.job.model.state_dict().items()}
    one = worker([member])
    epochs(one, 1)
    assert (member.job.epoch, member.job.step, len(member.scores)) == (1, 10, 1)
    assert all(torch.equal(values, before[name]) for name, values in member.job.model.state_dict().items())
    one.bring()
    assert not all(
        torch.equal(values, before[name]) for name, values in member.job.model.state_dict().items()
    )


def test_who_diverges_has_failed_here_too(make: Make, digits: Data, worker: Any) -> None:
    members = [make(digits, lr=rate, algorithm="sgd", clip=None) for rate in (1e6, 0.01)]
    epochs(worker(members), 2)
    assert [bool(one.failed) for one in members] == [True, False]
    assert [one.finished for one in members] == [True, False]
    assert members[0].scores == []


def test_what_is_said_there_is_said_here_once(make: Make, digits: Data, worker: Any) -> None:
    one, said = worker([make(digits, precision="bf16")]), []
    for _ in range(2):
        one.begin_epoch()
        one.end_epoch(said.append)
    assert said == ["trained alone: bf16 is rounded differently in a stack"]


@pytest.mark.parametrize(
    "error", [ValueError("its own"), PlanError("bad", "good", "mend it"), OSError(5, "disk")]
)
def test_an_error_there_is_raised_here(
    error: Exception, make: Make, digits: Data, worker: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(_self: Here) -> None:
        raise error

    monkeypatch.setattr(Here, "epoch", failing)
    with pytest.raises(type(error), match=re.escape(str(error).split("\n")[0])) as raised:
        epochs(worker([make(digits)]), 1)
    assert any("in failing" in note for note in raised.value.__notes__), "the trace of the other process"


def test_an_error_that_can_not_be_sent_comes_as_its_trace(
    make: Make, digits: Data, worker: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    class LocalError(Exception):
        """Nobody else knows it."""

    def failing(_self: Here) -> None:
        raise LocalError("unknown elsewhere")

    monkeypatch.setattr(Here, "epoch", failing)
    with pytest.raises(RuntimeError, match="unknown elsewhere"):
        epochs(worker([make(digits)]), 1)


def test_one_that_is_killed_is_missed_and_how_to_go_on_is_told(make: Make, digits: Data, worker: Any) -> None:
    one = worker([make(digits), make(digits)])
    epochs(one, 1)
    os.kill(one.process.pid, signal.SIGKILL)
    with pytest.raises(
        FitwellError, match=r"trained 2 models was ended from outside \(exit code -9\)"
    ) as raised:
        epochs(one, 1)
    assert "fitwell resume" in raised.value.fix


def test_signals_that_all_processes_get_are_left_to_this_one(make: Make, digits: Data, worker: Any) -> None:
    one = worker([make(digits)])
    epochs(one, 1)
    for number in (signal.SIGINT, signal.SIGTERM):
        os.kill(one.process.pid, number)
    assert len(epochs(one, 2)) == 2


def test_it_has_one_core_and_leaves_what_is_here_alone(make: Make, digits: Data, worker: Any) -> None:
    torch.set_num_threads(2)
    stream = torch.get_rng_state()

    class Telling(Here):
        def epoch(self) -> list[Any]:
            return [{"threads": float(torch.get_num_threads()), "objective/train": 0.0} for _ in self.members]

    member = make(digits)
    one = Worker(partial(Telling, [[member]]), [member])
    assert epochs(one, 1)[0][0]["threads"] == 1.0
    one.end()
    assert torch.get_num_threads() == 2
    assert torch.equal(torch.get_rng_state(), stream)


def test_it_ends_at_once_even_in_an_epoch_and_leaves_no_open_file(
    make: Make, digits: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Here, "epoch", lambda _self: time.sleep(60))
    before, files = time.monotonic(), len(os.listdir("/proc/self/fd"))
    member = make(digits)
    one = Worker(partial(Here, [[member]]), [member])
    one.begin_epoch()
    one.end()
    assert time.monotonic() - before < 20
    assert multiprocessing.active_children() == []
    assert len(os.listdir("/proc/self/fd")) == files


def test_it_ends_with_this_process_even_if_nobody_ends_it() -> None:
    script = ORPHANED.replace("os.kill(os.getpid(), signal.SIGKILL)", "workers[0].begin_epoch()")
    told = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False
    )
    assert told.returncode == 0, told.stderr
    assert not any(map(_runs, map(int, told.stdout.split())))


ORPHANED = """
import os, signal, sys
from functools import partial
from fitwell.data import load
from fitwell.plan import DataPlan, Plan
from fitwell.training.defaults import decide
from fitwell.tuning.populations.apart import Worker
from fitwell.tuning.populations.members import member
from fitwell.tuning.populations.team import Here

data = load(DataPlan(source="iris"))
plan = decide(Plan(data="iris").change(hidden=(4,), lr=0.01, threads=1, device="cpu"), data)[0]
ones = [member(plan, data) for _ in range(2)]
workers = [Worker(partial(Here, [[one]]), [one]) for one in ones]
print(*(worker.process.pid for worker in workers), flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_when_the_other_side_is_killed_it_goes_too() -> None:
    told = subprocess.run([sys.executable, "-c", ORPHANED], capture_output=True, text=True, check=False)
    assert told.returncode == -signal.SIGKILL, told.stderr
    late = time.monotonic() + 20
    left = [int(pid) for pid in told.stdout.split()]
    while (left := [pid for pid in left if _runs(pid)]) and time.monotonic() < late:
        time.sleep(0.05)
    assert left == []


def _runs(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_it_is_refused_where_it_could_not_work(monkeypatch: pytest.MonkeyPatch) -> None:
    assert possible()
    with monkeypatch.context() as changed:
        changed.setattr(torch.cuda, "is_available", lambda: True)
        assert not possible()
    with monkeypatch.context() as changed:
        changed.setattr(apart.sys, "platform", "darwin")
        assert not possible()
    monkeypatch.setitem(multiprocessing.current_process()._config, "daemon", True)  # type: ignore[attr-defined]
    assert not possible()
