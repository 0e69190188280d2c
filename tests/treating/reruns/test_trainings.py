"""The trainings of a treatment: each once, as long as there is time, compared only where the loss means the same."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from fitwell.errors import StorageError
from fitwell.experiment import Change
from fitwell.run import create_run
from fitwell.run.files import write_json
from fitwell.treating.reruns.changed import AS_IT_IS, Changed
from fitwell.treating.reruns.rerun import Rerun
from fitwell.treating.reruns.trainings import MARGIN, SLOWER, NoTime, Trainings
from fitwell.treatment import TRIALS, Outcome
from fitwell.watching.launch import Program

SLOW = Changed(changes=(Change("rate", {"factor": 0.1}),))
OTHER = Changed(sources={"/a.py": "x = 1"})
METRICS = {"val/loss": 1.0, "val/accuracy": 0.5}


@dataclass
class Lab:
    """Trainings that are made up; the loss of one with a change may be another function."""

    seconds: float = 1.0
    loss: Callable[[Rerun], str] = lambda _: "cross_entropy"
    failed: str | None = None
    started: list[Rerun] = field(default_factory=list)
    limits: list[float | None] = field(default_factory=list)

    def start(self, what: Rerun, seconds: float | None) -> Outcome:
        self.started.append(what)
        self.limits.append(seconds)
        run = create_run(None, "train.py", what.runs)
        places = [{"function": self.loss(what), "arguments": {}}]
        write_json(run.path / "facts.json", {"signals": {"loss_inputs": {"places": places}}})
        return Outcome(str(run.path), what.seed, METRICS, failed=self.failed, seconds=self.seconds)


@pytest.fixture
def lab() -> Lab:
    return Lab()


@pytest.fixture
def trainings(lab: Lab, tmp_path: Path) -> Iterator[Trainings]:
    """After the first run."""
    program = Program("train.py", ("--epochs", "3"))
    with Trainings(program, str(tmp_path), tmp_path / "runs", lab.start) as trainings:
        trainings.first()
        yield trainings


def test_each_is_run_once(trainings: Trainings, lab: Lab) -> None:
    asked = [(changed, seed) for changed in (AS_IT_IS, SLOW, OTHER) for seed in (0, 1)]
    outcomes = [trainings.outcome(changed, seed) for changed, seed in asked * 2]
    assert outcomes[:6] == outcomes[6:]
    assert len({outcome.run for outcome in outcomes}) == 6
    assert [(w.changes, w.sources, w.seed) for w in lab.started[1:]] == [
        (c.changes, c.sources, s) for c, s in asked
    ]


def test_they_are_recorded_below_the_run_that_is_treated(
    trainings: Trainings, lab: Lab, tmp_path: Path
) -> None:
    trainings.outcome(SLOW, 1)
    first, child = lab.started
    assert (first.parent, first.runs) == ("", str(tmp_path / "runs"))
    assert (child.parent, child.runs) == (trainings.run.name, str(trainings.run.path / TRIALS))
    assert all((w.arguments, w.folder) == (("--epochs", "3"), str(tmp_path)) for w in lab.started)
    assert Path(child.kept).is_relative_to(child.runs), "each puts its own files back"


def test_a_training_that_hangs_is_given_up(trainings: Trainings, lab: Lab) -> None:
    trainings.outcome(SLOW, 1)
    assert lab.limits == [None, SLOWER * lab.seconds + MARGIN]


def test_none_begins_that_would_not_end_in_time(trainings: Trainings, lab: Lab) -> None:
    trainings.until = time.monotonic() + 10
    lab.seconds = 20.0
    known = trainings.outcome(SLOW, 1)
    with pytest.raises(NoTime):
        trainings.outcome(SLOW, 2)
    assert len(lab.started) == 2
    assert trainings.outcome(SLOW, 1) is known, "what was trained is known without time"


def test_what_failed_as_the_time_was_over_tells_nothing(trainings: Trainings, lab: Lab) -> None:
    def late(what: Rerun) -> str:
        trainings.until = time.monotonic() - 1
        return "cross_entropy"

    lab.failed, lab.loss = "it was stopped after 9 s", late
    with pytest.raises(NoTime):
        trainings.outcome(SLOW, 1)


def test_losses_are_compared_only_if_they_are_the_same_function(trainings: Trainings, lab: Lab) -> None:
    assert trainings.outcome(SLOW, 0).metrics == METRICS
    lab.loss = lambda _: "mse_loss"
    assert trainings.outcome(OTHER, 0).metrics == {"val/accuracy": 0.5}


def test_a_run_that_was_made_before_is_taken_as_the_first(lab: Lab, tmp_path: Path) -> None:
    run = create_run(None, "train.py", tmp_path / "runs")
    before = Outcome(str(run.path), 0, METRICS, seconds=1e6)
    with Trainings(Program("train.py", ()), str(tmp_path), tmp_path / "runs", lab.start, 100.0) as trainings:
        trainings.begin_with(before)
        assert (trainings.first_outcome, trainings.run.name) == (before, run.name)
        with pytest.raises(NoTime):
            trainings.outcome(SLOW, 1)
    assert lab.started == []


def test_nothing_but_runs_is_left(lab: Lab, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    with Trainings(Program("a.py", ()), str(tmp_path), runs, lab.start) as made:
        made.first()
        made.outcome(SLOW, 1)
    assert [path.name for path in runs.iterdir()] == [made.run.name]


def test_a_folder_that_can_not_be_written_is_told(lab: Lab, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError):
        Trainings(Program("a.py", ()), str(tmp_path), tmp_path / "file", lab.start).__enter__()
