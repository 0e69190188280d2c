"""treat_script(): what is screened, verified and recommended; by trainings whose results are made up here."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from fitwell.diagnosing import diagnose, rules
from fitwell.diagnosis import Example
from fitwell.experiment import Change
from fitwell.run import Run, create_run
from fitwell.run.files import read_json, write_json
from fitwell.treating.reruns.rerun import Rerun, outcome
from fitwell.treating.script import NOTHING_FOUND, NOTHING_TRAINED, treat_script
from fitwell.treatment import FILE, TRIALS, Outcome, Treatment
from fitwell.watching.launch import Program

BUG, CAUSE = "gradients-not-cleared", "learning-rate-too-high"
Train = Callable[
    [Rerun], tuple[float | None, str | None]
]  # its accuracy, None if it fails, and what is found


class Lab:
    """Trainings of which a function says how they end."""

    def __init__(self, folder: Path, train: Train) -> None:
        self.folder, self.train = folder, train
        self.started: list[Rerun] = []

    def start(self, what: Rerun, seconds: float | None) -> Outcome:
        self.started.append(what)
        accuracy, found = self.train(what)
        run = create_run(None, "train.py", what.runs, what.parent or None)
        self.record(run, rules()[found].fires[0] if found else Example(""))
        run.update(program={}, state="done")
        if accuracy is None:
            run.update(state="failed", error="ValueError: it broke")
        metrics = {} if accuracy is None else {"val/accuracy": accuracy}
        run.update(result={"metrics": metrics, "seconds": 0.01, **diagnose(run).result})
        return outcome(run, what.seed)

    def record(self, run: Run, example: Example) -> None:
        write_json(run.path / "facts.json", dict(example.facts))
        longest = max(map(len, example.signals.values()), default=0)
        events = [
            {"step": at + 1, "epoch": at + 1.0, "time": 0.0, "signals": {
                name: values[at] for name, values in example.signals.items() if at < len(values)
            }}
            for at in range(longest)
        ]  # fmt: skip
        (run.path / "events.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events))

    def treat(self, **settings: object) -> Treatment:
        script = self.folder / "train.py"
        script.write_text("optimizer.step()\n")
        program = Program("train.py", ())
        made = treat_script(
            program, folder=str(self.folder), runs=self.folder / "runs", start=self.start, say=self.said.append,
            **settings,  # type: ignore[arg-type]
        )  # fmt: skip
        assert Treatment.from_plain(read_json(Path(made.run) / FILE)) == made
        return made

    @property
    def said(self) -> list[str]:
        if not hasattr(self, "_said"):
            self._said: list[str] = []
        return self._said


@pytest.fixture
def lab(tmp_path: Path) -> Callable[[Train], Lab]:
    return lambda train: Lab(tmp_path, train)


def cleared(what: Rerun) -> bool:
    return Change("clear_gradients") in what.changes or bool(what.sources)


def noise(seed: int) -> float:
    return [0.0, 0.011, 0.004, 0.008, 0.002, 0.01, 0.006][seed]


def test_a_cure_is_screened_once_and_verified_on_fresh_seeds(lab: Callable[[Train], Lab]) -> None:
    made = lab(lambda w: (0.9 + noise(w.seed), None) if cleared(w) else (0.3, BUG))
    treatment = made.treat()
    assert treatment.answer == "confirmed"
    assert treatment.cure is not None
    assert treatment.cure.trial is not None
    assert (treatment.cure.finding, treatment.cure.screened) == (BUG, 0.9)
    assert (treatment.metric, treatment.control) == ("val/accuracy", 0.3)
    assert treatment.cure.trial.seeds == (1, 2, 3)
    assert [what.seed for what in made.started] == [0, 0, 1, 1, 2, 2, 3, 3]
    assert made.started[0].parent == ""
    assert {what.parent for what in made.started[1:]} == {Path(treatment.run).name}
    assert all(Path(run).parent == Path(treatment.run) / TRIALS for run in treatment.cure.trial.runs)
    assert any("screening 1 of" in text and "0.9 (was 0.3)" in text for text in made.said)
    assert not list((made.folder / "runs").glob(".kept*"))


def test_nothing_is_tried_without_a_finding(lab: Callable[[Train], Lab]) -> None:
    made = lab(lambda w: (0.9, None))
    treatment = made.treat()
    assert (treatment.answer, treatment.because, treatment.tried) == ("inconclusive", NOTHING_FOUND, ())
    assert len(made.started) == 1


@pytest.mark.parametrize(
    ("failure", "steps", "because"),
    [
        (None, 0, NOTHING_TRAINED),
        ("KeyError: 'size'", 0, "the program did not end well: KeyError: 'size'; no known remedy mends that"),
    ],
)
def test_why_nothing_is_tried(
    lab: Callable[[Train], Lab], failure: str | None, steps: int, because: str
) -> None:
    made = lab(lambda w: (0.9, None))

    def start(what: Rerun, seconds: float | None) -> Outcome:
        run = Run(Lab.start(made, what, seconds).run)
        run.update(
            result={**run.result, "steps": steps}, error=failure, state="failed" if failure else "done"
        )
        return outcome(run, what.seed)

    made.start = start  # type: ignore[method-assign]
    treatment = made.treat()
    assert (treatment.because, treatment.tried) == (because, ())


def test_without_a_figure_only_what_a_proved_bug_needs_is_tried(lab: Callable[[Train], Lab]) -> None:
    made = lab(lambda w: (0.9, None if cleared(w) else BUG))

    def start(what: Rerun, seconds: float | None) -> Outcome:
        return replace(Lab.start(made, what, seconds), metrics={})

    made.start = start  # type: ignore[method-assign]
    treatment = made.treat()
    assert treatment.answer == "inconclusive"
    assert treatment.because == f"there is no metric to compare by; but the bug is gone: {BUG}"
    assert treatment.cure is not None
    assert len(made.started) == 2 + 2 * 3


def test_what_does_not_help_is_said_so(lab: Callable[[Train], Lab]) -> None:
    treatment = lab(lambda w: (0.3, CAUSE)).treat()
    assert (treatment.answer, treatment.cure) == ("refuted", None)
    assert treatment.because == "nothing that was tried helps"
    assert all(each.trial is None for each in treatment.tried)
    assert treatment.tried


def test_luck_in_one_training_is_not_confirmed(lab: Callable[[Train], Lab]) -> None:
    made = lab(lambda w: (0.9 if w.seed == 0 and (w.changes or w.sources) else 0.5 + noise(w.seed), CAUSE))
    treatment = made.treat()
    assert (treatment.answer, treatment.cure) == ("refuted", None)
    assert sum(each.trial is not None for each in treatment.tried) == 3  # the most that are verified


def test_a_training_that_fails_is_mended_by_what_does_not(lab: Callable[[Train], Lab]) -> None:
    treatment = lab(lambda w: (0.6, None) if w.changes or w.sources else (None, CAUSE)).treat()
    assert treatment.answer == "confirmed"
    assert treatment.control is None
    assert treatment.metric == "val/accuracy"


def test_a_proved_bug_is_mended_although_nothing_is_gained(lab: Callable[[Train], Lab]) -> None:
    treatment = lab(lambda w: (0.9, None) if cleared(w) else (0.9, BUG)).treat()
    assert treatment.answer == "refuted"
    assert treatment.cure is not None
    assert f"the bug is gone: {BUG}" in treatment.because
    harmed = lab(lambda w: (0.5, None) if cleared(w) else (0.9, BUG)).treat()
    assert harmed.cure is None


def test_a_second_remedy_is_put_on_top_of_the_first(lab: Callable[[Train], Lab]) -> None:
    def train(what: Rerun) -> tuple[float | None, str | None]:
        slower = any(change.intervention == "rate" for change in what.changes)
        if not cleared(what):
            return 0.3, BUG
        return (0.95, None) if slower else (0.6 + noise(what.seed), CAUSE)

    treatment = lab(train).treat()
    assert treatment.cure is not None
    assert treatment.answer == "confirmed"
    assert treatment.cure.remedy == "clear_gradients + lower_learning_rate"
    assert treatment.cure.trial is not None
    assert treatment.cure.trial.control == (0.611, 0.604, 0.608)
    assert treatment.cure.finding == BUG


def test_a_remedy_that_only_uncovers_another_fault_is_followed(lab: Callable[[Train], Lab]) -> None:
    def train(what: Rerun) -> tuple[float | None, str | None]:
        slower = any(change.intervention == "rate" for change in what.changes)
        if not cleared(what):
            return 0.6, BUG
        return (0.9 + noise(what.seed), None) if slower else (0.4, CAUSE)

    treatment = lab(train).treat()
    assert treatment.answer == "confirmed"
    assert treatment.cure is not None
    assert treatment.cure.remedy == "clear_gradients + lower_learning_rate"
    assert treatment.cure.dose == {"clear_gradients": {}, "lower_learning_rate": {"factor": 0.1}}
    assert treatment.cure.finding == BUG
    assert treatment.cure.trial is not None
    assert treatment.cure.trial.control == (0.6, 0.6, 0.6)
    assert treatment.costs == "nothing; more steps until the same loss"


def test_what_there_was_no_time_for_is_said(lab: Callable[[Train], Lab]) -> None:
    treatment = lab(lambda w: (0.9, None) if cleared(w) else (0.3, BUG)).treat(seconds=0.005)
    assert treatment.answer == "inconclusive"
    assert treatment.because == f"there was no time to try anything for what was found: {BUG}"


def test_one_remedy_alone(lab: Callable[[Train], Lab]) -> None:
    treatment = lab(lambda w: (0.9, None) if w.changes else (0.3, CAUSE)).treat(remedy="lower_learning_rate")
    assert {each.remedy for each in treatment.tried} == {"lower_learning_rate"}
    none = lab(lambda w: (0.3, BUG)).treat(remedy="lower_learning_rate")
    assert "lower_learning_rate can't be applied to what was found" in none.because


def test_an_interrupt_leaves_nothing_but_the_runs(lab: Callable[[Train], Lab]) -> None:
    def train(what: Rerun) -> tuple[float | None, str | None]:
        if what.parent:
            raise KeyboardInterrupt
        return 0.3, BUG

    made = lab(train)
    with pytest.raises(KeyboardInterrupt):
        made.treat()
    (run,) = (made.folder / "runs").glob("[!.]*")
    assert not list((made.folder / "runs").glob(".kept*"))
    assert not (run / FILE).exists()
