"""What people see of a study in the terminal: while it goes on, at its end, and again."""

import io
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from studies import TUNED, capacity_summary, cv_summary, make_study, samples_summary, search, verified

from fitwell.run import list_runs
from fitwell.views import console, study


@dataclass(frozen=True)
class Told:
    number: int
    score: float | None = 0.9
    state: str = "done"
    reason: str = ""
    values: dict[str, Any] = field(default_factory=lambda: {"lr": 0.01, "hidden": [64, 64]})


def printed(items):
    stream = io.StringIO()
    console.put(console.make_console(stream), *items)
    return stream.getvalue()


def flat(items):
    return " ".join(printed(items).split())


def test_each_trial_is_one_line_and_the_best_so_far_has_an_asterisk():
    stream = io.StringIO()
    progress = study.StudyProgress(stream, "val/accuracy")
    progress.say("stage rate: it matters most")
    for number, (score, best) in enumerate([(0.9, 0.9), (0.8, 0.9), (0.95, 0.95)], start=1):
        progress.trial(Told(number, score), best)
    progress.trial(Told(4, None, "failed", "the loss became \x1b[2Jnan " + "x" * 99), 0.95)
    said, head, *lines = stream.getvalue().splitlines()
    assert said == "stage rate: it matters most"
    assert head.split() == ["trial", "accuracy", "best", "settings"]
    assert [line.split()[0] for line in lines] == ["*1", "2", "*3", "4"]
    assert "95.00 %    95.00 %  lr 0.01, hidden 64 64" in lines[2]
    assert "failed: the loss became ?[2Jnan" in lines[3]
    assert max(map(len, lines)) <= 100


def test_64_trials_are_64_lines_also_in_the_log_and_long_settings_are_cut(tmp_path):
    stream, log = io.StringIO(), tmp_path / "stdout.log"
    progress = study.StudyProgress(stream, log=log)
    for number in range(1, 65):
        progress.trial(Told(number, float(number), values={f"setting{i}": "v" * 40 for i in range(9)}), 1.0)
    lines = stream.getvalue().splitlines()
    assert len(lines) == 65
    assert max(map(len, lines)) <= 100
    assert log.read_text() == stream.getvalue()
    assert "*1" in lines[1]
    assert "*" not in lines[2]


def test_a_trial_without_changes_is_the_plan_as_it_was():
    stream = io.StringIO()
    study.StudyProgress(stream).trial(Told(1, values={}))
    assert "the plan as it was" in stream.getvalue()


def test_a_search_tells_stages_the_best_few_the_default_what_was_lost_and_what_is_next(tmp_path):
    summary = {
        "default": 1, "verified": verified([0.983, 0.99], [0.975, 0.98], mean=0.008, low=0.002, high=0.014),
        "ensemble": {"members": [2, 3], "metrics": {"val/accuracy": 0.99, "test/accuracy": 0.985}, "gain": 0.004},
    }  # fmt: skip
    made = make_study(tmp_path, trials=search(), **TUNED, summary=summary)
    text = printed(study.summary(made))
    ranked = [trial.number for trial in made.ranked()]
    rows = [
        int(row) for row in re.findall(r"^ +(\d+) .*(?:just right|overfitting) *$", text, flags=re.MULTILINE)
    ]
    assert rows == [*ranked[:5], 1]
    assert re.search(rf" {ranked[0]} +best +", text)
    assert re.search(r" 1 +default +0.003 +64 +0.1 +93.00 % +30 +just right", text)
    together = flat(study.summary(made))
    for part in (
        "digits: search for settings, 24 trials, 1 min 23 s", "lr 0.006", "the rest together",
        "better by 0.008 (95 % interval 0.002 to 0.014)", "better than the best alone by 0.004",
        "99.00 % on validation", "the loss became nan in epoch", "the range was extended to 1",
        f"fitwell report {made.path}",
    ):  # fmt: skip
        assert part in together
    assert "fitwell predict" not in text
    (made.path / "model").mkdir()
    assert f"fitwell predict {made.path} NEW_DATA" in flat(study.summary(made))


def test_show_has_every_trial(tmp_path):
    made = make_study(tmp_path, trials=search())
    text = printed(study.show(made))
    after = text[text.index("all trials") :]
    assert [int(row) for row in re.findall(r"^ {1,5}(\d+) ", after, flags=re.MULTILINE)] == list(range(1, 25))
    assert text.startswith(f"{made.name}: done")
    assert console.show(made)
    assert printed(console.show(list_runs(tmp_path)[0])) == text


def test_a_thousand_trials_are_not_all_shown(tmp_path, monkeypatch):
    monkeypatch.setattr(study, "MOST_SHOWN", 3)
    text = printed(study.show(make_study(tmp_path, trials=search(5))))
    assert "... and 2 more trials" in text


@pytest.mark.parametrize("kind", ["tune", "cv", "capacity", "samples", "unheard-of"])
@pytest.mark.parametrize("trials", [[], [{"score": None}], [{"score": float("nan")}], [{"score": 0.5}]])
@pytest.mark.parametrize("state", ["done", "preempted", "failed"])
def test_every_study_can_be_shown_however_far_it_came(tmp_path, kind, trials, state):
    made = make_study(tmp_path, kind, trials, state, space={})
    text = printed(study.show(made))
    assert "nan" not in text
    assert "None" not in text
    if state == "preempted":
        assert f"`fitwell resume {made.name}` goes on" in " ".join(text.split())
        assert f"fitwell resume {made.path}" in text
    if state == "done" and (not trials or trials[0]["score"] != 0.5):
        assert "came to an end with a score" in text
    if state == "failed":
        assert "it is not known why" in text


def test_folds_have_their_mean_with_its_interval(tmp_path):
    made = make_study(tmp_path, "cv", [{"score": 0.95}] * 3, summary=cv_summary(), space={})
    text = printed(study.summary(made))
    assert re.search(r" 2 +2 +96.00 % +0.1\b", text)
    assert "accuracy 0.96 (95 % interval 0.949 to 0.971) over 3 folds" in text
    assert "accuracy 96.00 % (val)" in printed([console.runs_table([made])])


@pytest.mark.parametrize(
    ("kind", "summary"), [("capacity", capacity_summary()), ("samples", samples_summary())]
)
def test_a_row_a_point_with_a_bar_of_its_figure_and_the_sentence(tmp_path, kind, summary):
    made = make_study(tmp_path, kind, summary=summary)
    text = printed(study.summary(made))
    bars = [line.count("█") for line in text.splitlines() if "±" in line]
    values = [point["val"]["mean"] for point in summary["points"]]
    assert [bars.index(bar) for bar in sorted(bars)] == [values.index(value) for value in sorted(values)]
    assert min(bars) == 1
    assert max(bars) == study.BAR
    assert summary["said"] in text
    assert max(len(line) for line in text.splitlines() if "±" in line) <= 100


def test_a_point_that_failed_has_no_bar(tmp_path):
    summary = capacity_summary()
    summary["points"][0] |= {"train": None, "val": {"mean": None, "low": None, "high": None, "count": 0}}
    text = printed(study.summary(make_study(tmp_path, "capacity", summary=summary)))
    (row,) = [line for line in text.splitlines() if "underfitting" in line]
    assert row.split()[:4] == ["4", "310", "-", "-"]
    assert "█" not in row


def test_runs_list_a_study_with_its_kind_its_best_and_its_state(tmp_path):
    trials = search()
    made = make_study(tmp_path, trials=trials, state="preempted")
    table = " ".join(printed([console.runs_table(list_runs(tmp_path))]).split())
    assert "preempted, tune" in table
    best = max(trial["score"] for trial in trials if trial.get("state", "done") == "done")
    assert f"accuracy {100 * best:.2f} % (val)" in table
    assert len(list_runs(tmp_path)) == 1
    (made.path / "study.json").write_text("{")
    assert "preempted, tune" in " ".join(printed([console.runs_table(list_runs(tmp_path))]).split())
