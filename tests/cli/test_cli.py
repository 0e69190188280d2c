"""The command line as a whole: help, exit codes, and failures without a traceback."""

import errno
import io
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from fitwell import cli
from fitwell.cli import application
from fitwell.errors import FitwellError
from fitwell.run import list_runs
from fitwell.views.console import Progress

QUICK = ("--epochs", "2", "--threads", "1", "--lr", "0.01")
COMMANDS = (
    "capacity", "cv", "diagnose", "lr", "predict", "report", "resume", "rules", "runs", "samples", "show", "train",
    "treat", "tune", "watch",
)  # fmt: skip


def test_help_lists_every_command_with_a_whole_sentence(fitwell) -> None:
    done = fitwell("--help")
    assert done.code == 0
    lines = [line.split(maxsplit=1) for line in done.out.partition("Commands:")[2].splitlines() if line]
    assert [name for name, _ in lines] == sorted(COMMANDS)
    assert all(says.endswith(".") and not says.endswith("..") for _, says in lines)


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_has_a_page_of_help(fitwell, command: str) -> None:
    done = fitwell(command, "--help")
    assert done.code == 0
    assert "--json" in done.out


def test_help_imports_no_torch() -> None:
    program = (
        "import sys; from fitwell.cli import application\n"
        "try: application()(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'numpy', 'pandas', 'matplotlib', 'rich'}\n"
        "sys.exit(', '.join(sorted(heavy & set(sys.modules))) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_version_is_printed(fitwell) -> None:
    import fitwell as package

    assert fitwell("--version").out == package.__version__ + "\n"


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (("bogus",), "No such command 'bogus'"),
        (("train",), "Missing argument 'DATA'"),
        (("train", "digits", "--epoch", "3"), "--epochs"),
        (("predict", "last"), "Missing argument"),
        (("runs", "--json", "extra"), "extra"),
    ],
)
def test_wrong_usage_ends_with_2_and_names_what_is_wrong(fitwell, args, told: str) -> None:
    done = fitwell(*args)
    assert (done.code, done.out) == (2, "")
    assert told in done.err
    assert "--help" in done.err


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, cli.PREEMPTED), (signal.SIGINT, cli.INTERRUPTED)]
)
def test_a_signal_saves_the_training_and_says_how_to_go_on(
    fitwell, files: Path, runs: Path, monkeypatch: pytest.MonkeyPatch, number: int, code: int
) -> None:
    epoch = Progress.epoch

    def interrupted(self: Progress, row) -> None:
        epoch(self, row)
        os.kill(os.getpid(), number)

    with monkeypatch.context() as patch:
        patch.setattr(Progress, "epoch", interrupted)
        done = fitwell("train", files / "photos", "--model", "mlp", *QUICK)
    (run,) = list_runs(runs)
    assert (done.code, run.state) == (code, "preempted")
    assert f"go on with: fitwell resume {run.name}" in done.err
    assert "Traceback" not in done.err
    again = fitwell("resume", "last")
    assert (again.code, run.state) == (0, "done")
    assert [epoch for epoch, _ in run.curve("loss/val")] == [1, 2]


def ending_with(error: BaseException, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_args: object) -> None:
        raise error

    monkeypatch.setattr("fitwell.run.list_runs", fail)


def test_an_unforeseen_refusal_of_the_system_has_no_traceback(refused, monkeypatch) -> None:
    ending_with(PermissionError(errno.EACCES, "Permission denied", "secret.csv"), monkeypatch)
    assert "secret.csv" in refused(cli.FAILED, "runs")


def test_ctrl_c_ends_with_130_and_no_word(fitwell, monkeypatch: pytest.MonkeyPatch) -> None:
    ending_with(KeyboardInterrupt(), monkeypatch)
    done = fitwell("runs")
    assert (done.code, done.err) == (cli.INTERRUPTED, "")


def test_a_fault_of_the_program_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    ending_with(ZeroDivisionError("a bug"), monkeypatch)
    with pytest.raises(ZeroDivisionError):
        application()(["runs"])


def test_a_failure_ends_with_1_and_three_lines(refused, monkeypatch: pytest.MonkeyPatch) -> None:
    ending_with(FitwellError("it\nbroke", "a whole one", "mend it"), monkeypatch)
    assert refused(cli.FAILED, "runs") == "error: it broke\nexpected: a whole one\nfix: mend it\n"


class Closed(io.StringIO):
    """A pipe that nobody reads."""

    def flush(self) -> None:
        raise BrokenPipeError


def test_a_reader_that_goes_away_is_no_error(monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.setattr(sys, "stdout", Closed())
    with pytest.raises(SystemExit) as ended:
        application()(["runs"])
    assert ended.value.code == cli.FAILED
    assert capsys.readouterr().err == ""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_output_to_a_full_disk_is_told() -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "fitwell", "runs", "--json"],
            stdout=full, stderr=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip
    assert done.returncode == cli.FAILED
    assert done.stderr.startswith("error: [Errno 28] No space left on device\n")
    assert len(done.stderr.splitlines()) == 3
