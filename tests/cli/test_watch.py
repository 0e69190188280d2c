"""``fitwell watch``: the program does what it does alone, then comes a summary; mistakes are told before it begins."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from fitwell.cli import Launch, application
from fitwell.cli.watch import parse_share
from fitwell.errors import PlanError
from fitwell.run import list_runs

SCRIPT = """
import os, sys
sys.stdout.write("begun ")
assert not {"torch", "numpy", "matplotlib", "pandas"} & set(sys.modules), sys.modules
os.environ["OMP_NUM_THREADS"] = "1"
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(2, 1)

    def forward(self, x):
        return self.layer(x)


def main():
    kept = locals()
    torch.manual_seed(0)
    net = Net()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    for _ in range(30):
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(net(torch.randn(4, 2)), torch.randn(4, 1))
        loss.backward()
        optimizer.step()
    torch.save(net, "net.pt")
    again = torch.load("net.pt", weights_only=False)
    print(sys.argv, loss.item(), torch.rand(1), type(again) is Net, sorted(kept), torch.get_num_threads())
    net(torch.ones(3, 5))


if __name__ == "__main__":
    main()
"""


def ended(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], cwd=folder, capture_output=True, text=True, check=False,
        env=os.environ | {"FITWELL_RUNS": str(folder / "runs"), "NO_COLOR": "1"},
    )  # fmt: skip


def test_a_training_is_the_same_watched(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(SCRIPT)
    program = ("train.py", "--epochs", "3", "--json", "--budget=x", "-m")
    alone = ended(tmp_path, *program)
    weights = (tmp_path / "net.pt").read_bytes()
    watched = ended(tmp_path, "-m", "fitwell", "watch", "--json", "result.json", "--budget", "50%", *program)
    assert (watched.returncode, watched.stdout) == (alone.returncode, alone.stdout) == (1, alone.stdout)
    assert watched.stderr.startswith(alone.stderr + "train.py: 30 steps")
    assert (tmp_path / "net.pt").read_bytes() == weights
    (run,) = list_runs(tmp_path / "runs")
    result = json.loads((tmp_path / "result.json").read_text())
    assert result["state"] == "failed"
    assert result["failure"]["where"]["text"] == "return self.layer(x)"
    assert [operand["name"] for operand in result["failure"]["operands"]][:2] == ["self.layer", "x"]
    assert result["run"] == str(run.path)
    assert result["overhead"]["budget"] == 0.5


@pytest.mark.skipif(os.name != "posix", reason="a process ends by a signal")
def test_an_interrupt_ends_it_by_the_signal_although_a_summary_is_written(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text("print('begun')\nraise KeyboardInterrupt")
    alone, watched = (ended(tmp_path, *how, "train.py") for how in ((), ("-m", "fitwell", "watch")))
    assert (watched.returncode, watched.stdout) == (alone.returncode, alone.stdout) == (-2, "begun\n")
    assert watched.stderr.startswith(alone.stderr + "train.py: 0 steps")


@pytest.fixture
def launched(monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[object, ...]]:
    """The arguments that a command line gives to ``program_to_watch``."""

    def launch(*arguments: str) -> tuple[object, ...]:
        found: list[tuple[object, ...]] = []
        monkeypatch.setattr("fitwell.watched.program_to_watch", lambda *given: found.append(given))
        with pytest.raises(Launch):
            application("watch")(args=["watch", *arguments], prog_name="fitwell")
        return found[0]

    return launch


def test_what_follows_the_script_is_the_scripts(launched: Callable[..., tuple[object, ...]]) -> None:
    program, runs, budget, json_file = launched("--budget", "5%", "train.py", "--runs", "x", "--", "-m", "")
    assert (program.name, program.arguments, program.is_module) == (
        "train.py", ["--runs", "x", "--", "-m", ""], False,
    )  # fmt: skip
    assert (runs, budget, json_file) == (None, 0.05, None)
    program, runs, _, json_file = launched(
        "--runs", "a", "--json", "b", "-m", "package.module", "-h", "--json"
    )
    assert (program.name, program.arguments, program.is_module) == ("package.module", ["-h", "--json"], True)
    assert (runs, json_file) == (Path("a"), Path("b"))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("absent.py",), "can't open absent.py: there is no such file"),
        (("--budget", "much", "absent.py"), "the budget is 'much'"),
    ],
)
def test_a_mistake_is_told_before_anything_begins(
    refused: Callable[..., str], runs: Path, arguments: tuple[str, ...], said: str
) -> None:
    assert said in refused(2, "watch", *arguments)
    assert not runs.exists()


def test_a_folder_of_runs_that_cannot_be_written_is_told_first(
    refused: Callable[..., str], tmp_path: Path
) -> None:
    script = tmp_path / "train.py"
    script.write_text("raise AssertionError('it began')")
    assert "can't write" in refused(1, "watch", "--runs", script, script)


def test_without_a_script_it_is_a_mistake_of_usage(fitwell: Callable[..., object]) -> None:
    assert fitwell("watch").code == 2


@pytest.mark.parametrize(
    ("text", "share"), [("3%", 0.03), ("0.5%", 0.005), ("0.03", 0.03), ("100%", 1.0), ("1", 1.0)]
)
def test_a_share(text: str, share: float) -> None:
    assert parse_share(text) == pytest.approx(share)


@pytest.mark.parametrize("text", ["0", "0%", "-1%", "101%", "3", "nan", "inf", "", "%", "3 %%", "three"])
def test_what_is_no_share_is_refused(text: str) -> None:
    with pytest.raises(PlanError, match="the budget is"):
        parse_share(text)
