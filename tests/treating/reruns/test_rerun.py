"""rerun(): a program again, in a process of its own, which ends whatever it does."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from fitwell.errors import RunError, StorageError
from fitwell.experiment import Change
from fitwell.run import Run, create_run
from fitwell.treating.reruns.rerun import Rerun, outcome, rerun
from fitwell.treatment import Outcome

Ran = Callable[..., tuple[Outcome, str]]


def test_a_program_that_hangs_is_stopped_with_all_that_it_began(ran: Ran, tmp_path: Path) -> None:
    source = """
import os, subprocess, time
child = subprocess.Popen(["sleep", "100"])
open("pid", "w").write(str(child.pid))
while True:
    try:
        time.sleep(100)
    except KeyboardInterrupt:
        raise
"""
    began = time.monotonic()
    done, _ = ran(source, 1.0)
    assert time.monotonic() - began < 30
    assert (done.failed or "").startswith("it was stopped after")
    assert Run(done.run).state == "failed"
    sleeper = Path("/proc") / (tmp_path / "pid").read_text()
    assert not sleeper.exists() or "Z" in (sleeper / "stat").read_text().split()[2]


def test_a_program_that_kills_itself_has_failed(ran: Ran) -> None:
    done, _ = ran("import os; os.kill(os.getpid(), 9)")
    assert done.failed == "it was killed by SIGKILL"
    assert Run(done.run).state == "failed"
    done, _ = ran("import os; os._exit(0)")
    assert done.failed == "it ended without a result"


def test_an_own_process_does_the_same(what: Rerun, tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text("""
import os, signal, sys
print(sys.argv, sys.stdin.read(), "torch" in sys.modules)
print("e", file=sys.stderr)
os.kill(os.getpid(), signal.SIGINT)
""")
    done = rerun(replace(what, arguments=("a",)))
    text = (Path(done.run) / "stdout.log").read_text()
    assert text.startswith("['train.py', 'a']  False\ne\n")
    assert text.endswith("KeyboardInterrupt\n")
    assert done.failed == "it was interrupted"


def test_a_process_that_cannot_begin_says_why(what: Rerun, monkeypatch: pytest.MonkeyPatch) -> None:
    (Path(what.folder) / "train.py").touch()
    with pytest.raises(StorageError, match="can't write"):
        rerun(replace(what, runs=f"{what.folder}/train.py"))
    monkeypatch.setattr("sys.executable", "/bin/false")
    with pytest.raises(RunError, match="could not be run"):
        rerun(what)


def test_a_rerun_as_json() -> None:
    what = Rerun(
        "a.py", ("b",), False, "/f", "/r", "p", 3, (Change("rate", {"factor": 1.0}),), {"x": "y"}, "/k"
    )
    assert Rerun.from_plain(json.loads(json.dumps(what.plain()))) == what


def test_a_loss_that_is_not_finite_counts_whatever_it_follows_from(tmp_path: Path) -> None:
    run = create_run(None, "train.py", tmp_path)
    names = {"loss-not-finite": "advice", "loss-plateau": "advice", "learning-rate-too-high": "warning"}
    found = [{"name": name, "severity": severity} for name, severity in names.items()]
    run.update(state="done", result={"metrics": {}, "verdict": "", "findings": found})
    assert outcome(run, 0).findings == ("loss-not-finite", "learning-rate-too-high")


def test_the_only_held_out_part_has_one_name(tmp_path: Path) -> None:
    def metrics(**found: float) -> dict[str, float]:
        run = create_run(None, "train.py", tmp_path)
        run.update(state="done", result={"metrics": {n.replace("_", "/"): v for n, v in found.items()}})
        return dict(outcome(run, 0).metrics)

    assert metrics(test_accuracy=0.1, train_loss=2.0) == {"val/accuracy": 0.1, "train/loss": 2.0}
    assert metrics(test_loss=1.0, val_loss=2.0) == {"test/loss": 1.0, "val/loss": 2.0}
