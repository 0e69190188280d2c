"""``fitwell cv``: what is printed, and what is refused."""

import json

from fitwell.study import StudyRecord

QUICK = ("--epochs", "2", "--lr", "0.01", "--threads", "1")


def test_people_see_folds_and_means(fitwell, files):
    done = fitwell("cv", files / "table.csv", "--folds", 3, *QUICK)
    assert done.code == 0, done.err
    assert "cross-validation, 3 trials" in done.out
    assert "over 3 folds" in done.out
    assert "accuracy       best  settings" in done.out


def test_programs_get_one_object(fitwell, files):
    done = fitwell("cv", files / "numbers.csv", "--folds", 2, "--json", *QUICK)
    assert done.code == 0, done.err
    told = json.loads(done.out)
    assert told["study"]["kind"] == "cv"
    assert told["study"]["summary"]["metrics"]["r2"]["count"] == 2
    assert [trial["values"] for trial in told["trials"]] == [{"fold": 1}, {"fold": 2}]
    assert StudyRecord(told["run"]).state == "done"


def test_the_study_is_shown_and_listed(fitwell, files):
    fitwell("cv", files / "table.csv", "--folds", 2, *QUICK)
    assert "over 2 folds" in fitwell("show", "last").out
    assert "accuracy" in fitwell("runs").out
    assert fitwell("resume", "last").code == 0


def test_what_is_impossible_is_refused(fitwell, refused, files):
    assert "folds is 1" in refused(2, "cv", files / "table.csv", "--folds", 1)
    assert "without a target" in refused(2, "cv", files / "table.csv", "--model", "rbm")
    many = fitwell("cv", files / "table.csv", "--folds", 61, *QUICK)
    assert many.code == 1
    assert "60 samples for 61 folds" in many.err
