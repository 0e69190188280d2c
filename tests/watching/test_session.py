"""A session watches a program from its first step to its end, and what fails in it never reaches the program."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fitwell.discovery import members
from fitwell.errors import StorageError
from fitwell.run import Run, files, list_runs
from fitwell.run.events import EventLog
from fitwell.run.lock import is_locked
from fitwell.watching import session as sessions
from fitwell.watching.details import SIGNALS
from fitwell.watching.session import Session, watching
from fitwell.watching.signal import METHODS, Signal
from fitwell.watching.watcher import Watcher

FULL = StorageError("can't write: the disk is full", "a folder that can be written", "free some space")


def train(steps: int = 12) -> Tensor:
    """The weights of a small net after some steps."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    for _ in range(steps):
        optimizer.zero_grad()
        F.cross_entropy(net(torch.randn(8, 3)), torch.randint(2, (8,))).backward()
        optimizer.step()
    return torch.cat([parameter.detach().flatten() for parameter in net.parameters()])


@pytest.fixture(autouse=True)
def detached() -> Iterator[None]:
    """Nobody watches after a test."""
    yield
    assert Watcher.attached is None


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    session = Session("train.py", {"argv": ["train.py", "--fast"]}, tmp_path, budget=1.0)
    yield session
    session.stop()


def unseen(session: Session) -> dict[str, str]:
    return dict(session.run.facts["unseen"])


def test_a_session_leaves_a_run(session: Session) -> None:
    assert session.run.info["program"] == {"argv": ["train.py", "--fast"]}
    assert session.run.state == "running"
    session.start()
    weights = train()
    session.stop()
    assert torch.equal(train(), weights)
    run = Run(session.run.path)
    assert run.state == "done"
    assert not is_locked(run.path)
    assert (run.result["steps"], run.result["run"]) == (12, str(run.path))
    assert run.metrics.keys() == {"train/loss", "train/accuracy"}
    assert run.verdict == "too-short-to-tell"
    assert run.facts["unseen"] == {}
    stopped = run.info
    session.stop({"type": "ValueError", "message": "too late"})
    assert run.info == stopped


@pytest.mark.parametrize(
    ("failure", "state"),
    [("ValueError", "failed"), ("SystemExit", "failed"), ("KeyboardInterrupt", "preempted")],
)
def test_what_ended_the_program_is_kept(session: Session, failure: str, state: str) -> None:
    session.stop({"type": failure, "message": "so it was"})
    assert (session.run.state, session.run.info["error"]) == (state, f"{failure}: so it was")
    assert session.run.facts["failure"]["type"] == failure


def test_a_folder_that_cannot_be_written_is_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="file"):
        Session("train.py", {}, tmp_path / "file")


def test_the_program_may_go_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    session = Session("train.py", {}, "runs")
    (tmp_path / "data").mkdir()
    monkeypatch.chdir(tmp_path / "data")
    session.start()
    train(3)
    session.stop()
    (run,) = list_runs(tmp_path / "runs")
    assert (run.state, run.result["steps"]) == ("done", 3)
    assert list((tmp_path / "data").iterdir()) == []


class Broken:
    """A signal whose every method raises."""

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name not in (*METHODS, "facts"):
            raise AttributeError(name)

        def raising(*_: Any) -> None:
            raise ZeroDivisionError(name)

        return raising


def test_a_signal_that_fails_is_dropped(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = train()
    broken = Signal({"broken": ""}, "constant", Broken, ("train", "held-out"))
    monkeypatch.setitem(members(SIGNALS, "SIGNAL"), "broken", broken)
    session.start()
    assert torch.equal(train(), expected)
    session.stop()
    assert list(unseen(session)) == ["signal broken"]
    assert session.run.result["steps"] == 12
    assert "gradient/norm" in session.run.signals()


def test_a_hook_that_fails_is_told_of(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = train()
    session.start()
    assert session.watcher
    monkeypatch.setattr(session.watcher, "looked", lambda *_: 1 / 0)
    assert torch.equal(train(), expected)
    session.stop()
    assert "ZeroDivisionError" in unseen(session)["stepped"]
    assert session.run.state == "done"


def fail(*_: Any, **__: Any) -> None:
    raise FULL


@pytest.mark.parametrize("method", ["append", "flush"])
def test_a_log_that_cannot_be_written_is_told_of(
    session: Session, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    expected = train(300)
    monkeypatch.setattr(EventLog, method, fail)
    session.start()
    assert torch.equal(train(300), expected)
    session.stop()
    assert "the disk is full" in str(unseen(session))
    assert session.run.state == "done"


@pytest.mark.parametrize(
    ("full_for", "state"), [(["facts.json"], "done"), (["facts.json", "run.json"], "preempted")]
)
def test_a_full_disk_disturbs_nobody(
    session: Session, monkeypatch: pytest.MonkeyPatch, full_for: list[str], state: str
) -> None:
    expected = train()
    session.start()
    write = files.write_atomic

    def write_some(path: Path, content: bytes) -> None:
        (fail if path.name in full_for else write)(path, content)

    monkeypatch.setattr(files, "write_atomic", write_some)
    assert torch.equal(train(), expected)
    session.stop()
    assert session.run.state == state


def test_an_end_that_fails_is_told_of(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    session.start()
    detach = Watcher.detach

    def fails_late(*arguments: Any) -> None:
        detach(*arguments)
        fail()

    monkeypatch.setattr(Watcher, "detach", fails_late)
    train(3)
    session.stop()
    assert "the disk is full" in unseen(session)["the end"]
    assert (session.run.state, session.run.result["steps"]) == ("done", 3)


def test_a_result_that_cannot_be_computed_is_told_of(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "diagnose", lambda _: 1 / 0)
    session.stop()
    assert "ZeroDivisionError" in unseen(session)["the result"]
    assert (session.run.state, session.run.info.get("result")) == ("done", None)


def test_a_watcher_that_cannot_be_imported_is_told_of(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "fitwell.watching.watcher", None)
    session.start()
    assert train().isfinite().all()
    session.stop()
    assert "watching could not begin: ModuleNotFoundError" in unseen(session)["everything"]
    assert session.run.result["steps"] == 0


def test_a_watcher_that_cannot_begin_leaves_torch_as_it_was(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    codes = [function.__code__ for function in (F.cross_entropy, torch.autograd.backward)]
    monkeypatch.setattr(Watcher, "_look", lambda *_: 1 / 0)
    session.start()
    assert [function.__code__ for function in (F.cross_entropy, torch.autograd.backward)] == codes
    assert "ZeroDivisionError" in unseen(session)["everything"]


def test_of_two_sessions_the_second_says_why_it_sees_nothing(session: Session, tmp_path: Path) -> None:
    session.start()
    with watching("inner", runs=tmp_path) as inner:
        train(4)
    session.stop()
    assert session.run.result["steps"] == 4
    assert inner.result["steps"] == 0
    assert "being watched already" in inner.facts["unseen"]["everything"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are forked")
def test_a_forked_process_is_not_watched(session: Session) -> None:
    session.start()
    child = os.fork()
    if not child:
        code = 1
        try:
            train(3)
            session.start()
            session.stop({"type": "ValueError", "message": "in the child"})
            code = 0 if Watcher.attached is None else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    train(5)
    assert is_locked(session.run.path)
    session.stop()
    assert (session.run.result["steps"], session.run.state) == (5, "done")


def test_watching_yields_the_run_and_raises_what_is_raised(tmp_path: Path) -> None:
    error = KeyError("of the program")
    with pytest.raises(KeyError) as raised, watching("block", runs=tmp_path) as run:  # noqa: PT012
        train(2)
        raise error
    assert raised.value is error
    assert run.state == "failed"
    assert run.facts["failure"]["where"]["text"] == "raise error"
    with pytest.raises(SystemExit), watching("block", runs=tmp_path) as run:
        raise SystemExit(0)
    assert run.state == "done"


def test_a_block_is_called_by_its_script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for argv, name in (
        (["/home/ann/my train.py"], "my-train"),
        (["ipykernel_launcher"], "session"),
        ([], "session"),
    ):
        monkeypatch.setattr("sys.argv", argv)
        with watching(runs=tmp_path) as run:
            pass
        assert run.name.partition("-")[2].startswith(name)


def written(run: Run, *signals: dict[str, float | None]) -> None:
    """Events of a run, one an epoch."""
    lines = [
        json.dumps({"step": i, "epoch": float(i), "time": 0.0, "signals": each})
        for i, each in enumerate(signals, start=1)
    ]
    (run.path / "events.jsonl").write_text("\n".join(lines) + "\n")


def test_the_result_is_made_of_the_curves(session: Session) -> None:
    written(
        session.run,
        *(
            {"loss/train": 1 / i, "loss/val": 0.5 + abs(i - 5) / 9, "accuracy/val": i / 20}
            for i in range(1, 20)
        ),
        {
            "loss/train": 0.05,
            "loss/val": 2.5,
            "loss/batch": 9.0,
            "layer/a/loss/train": 8.0,
            "thread/b/loss/val": 7.0,
        },
    )
    session.stop()
    result = session.run.result
    assert result["metrics"] == {"train/loss": 0.05, "val/loss": 2.5}
    assert result["verdict"] == "overfitting"
    assert result["converged_at_epoch"] == 5


def test_an_accuracy_of_long_ago_is_not_that_of_the_end(session: Session) -> None:
    """As where the budget let only the first evaluations be looked at."""
    counted = {"accuracy/val": 0.9}
    written(session.run, *({"loss/train": 1.0} | (counted if i < 2 else {}) for i in range(9)))
    session.stop()
    assert session.run.metrics == {"train/loss": 1.0}


def test_an_accuracy_of_every_few_epochs_is_that_of_the_end(session: Session) -> None:
    counted = {"accuracy/val": 0.9}
    written(session.run, *({"loss/train": 1.0} | ({} if i % 4 else counted) for i in range(1, 12)))
    session.stop()
    assert session.run.metrics == {"train/loss": 1.0, "val/accuracy": 0.9}
