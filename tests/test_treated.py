"""treat(): a script or a run, from its fault to a proved cure."""

from __future__ import annotations

import importlib
import os
from pathlib import Path

import pytest

import fitwell
from fitwell.errors import PlanError, RunError
from fitwell.run import Run, create_run
from fitwell.treated import run_meant, watched_program, write_cure
from fitwell.treating.reruns.rerun import forked_rerun
from fitwell.treating.script import treat_script
from fitwell.watching.launch import Program

for slow in ("sklearn.datasets", "torch._dynamo", "fitwell.watching.watcher"):
    importlib.import_module(slow)  # here, once for all forks

SCRIPT = """
import csv, os
import torch
from torch import nn
from torch.nn import functional as F

torch.manual_seed(0)
x = torch.randn(600, 10)
y = (x[:, 0] * x[:, 1] + x[:, 2] > 0).long()
model = nn.Sequential(nn.Linear(10, 32), nn.ReLU(), nn.Linear(32, 2))
if os.path.exists("last.pt"):
    model.load_state_dict(torch.load("last.pt"))
optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
for epoch in range(6):
    model.train()
    for at in range(0, 400, 20):
        loss = F.cross_entropy(model(x[at : at + 20]), y[at : at + 20])
        loss.backward()
        optimizer.step()
    model.eval()
    with torch.no_grad():
        output = model(x[400:])
        held_out = F.cross_entropy(output, y[400:]).item()
        accuracy = (output.argmax(1) == y[400:]).float().mean().item()
    with open("log.csv", "a", newline="") as file:
        csv.writer(file).writerow([epoch, held_out, accuracy])
    torch.save(model.state_dict(), "last.pt")
print("accuracy", accuracy)
"""


def test_a_bug_is_found_mended_and_proved_and_the_folder_is_as_one_run_leaves_it(tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    script.write_text(SCRIPT)
    said: list[str] = []
    made = treat_script(
        Program("train.py", ()),
        folder=str(tmp_path),
        runs=tmp_path / "runs",
        start=forked_rerun,
        say=said.append,
    )
    assert made.answer == "confirmed", (made.because, said)
    assert made.cure is not None
    assert "zero_grad" in made.diff
    assert made.cure.how == "patch"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["last.pt", "log.csv", "runs", "train.py"]
    assert len((tmp_path / "log.csv").read_text().splitlines()) == 6
    assert script.read_text() == SCRIPT
    run = Run(made.run)
    assert write_cure(run) == [script]
    assert "zero_grad" in script.read_text()
    with pytest.raises(RunError, match="was changed since it was treated"):
        write_cure(run)
    with pytest.raises(RunError, match="was changed since run"):
        fitwell.treat(run)


def test_what_is_meant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run = create_run(None, "train.py", "runs")
    monkeypatch.setenv("FITWELL_RUNS", "runs")
    for what in (run.path, str(run.path), run.name, "last", "train"):
        found = run_meant(what)
        assert found is not None
        assert found.name == run.name
    Path("last").write_text("a file goes first")
    assert run_meant("last") is None
    with pytest.raises(PlanError, match=r"there is no file absent\.py, and no run"):
        fitwell.treat("absent.py")


@pytest.mark.parametrize(
    ("settings", "said"),
    [({"seeds": 1}, "seeds is 1"), ({"remedy": "lower-learning"}, "did you mean lower_learning_rate")],
)
def test_mistakes_are_told_before_anything_runs(
    tmp_path: Path, settings: dict[str, object], said: str
) -> None:
    script = tmp_path / "train.py"
    script.write_text("raise AssertionError('it began')")
    with pytest.raises(PlanError, match=said):
        fitwell.treat(script, runs=tmp_path / "runs", **settings)  # type: ignore[arg-type]
    assert not (tmp_path / "runs").exists()


def test_a_watched_run_is_run_again_as_it_was(tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    script.touch()
    os.utime(script, (0, 0))
    run = create_run(None, "train.py", tmp_path / "runs")
    told = {"argv": ["train.py", "--epochs", "3"], "module": False, "folder": str(tmp_path)}
    run.update(program=told)
    assert run.state == "preempted"  # its process is not there any more
    program, folder = watched_program(run)
    assert (program.name, list(program.arguments), folder) == ("train.py", ["--epochs", "3"], str(tmp_path))
    script.unlink()
    with pytest.raises(RunError, match="is not there any more"):
        watched_program(run)
    run.update(program={"argv": ["train.py"]})
    with pytest.raises(RunError, match="does not tell how it was started"):
        watched_program(run)
    with pytest.raises(RunError, match="gave no patch"):
        write_cure(run)
