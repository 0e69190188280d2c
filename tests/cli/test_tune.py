"""``fitwell tune``, and what can be done with a study afterwards."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

from fitwell import tuned
from fitwell.study import StudyRecord
from fitwell.tuning import verifying

QUICK = ("--epochs", "2", "--hidden", "8", "--lr", "0.01", "--threads", "1", "--device", "cpu")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verifying, "SEEDS", 2)
    monkeypatch.setattr(tuned, "_draw", lambda _study: None)  # see tests/views


@pytest.fixture
def space(tmp_path: Path) -> Path:
    path = tmp_path / "space.toml"
    path.write_text("lr = {low = 0.003, high = 0.3, log = true}\nhidden = [8, 16]\n")
    return path


@pytest.fixture
def record(runs: Path):
    return lambda: StudyRecord(next(runs.iterdir()))


def test_people_see_trials_the_best_and_what_is_next(fitwell, files, space, record) -> None:
    done = fitwell("tune", files / "table.csv", "--space", space, "--trials", 3, "--method", "random", *QUICK)
    assert done.code == 0, done.err
    assert "trial   log_loss       best  settings" in done.out
    assert "the plan as it was" in done.out
    assert "search for settings" in done.out
    assert f"fitwell predict {record().name}" in done.out or f"fitwell predict {record().path}" in done.out
    assert "Traceback" not in done.err


def test_programs_get_one_object_and_people_the_progress(fitwell, files, space, record) -> None:
    done = fitwell(
        "tune", files / "table.csv", "--space", space, "--trials", 3, "--method", "random", "--json", *QUICK
    )
    told = json.loads(done.out)
    assert told["run"] == str(record().path)
    assert told["study"]["kind"] == "tune"
    assert told["study"]["best"] == record().best.number
    assert len(told["trials"]) == len(record().trials)
    assert "settings" in done.err


def test_the_options_are_what_is_asked(fitwell, files, space, record) -> None:
    done = fitwell(
        "tune", files / "table.csv", "--space", space, "--trials", 2, "--method", "grid", "--time", "1m", "--cv", 2,
        "--no-halving", *QUICK,
    )  # fmt: skip
    assert done.code == 0, done.err
    assert record().document["request"] == {
        "trials": 2, "seconds": 60.0, "cv": 2, "halving": False, "method": "grid"
    }  # fmt: skip
    assert record().space.to_dict()["hidden"] == {"options": [8, 16]}
    assert record().plan.stopping.epochs == 2


def test_a_study_predicts_is_shown_listed_and_reported(fitwell, files, space, record, tmp_path) -> None:
    fitwell("tune", files / "table.csv", "--space", space, "--trials", 2, "--method", "random", *QUICK)
    out = tmp_path / "said.csv"
    done = fitwell("predict", "last", files / "table.csv", "--out", out)
    assert done.code == 0, done.err
    assert done.out.startswith("60 predictions in")
    assert out.read_text().startswith("prediction,p(no),p(yes)\n")
    assert "search for settings" in fitwell("show", "last").out
    (listed,) = json.loads(fitwell("runs", "--json").out)
    assert (listed["run"], listed["study"]["kind"]) == (str(record().path), "tune")
    assert fitwell("report", "last").code == 0
    again = fitwell("resume", "last")
    assert (again.code, f"study {record().name} is done already" in again.out) == (0, True)
    assert "search for settings" in again.out
    told = json.loads(fitwell("resume", "last", "--json").out)
    assert told["study"]["best"] == record().best.number


def test_the_best_trials_predict_together(fitwell, files, space, record, refused, tmp_path) -> None:
    fitwell("tune", files / "table.csv", "--space", space, "--trials", 3, "--method", "random", *QUICK)
    study = record()
    members = [one.number for one in study.trials if (one.path / "model").is_dir()][:2]
    told = {"members": [members[0], members[1], members[1]], "metrics": {}, "gain": 0.1}
    study.write(summary=study.summary | {"ensemble": told})
    out = tmp_path / "together.csv"
    assert fitwell("predict", "last", files / "table.csv", "--ensemble", "--out", out).code == 0
    assert "NEW_DATA --ensemble --out" in fitwell("show", "last").out
    alone = []
    for number in members:
        path = next(one.path for one in study.trials if one.number == number)
        table = fitwell("predict", path, files / "table.csv").out
        alone.append(pd.read_csv(io.StringIO(table))["p(no)"])
    expected = (alone[0] + 2 * alone[1]) / 3
    assert pd.read_csv(out)["p(no)"].to_numpy() == pytest.approx(expected.to_numpy(), abs=1e-6)
    single = next(one.path for one in study.trials)
    assert "has one model, no ensemble" in refused(1, "predict", single, files / "table.csv", "--ensemble")
    shutil.rmtree(next(one.path for one in study.trials if one.number == members[1]))
    assert f"trial {members[1]} of study" in refused(1, "predict", "last", files / "table.csv", "--ensemble")
    study.write(summary=study.summary | {"ensemble": None})
    assert "has no ensemble" in refused(1, "predict", "last", files / "table.csv", "--ensemble")


def test_an_interrupted_study_is_resumed_by_its_name(
    fitwell, files, space, record, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    arguments = ("--space", space, "--trials", 3, "--method", "random", "--no-halving")
    with monkeypatch.context() as patch:
        patch.setattr("fitwell.tuning.kinds.tune.verify", interrupted)
        patch.setattr("fitwell.tuning.kinds.tune.ensemble", interrupted)
        stopped = fitwell("tune", files / "table.csv", *arguments, *QUICK)
    assert stopped.code == 130
    assert f"go on with: fitwell resume {record().name}" in stopped.err
    ended = [one.number for one in record().trials if one.state == "done"]
    done = fitwell("resume", record().name)
    assert done.code == 0, done.err
    assert record().state == "done"
    assert [one.number for one in record().trials][: len(ended)] == ended


def test_folds_leave_no_model_and_predict_says_what_to_do(fitwell, files, space, refused) -> None:
    fitwell(
        "tune", files / "table.csv", "--space", space, "--trials", 2, "--cv", 2, "--method", "grid", *QUICK
    )
    assert "keeps no model" in refused(1, "predict", "last", files / "table.csv")


def test_if_no_trial_ends_well_it_has_failed(fitwell, files, tmp_path: Path) -> None:
    (tmp_path / "bad.toml").write_text('algorithm = ["nope", "neither"]\n')
    done = fitwell(
        "tune", files / "table.csv", "--space", tmp_path / "bad.toml", "--method", "grid", *QUICK[:-6],
        "--hidden", 8, "--threads", 1, "--optimizer", "sgd", "--clip", "none", "--lr", 1e30,
    )  # fmt: skip
    assert done.code == 1
    assert "no trial ended well" in done.out
    assert "Traceback" not in done.err + done.out


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--method", "nope"), "there is no method 'nope'"),
        (("--trials", "0"), "trials is 0"),
        (("--trials", "-3"), "trials is -3"),
        (("--time", "abc"), "the time is 'abc'"),
        (("--time", "0s"), "the time is '0s'"),
        (("--cv", "1"), "cv is 1"),
        (("--space", "missing.toml"), "missing.toml can't be read"),
        (("--validation", "0"), "no validation part"),
        (("--model", "cnn"), "cnn can't learn from this data"),
    ],
)
def test_wrong_input_is_refused(options: tuple[str, ...], said: str, refused_early, files) -> None:
    assert said in refused_early("tune", files / "table.csv", *options)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("lr = ", "is not TOML"),
        ("nope = [1, 2]", "nope"),
        ("lr = {low = 0.1}", "a range without high"),
        ("lr = {low = 0.1, high = 0.01}", "a range from 0.1 to 0.01"),
        ("lr = {low = 0.1, heigh = 0.01}", "did you mean 'high'?"),
        ("dropout = [0.1, 7]", "dropout"),
        ("lr = 0.1", "leaves nothing to try"),
        ("test = [0.1, 0.2]", "test can't be tuned"),
        ("", "a space without settings"),
    ],
)
def test_a_wrong_space_is_refused(text: str, said: str, refused_early, files, tmp_path: Path) -> None:
    (tmp_path / "wrong.toml").write_text(text)
    assert said in refused_early("tune", files / "table.csv", "--space", tmp_path / "wrong.toml")


@pytest.fixture
def refused_early(fitwell, runs: Path):
    """Call a command that must end with code 2, in three lines, and leave nothing behind."""

    def refuse(*arguments: object) -> str:
        done = fitwell(*arguments)
        assert done.code == 2, done.out + done.err
        # What is being measured may be said before; then three lines.
        assert [line.split(":")[0] for line in done.err.splitlines()] == ["error", "expected", "fix"], (
            done.err
        )
        assert not runs.exists() or not list(runs.iterdir())
        return done.err

    return refuse


def test_a_number_that_is_none_is_a_usage_error(fitwell, files) -> None:
    done = fitwell("tune", files / "table.csv", "--trials", "many")
    assert done.code == 2
    assert "--trials" in done.err


def test_data_that_is_not_there_is_refused(refused) -> None:
    assert "nope.csv" in refused(1, "tune", "nope.csv")
