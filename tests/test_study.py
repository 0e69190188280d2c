"""Studies: what is read of a folder is what was written, and the best is the best."""

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent / "views"))
from studies import PLAN, SPACE, add_trial, make_study, search

from fitwell.errors import DamagedError, RunError
from fitwell.run import Run, create_run, find_run, list_runs
from fitwell.run.files import write_json
from fitwell.space import Space
from fitwell.study import StudyRecord, create_study, is_study, studied

SCORES = st.one_of(st.none(), st.sampled_from([0.1, 0.5, 0.5, 0.9]), st.just(math.nan), st.just(math.inf))
TRIALS = st.lists(st.tuples(st.sampled_from(["done", "stopped", "failed", "running"]), SCORES), max_size=6)


def bare(study: StudyRecord, number: int, state: str, score: float | None) -> None:
    """A trial of one file."""
    path = study.path / "trials" / f"t{number}"
    path.mkdir()
    stopped = "after 4 epochs" if state == "stopped" else None
    info = {
        "state": "done" if state == "stopped" else state,
        "trial": {"number": number, "values": {}, "stage": "", "score": score, "stopped": stopped},
    }
    write_json(path / "run.json", info)


def test_importing_it_imports_nothing_heavy():
    code = (
        "import sys, fitwell.study\n"
        "print([m for m in ('torch', 'numpy', 'pandas', 'sklearn', 'fitwell.space') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_new_study_is_a_run_and_its_trials_are_not_listed(tmp_path):
    study = create_study(PLAN, "tune", "photos/Cats.csv", tmp_path, metric="val/r2", higher=True, space=SPACE)
    assert (study.kind, study.metric, study.higher, study.state) == ("tune", "val/r2", True, "preempted")
    assert study.name.endswith("-tune-cats")
    assert (study.plan, study.trials, study.best, study.default) == (PLAN, [], None, None)
    assert (study.stages, study.notes, study.summary) == ([], [], {})
    assert study.space == Space.from_dict(SPACE)
    add_trial(study, 1, score=0.5)
    assert [run.name for run in list_runs(tmp_path)] == [study.name]
    assert find_run("last", tmp_path).study == "tune"
    assert is_study(study.path)


def test_what_is_no_study_is_refused(tmp_path):
    run = create_run(PLAN, "digits", tmp_path)
    assert not is_study(run.path)
    assert run.study == ""
    assert studied(run) == {}
    with pytest.raises(RunError, match="holds no study"):
        StudyRecord(run.path)
    with pytest.raises(RunError, match="holds no run"):
        StudyRecord(tmp_path)


def test_writing_replaces_what_is_named_and_keeps_the_rest(tmp_path):
    study = make_study(tmp_path, notes=["a"])
    before = study.document
    study.write(summary={"best": 3}, stages=[{"name": "all"}])
    assert study.document == before | {"summary": {"best": 3}, "stages": [{"name": "all"}]}
    assert StudyRecord(study.path).summary == {"best": 3}
    assert not list(study.path.glob(".study*"))


@pytest.mark.parametrize("content", ["{", "[]", "{}"])
def test_a_damaged_document_is_told(tmp_path, content):
    study = make_study(tmp_path)
    (study.path / "study.json").write_text(content)
    with pytest.raises(DamagedError, match=r"study\.json"):
        study.kind  # noqa: B018 - reading it is the test
    assert studied(study) == {}


def test_trials_are_read_by_number_and_damaged_ones_are_left_out(tmp_path):
    study = make_study(tmp_path)
    for number in (10, 2, 1, 7, 8):
        path = add_trial(study, number, score=number / 100, values={"lr": number / 1000})
        if number == 7:
            (path / "run.json").write_text("[]")
        if number == 8:
            Run(path).update(trial={"values": {}})
    (study.path / "trials" / "note.txt").touch()
    (study.path / "trials" / "empty").mkdir()
    assert [trial.number for trial in study.trials] == [1, 2, 10]
    last = study.trials[-1]
    assert (last.values, last.score, last.stage, last.state) == ({"lr": 0.01}, 0.1, "all", "done")
    assert (last.epochs, last.seconds, last.parameters, last.verdict) == (30, 2.5, 4810, "just-right")
    assert last.plan.optimizer.lr == 0.01
    assert last.run.metrics == last.metrics
    assert last.run is last.run


def test_a_trial_that_went_on_is_read_again(tmp_path):
    study = make_study(tmp_path, trials=[{"state": "running"}, {"score": 0.5}])
    before = study.trials
    assert study.trials[1] is before[1]
    before[0].run.update(state="done", trial={"number": 1, "values": {}, "score": 0.7})
    assert [trial.score for trial in study.trials] == [0.7, 0.5]
    study.trials[0].run.update(trial={"number": 3, "values": {}, "score": 0.8})
    assert [(trial.number, trial.score) for trial in study.trials] == [(2, 0.5), (3, 0.8)]


@pytest.mark.parametrize(
    ("info", "state", "reason", "score"),
    [
        ({"state": "done"}, "done", "", 0.9),
        ({"state": "running"}, "running", "", None),
        ({"state": "preempted"}, "running", "", None),
        ({"state": "failed", "error": "nan\n  fix: less"}, "failed", "nan", None),
        ({"state": "failed", "result": {"findings": [{"name": "a", "says": "it rose"}]}}, "failed", "it rose", None),
        ({"state": "failed", "result": {"verdict_reason": "no"}}, "failed", "no", None),
        ({"state": "failed"}, "failed", "it is not known why", None),
    ],
)  # fmt: skip
def test_the_state_of_a_trial_and_why(tmp_path, info, state, reason, score):
    study = make_study(tmp_path)
    path = study.path / "trials" / "a"
    path.mkdir()
    write_json(path / "run.json", info | {"trial": {"number": 1, "values": {}, "score": 0.9}})
    (trial,) = study.trials
    assert (trial.state, trial.reason, trial.score) == (state, reason, score)


def test_a_trial_that_was_stopped_says_why_and_a_score_that_is_left_out_is_that_of_the_metric(tmp_path):
    study = make_study(tmp_path, trials=[{"state": "stopped", "score": 0.4, "reason": "others were better"}])
    assert (study.trials[0].state, study.trials[0].reason) == ("stopped", "others were better")
    run = study.trials[0].run
    run.update(trial={"number": 1}, result=run.result | {"metrics": {"val/accuracy": 0.77}})
    assert study.trials[0].score == 0.77


@settings(max_examples=30, deadline=None)
@given(TRIALS, st.booleans())
def test_the_best_is_the_best_of_those_that_are_done_or_else_that_were_stopped(
    tmp_path_factory, trials, higher
):
    study = make_study(tmp_path_factory.mktemp("runs"), higher=higher)
    for number, (state, score) in enumerate(trials, start=1):
        bare(study, number, state, score)

    def having(wanted):
        return [
            (score, number)
            for number, (state, score) in enumerate(trials, start=1)
            if state == wanted and score is not None and math.isfinite(score)
        ]

    done = having("done") or having("stopped")
    expected = sorted(done, key=lambda pair: (-pair[0] if higher else pair[0], pair[1]))
    assert [trial.number for trial in study.ranked()] == [number for _, number in expected]
    assert (study.best and study.best.number) == (expected[0][1] if expected else None)


def test_what_a_search_decided_for_is_its_best_if_it_is_done(tmp_path):
    trials = [{"score": 0.9}, {"score": 0.8}, {"score": 0.99, "state": "stopped"}]
    for kind, chosen, best in (("tune", 2, 2), ("tune", 3, 1), ("tune", 99, 1), ("capacity", 2, 1)):
        study = make_study(tmp_path, kind, trials, summary={"best": chosen})
        assert study.best is not None
        assert study.best.number == best


def test_the_default_is_the_one_named_or_the_first_that_changes_nothing(tmp_path):
    trials = [
        {"values": {"lr": 0.1}}, {"values": {"lr": 0.003, "hidden": 64}}, {"values": {}}, {"values": {"lr": 0.5}},
    ]  # fmt: skip
    study = make_study(tmp_path, trials=trials)
    assert study.default is not None
    assert study.default.number == 2
    study.write(summary={"default": 4})
    assert study.default.number == 4
    assert make_study(tmp_path, trials=trials[:1]).default is None


def test_the_frame_has_a_row_a_trial(tmp_path):
    trials = [
        {"values": {"lr": 0.1, "epochs": 5, "hidden": [128, 64]}, "score": 0.5, "metrics": {"test/loss": 0.3}},
        {"values": {"lr": 0.2}, "state": "failed"},
    ]  # fmt: skip
    frame = make_study(tmp_path, trials=trials).frame()
    fixed = ["number", "stage", "state", "score", "epochs", "seconds", "parameters", "verdict"]
    assert list(frame) == [
        *fixed, "lr", "hidden", "stopping.epochs", "test/loss", "val/accuracy", "val/loss",
    ]  # fmt: skip
    assert frame["lr"].tolist() == [0.1, 0.2]
    assert frame["hidden"].tolist()[0] == (128, 64)
    assert frame["score"].isna().tolist() == [False, True]
    assert frame["epochs"].isna().tolist() == [False, True]
    assert frame["test/loss"].tolist()[0] == 0.3
    assert str(frame["parameters"].dtype) == "Int64"
    assert frame.groupby("hidden").size().tolist() == [1]


def test_a_study_without_trials_has_an_empty_frame(tmp_path):
    frame = make_study(tmp_path).frame()
    assert len(frame) == 0
    assert "score" in frame


def test_settings_are_those_that_were_changed_in_the_order_of_the_space(tmp_path):
    study = make_study(tmp_path, trials=[{"values": {"batch_size": 8, "dropout": 0.1, "lr": 0.1}}])
    assert study.settings() == ["lr", "dropout", "batch_size"]
    assert make_study(tmp_path, "cv", space={}).space is None


def test_json_tells_of_the_best_and_of_every_trial(tmp_path):
    study = make_study(tmp_path, trials=search(10))
    told = studied(Run(study.path), everything=True)
    best = study.best
    assert best is not None
    assert (told["study"]["best"], told["study"]["score"]) == (best.number, best.score)
    assert told["study"]["space"] == SPACE
    assert [trial["number"] for trial in told["trials"]] == list(range(1, 11))
    assert json.loads(json.dumps(told))["trials"][0]["metrics"]["val/accuracy"] == 0.93
    assert studied(study) == {
        "study": {
            "kind": "tune",
            "metric": "val/accuracy",
            "trials": 10,
            "best": best.number,
            "score": best.score,
        }
    }
