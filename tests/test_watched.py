"""watch(): what it yields, what it writes to stderr, and that nothing of it reaches the program."""

from __future__ import annotations

import io
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import fitwell
from fitwell import watched
from fitwell.errors import PlanError, StorageError
from fitwell.run import Run, list_runs
from fitwell.watched import program_to_watch, show_summary
from fitwell.watching import launch as launching
from fitwell.watching.launch import Program


def step() -> None:
    weight = torch.ones(2, requires_grad=True)
    optimizer = torch.optim.SGD([weight], lr=0.1)
    torch.nn.functional.mse_loss(weight, torch.zeros(2)).backward()
    optimizer.step()


def test_a_block_is_watched_and_summed_up(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with fitwell.watch("block", runs=tmp_path, budget=0.5) as run:
        step()
    assert run.facts["overhead"]["budget"] == 0.5
    assert (run.path.parent, run.state, run.result["steps"]) == (tmp_path, "done", 1)
    output = capsys.readouterr()
    assert output.out == ""
    assert ": 1 step" in output.err


def test_a_block_that_fails_is_summed_up_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ZeroDivisionError), fitwell.watch("block", runs=tmp_path):
        _ = 1 / 0
    assert "ZeroDivisionError: division by zero" in capsys.readouterr().err


def test_a_folder_that_cannot_be_written_is_told_before_the_block(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError), fitwell.watch(runs=tmp_path / "file"):
        raise AssertionError("it began")


def test_a_run_that_was_removed_disturbs_nobody(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with fitwell.watch("block", runs=tmp_path) as run:
        shutil.rmtree(run.path)
    assert capsys.readouterr().err.startswith(f"fitwell: the summary of {run.path} failed: RunError")


class Closed(io.StringIO):
    """What refuses to be written."""

    def write(self, text: str) -> int:
        raise BrokenPipeError(text)


def test_a_summary_that_cannot_be_written_is_left_out(tmp_path: Path) -> None:
    with fitwell.watch(runs=tmp_path) as run:
        pass
    show_summary(run.path, None)
    show_summary(run.path, Closed())


Launched = tuple[Program, Any, Callable[[], None]]


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("RANK", raising=False)
    path = tmp_path / "train.py"
    path.write_text("")
    return path


@pytest.fixture
def launched(monkeypatch: pytest.MonkeyPatch) -> list[Launched]:
    """What would be launched."""
    found: list[Launched] = []
    monkeypatch.setattr(launching, "launch", lambda *arguments: found.append(arguments[:3]))
    return found


def test_the_result_is_written_and_the_summary_comes_last(
    script: Path, launched: list[Launched], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(script.parent)
    written: list[str] = []

    class Stream(io.StringIO):
        def flush(self) -> None:
            written.append("flushed")

        def write(self, text: str) -> int:
            written.append(text)
            return len(text)

    monkeypatch.setattr(sys, "stdout", Stream())
    monkeypatch.setattr(sys, "stderr", Stream())
    program_to_watch(Program(str(script), ["--fast"]), "runs", 0.1, Path("result.json"))()
    (program, session, end), *_ = launched
    assert program.arguments == ["--fast"]
    (script.parent / "elsewhere").mkdir()
    monkeypatch.chdir("elsewhere")  # as the program may
    monkeypatch.setattr(sys, "stderr", sys.stdout)
    monkeypatch.setattr(sys, "stdout", Closed())
    session.start()
    step()
    session.stop()
    written.clear()
    end()
    assert written[0] == "flushed"
    assert "".join(written).replace("flushed", "").startswith("train.py: 1 step")
    result = json.loads((script.parent / "result.json").read_text())
    (run,) = list_runs(script.parent / "runs")
    assert result.items() >= run.result.items()
    assert (result["state"], result["unseen"], result["overhead"]["budget"]) == ("done", {}, 0.1)
    assert run.info["program"]["argv"] == [str(script), "--fast"]


def test_a_result_that_cannot_be_written_is_told(
    script: Path, launched: list[Launched], capsys: pytest.CaptureFixture[str]
) -> None:
    program_to_watch(Program(str(script), []), script.parent, 0.1, script / "result.json")()
    ((_, session, end),) = launched
    session.stop()
    end()
    errors = capsys.readouterr().err
    assert "result.json" in errors
    assert "train.py: 0 steps" in errors


def test_a_summary_that_fails_does_not_reach_the_program(
    script: Path, launched: list[Launched], capsys: pytest.CaptureFixture[str]
) -> None:
    program_to_watch(Program(str(script), []), script.parent / "runs", 0.1, script.parent / "result.json")()
    ((_, session, end),) = launched
    session.stop()
    shutil.rmtree(session.run.path)
    end()
    assert capsys.readouterr().err.count("holds no run") == 2


@pytest.mark.parametrize(("rank", "watches"), [("1", False), ("7", False), ("0", True), ("", True)])
def test_of_several_ranks_the_first_is_watched(
    script: Path, launched: list[Launched], monkeypatch: pytest.MonkeyPatch, rank: str, watches: bool
) -> None:
    monkeypatch.setenv("RANK", rank)
    program_to_watch(Program(str(script), []), script.parent / "runs", 0.1, None)()
    ((_, session, _),) = launched
    assert (session is not None) == watches == (script.parent / "runs").exists()
    if session is not None:
        session.stop()


def test_a_program_that_is_not_there_leaves_no_run(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match=r"absent\.py"):
        program_to_watch(Program(str(tmp_path / "absent.py"), []), tmp_path / "runs", 0.1, None)
    assert not (tmp_path / "runs").exists()


def test_the_summary_is_of_the_run_as_it_is_by_then(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with fitwell.watch("block", runs=tmp_path) as run:
        pass
    capsys.readouterr()
    Run(run.path).update(result=run.result | {"steps": 41})
    watched.show_summary(run.path, sys.stderr)
    assert "41 steps" in capsys.readouterr().err
