"""Becoming a program: what it finds around it, what is other, how it ends, and what its run tells of that."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from fitwell.experiment import Change
from fitwell.run import Run, list_runs
from fitwell.treating.reruns.rerun import Rerun
from fitwell.treating.reruns.run_here import become
from fitwell.treatment import Outcome

Ran = Callable[..., tuple[Outcome, str]]
SHOW = "import sys; print(sys.argv, __name__, sys.stdin.read() if '-i' in sys.argv else '')"
STEP = """
import random
import torch
layer = torch.nn.Linear(2, 1)
optimizer = torch.optim.SGD(layer.parameters(), lr=0.5)
before = layer.weight.detach().clone()
layer(torch.ones(4, 2)).sum().backward()
optimizer.step()
print([(layer.weight - before).abs().sum().item(), torch.rand(1).item(), random.random()])
"""


def test_arguments_and_modules_are_the_programs(ran: Ran, tmp_path: Path) -> None:
    assert ran(SHOW, arguments=("-m", "x"))[1] == "['train.py', '-m', 'x'] __main__ \n"
    _, text = ran(SHOW, name="train", is_module=True, arguments=("a",))
    assert text == f"['{tmp_path / 'train.py'}', 'a'] __main__ \n"


def test_a_change_and_a_seed_reach_the_live_training(ran: Ran) -> None:
    def numbers(**other: object) -> list[float]:
        return list(json.loads(ran(STEP, **other)[1]))

    usual, again, small = (
        numbers(seed=1),
        numbers(seed=1),
        numbers(changes=(Change("rate", {"factor": 0.1}),)),
    )
    assert usual == again
    assert usual[1:] != numbers(seed=2)[1:] != small[1:]
    assert small[0] == pytest.approx(usual[0] / 10, rel=1e-3)


def test_the_run_tells_what_it_was(ran: Ran, tmp_path: Path) -> None:
    change, path = Change("rate", {"factor": 0.1}), str(tmp_path / "train.py")
    text = "import sys; sys.exit('it is over')"
    done, said = ran("", seed=4, changes=(change,), sources={path: text})
    info = Run(done.run).info
    assert (info["parent"], info["seed"], info["state"]) == ("parent", 4, "failed")
    assert (info["changes"], info["edited"]) == ([change.plain()], [path])
    assert info["program"] == {"argv": ["train.py"], "module": False, "folder": str(tmp_path)}
    assert (done.failed, done.seed, said) == ("SystemExit: it is over", 4, "it is over\n")


def test_the_run_that_is_treated_has_nothing_changed(ran: Ran) -> None:
    done, _ = ran("", parent="")
    info = Run(done.run).info
    assert (info["parent"], info["seed"], info["state"]) == (None, 0, "done")
    assert not {"changes", "edited"} & set(info)


@pytest.mark.parametrize(
    ("source", "code", "said"),
    [
        ("print('end')", 0, "end\n"),
        ("import sys; sys.exit()", 0, ""),
        ("import sys; sys.exit(3)", 3, ""),
        ("import sys; sys.exit('no data')", 1, "no data\n"),
        ("import atexit; atexit.register(print, 'at the end'); 1 / 0", 1, "at the end\n"),
    ],
)
def test_a_fork_ends_as_the_program_would(what: Rerun, source: str, code: int, said: str) -> None:
    (Path(what.folder) / "train.py").write_text(source)
    pid = os.fork()
    if not pid:
        become(replace(what, parent=""))
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == code
    (run,) = list_runs(what.runs)
    text = (run.path / "stdout.log").read_text()
    assert text.endswith(said)
    assert ("ZeroDivisionError: division by zero" in text) == ("1 / 0" in source)
