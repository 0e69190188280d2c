"""The sentences on a study say what its figures say."""

import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent))
from studies import SPACE, make_study, search, verified

from fitwell.views import study_texts as texts


@pytest.mark.parametrize(
    ("higher", "difference", "said"),
    [
        (True, (0.008, 0.002, 0.014), "better by 0.008 (95 % interval 0.002 to 0.014)"),
        (True, (-0.008, -0.014, -0.002), "worse by 0.008 (95 % interval 0.002 to 0.014)"),
        (False, (-0.008, -0.014, -0.002), "better by 0.008 (95 % interval 0.002 to 0.014)"),
        (False, (0.008, 0.002, 0.014), "worse by"),
        (True, (0.008, -0.002, 0.018), "not clearly better: the difference is 0.008 (95 % interval -0.002 to 0.018)"),
        (True, (0.008, None, None), "not clearly better: the difference is 0.008, of one pair"),
        (True, None, "not clearly better, for there are no pairs to compare"),
    ],
)  # fmt: skip
def test_how_sure_a_difference_is(tmp_path, higher, difference, said):
    ends = dict(zip(("mean", "low", "high"), difference, strict=True)) if difference else {}
    summary = {"verified": verified([0.98, 0.986], [0.97, None], **ends)}
    study = make_study(tmp_path, higher=higher, summary=summary)
    text = texts.sure_text(study)
    assert text.startswith("accuracy on 2 fresh seeds 0.983 ± 0.0042 against 0.97 (1 failed): ")
    assert said in text


def test_nothing_better_than_the_default_is_said(tmp_path):
    study = make_study(tmp_path, trials=[{"score": 0.9}, {"score": 0.8, "values": {"lr": 0.1}}])
    assert texts.sure_text(study) == "nothing that was tried is better than the plan as it was"
    study.write(higher=False)
    told = "the best was not tried on fresh seeds, for there was no time: "
    assert texts.sure_text(study) == f"{told}its score may be luck"
    study.write(summary={"gain_over_default": {"mean": -0.3, "low": -0.4, "high": -0.2, "count": 90}})
    assert (
        texts.sure_text(study)
        == f"{told}against the plan as it was this one model is worse by 0.3 (95 % interval of the gain -0.4 to -0.2)"
    )


def test_a_difference_is_judged_by_its_own_metric(tmp_path):
    more = verified([0.98, 0.986], [0.97, 0.972], mean=0.01, low=0.002, high=0.02)
    summary = {"verified": more | {"metric": "accuracy", "higher": True}}
    study = make_study(tmp_path, metric="val/log_loss", higher=False, summary=summary)
    assert texts.sure_text(study).startswith("accuracy on 2 fresh seeds")
    assert "better by 0.01" in texts.sure_text(study)


def test_an_ensemble_that_gains_nothing_is_no_better(tmp_path):
    ensemble = {"members": [1, 4], "metrics": {"val/accuracy": 0.9}, "gain": -0.01}
    study = make_study(tmp_path, summary={"ensemble": ensemble})
    assert texts.ensemble_text(study) == (
        "2 trials together (1, 4) have accuracy 90.00 % on validation data: no better than the best alone"
    )
    over = {"mean": 0.02, "low": 0.01, "high": 0.03, "count": 90}
    study.write(summary={"ensemble": ensemble | {"gain_over_default": over}})
    assert texts.ensemble_text(study).endswith(
        "; against the plan as it was better by 0.02 (95 % interval of the gain 0.01 to 0.03)"
    )
    study.write(summary={"ensemble": ensemble | {"gain_over_default": over | {"low": -0.01}}})
    assert texts.ensemble_text(study).endswith(
        "; against the plan as it was better by 0.02, which may be chance (95 % interval of the gain -0.01 to 0.03)"
    )
    study.write(summary={"ensemble": {"members": [1], "metrics": None, "gain": None}})
    assert texts.ensemble_text(study) == "1 trial together (1) have accuracy of no figure"
    study.write(summary={"ensemble": None})
    assert texts.ensemble_text(study) == ""


def failed(lr, epoch, **more):
    return {
        "values": {"lr": lr} | more,
        "state": "failed",
        "reason": f"the loss became nan in epoch {epoch}",
    }


def fine(lr, **more):
    return {"values": {"lr": lr} | more, "score": 0.9}


def test_failures_are_grouped_by_reason_with_the_settings_that_tell_them_apart(tmp_path):
    good = [fine(lr, dropout=dropout) for lr, dropout in ((0.001, 0.1), (0.01, 0.3), (0.1, 0.2))]
    bad = [
        failed(lr, 1 + (lr > 1), dropout=dropout) for lr, dropout in ((0.5, 0.05), (0.9, 0.4), (2.1, 0.25))
    ]
    odd = {"values": {"lr": 0.01, "dropout": 0.2}, "state": "failed", "reason": "no memory"}
    study = make_study(tmp_path, trials=[*good, *bad, odd])
    assert texts.failures(study) == [
        "3 failed: the loss became nan in epoch 1 to 2 (lr 0.5 to 2.1)",
        "1 failed: no memory",
    ]


def test_a_setting_that_failed_and_good_trials_share_tells_nothing(tmp_path):
    same = {"algorithm": "adam"}
    trials = [fine(0.1, **same), fine(0.3, **same), failed(0.2, 1, **same)]
    assert texts.failures(make_study(tmp_path, trials=trials)) == ["1 failed: the loss became nan in epoch 1"]
    trials[2] = failed(0.2, 1, algorithm="sgd")
    assert texts.failures(make_study(tmp_path, trials=trials)) == [
        "1 failed: the loss became nan in epoch 1 (algorithm sgd)"
    ]


def test_if_all_failed_where_they_lay_is_told(tmp_path):
    study = make_study(tmp_path, trials=[failed(0.5, 1), failed(2.1, 1)])
    assert texts.failures(study) == ["2 failed: the loss became nan in epoch 1 (lr 0.5 to 2.1)"]
    assert texts.state_text(study) == "none of 2 trials came to an end with a score"


def test_trials_that_were_stopped_are_counted_apart(tmp_path):
    reasons = [
        "after 4 of 30 epochs: 12 of 16 others were better",
        "after 8 of 30 epochs: 13 of 16 others were better",
    ]
    study = make_study(
        tmp_path, trials=[{"state": "stopped", "score": 0.1, "reason": reason} for reason in reasons]
    )
    assert texts.failures(study) == [
        "2 stopped: after 4 to 8 of 30 epochs: 12 to 13 of 16 others were better"
    ]


@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=5), st.text("abc #.\0", max_size=8))
def test_merged_reasons_keep_their_words_and_name_the_extremes(numbers, word):
    merged = texts._merged([f"{word} epoch {number} of" for number in numbers])
    low, high = texts.number(min(numbers), 3), texts.number(max(numbers), 3)
    assert merged == f"{word} epoch {low if low == high else f'{low} to {high}'} of"


def test_settings_that_do_not_vary_and_those_whose_condition_fails_are_left_out(tmp_path):
    space = SPACE | {
        "algorithm": {"options": ["sgd", "adamw"]},
        "momentum": {"low": 0.0, "high": 0.99, "when": {"algorithm": ["sgd"]}},
    }
    trials = [
        {"values": {"algorithm": "sgd", "momentum": 0.5, "dropout": 0.2}, "score": 0.9},
        {"values": {"algorithm": "adamw", "dropout": 0.2}, "score": 0.8},
        {"values": {"dropout": 0.2}, "score": 0.7},
    ]
    study = make_study(tmp_path, trials=trials, space=space)
    head, rows = texts.trials_table(study, study.trials)
    assert head == ["trial", "", "algorithm", "momentum", "accuracy, validation", "epochs", "verdict"]
    assert [row[2:4] for row in rows] == [["sgd", "0.5"], ["adamw", "-"], ["adamw", "-"]]


def test_the_trials_to_look_at_are_the_best_and_the_default_once(tmp_path):
    study = make_study(tmp_path, trials=search())
    ranked = [trial.number for trial in study.ranked()]
    assert [trial.number for trial in texts.best_trials(study, 3)] == [*ranked[:3], 1]
    study.write(summary={"best": ranked[2], "default": ranked[0]})
    assert [trial.number for trial in texts.best_trials(study, 3)] == [ranked[2], ranked[0], ranked[1]]
    assert texts.best_trials(make_study(tmp_path)) == []


@pytest.mark.parametrize(
    "plain", [None, {}, {"mean": None}, {"mean": float("nan"), "low": 0, "high": 1}, "x"]
)
def test_what_is_no_interval_is_none(plain):
    assert texts.interval(plain) is None


def test_an_interval_without_ends_has_none():
    single = texts.interval({"mean": 0.5, "low": float("-inf"), "high": float("inf"), "count": 1})
    assert single is not None
    assert (single.known, single.text) == (False, "0.5")
