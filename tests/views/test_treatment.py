"""What people are shown of a treatment, in the terminal and in reports."""

import io
from dataclasses import replace
from html import escape

import pytest
from rich.console import Console

from fitwell.experiment import Paired
from fitwell.run.files import write_json
from fitwell.treatment import Treatment, Trial, Tried
from fitwell.views import console, cures, treatment
from fitwell.views.report import report_html

FINDING = {
    "name": "learning-rate-too-high", "kind": "cause", "severity": "warning", "status": "suspected",
    "confidence": 0.9, "says": "the rate is \x1b[2Jtoo high", "evidence": [],
    "where": {"file": "/home/me/train.py", "line": 3}, "thread": "model", "follows_from": None,
    "may_be_wrong_if": "it was meant", "remedies": [], "sources": [],
}  # fmt: skip
TRIAL = Trial(
    "confirmed", "it is higher in 3 of 3 pairs", "val/accuracy", True, (1, 2, 3),
    (0.31, 0.33, 0.35), (0.94, 0.95, 0.96), Paired(0.62, 0.55, 0.69, 3), tuple("abcdef"),
)  # fmt: skip
DIFF = "--- a/train.py\n+++ b/train.py\n@@ -3 +3 @@\n-\tlr=1.0,\n+\tlr=0.1,\n"


def tried(**values) -> Tried:
    usual = Tried(
        "lower_learning_rate", {"factor": 0.1}, "multiply the rate by 0.1", "patch",
        "learning-rate-too-high", 0.95, "just right",
    )  # fmt: skip
    return replace(usual, **values)


def made(run: str, **values) -> Treatment:
    cure = tried(trial=TRIAL)
    failed = tried(says="clip <the> gradient", screened=None, because="the loss became nan")
    usual = Treatment(
        run, "confirmed", "it is higher in 3 of 3 pairs", cure, DIFF, "more steps", "the loss falls",
        (failed, cure), "val/accuracy", 0.33, 42.0,
    )  # fmt: skip
    return replace(usual, **values)


def refuted(run: str) -> Treatment:
    trial = replace(
        TRIAL, answer="refuted", treated=(0.3, None, 0.3), difference=Paired(-0.02, -0.1, 0.06, 2)
    )
    what = tried(trial=trial)
    return made(run, answer="refuted", because="it does not help", cure=None, diff="", tried=(what,))


def printed(items) -> str:
    stream = io.StringIO()
    console.put(console.make_console(stream), *items)
    return stream.getvalue()


@pytest.fixture
def watched(make_watched):
    run = make_watched()
    write_json(run.path / "findings.json", {"findings": [FINDING]})
    return run


def test_what_was_wrong_what_was_tried_the_verdict_and_the_change(watched):
    text = printed(treatment.treatment(made(str(watched.path))))
    parts = (
        "found    learning-rate-too-high at train.py:3: the rate is ?[2Jtoo high",
        "as it is", "0.33", "clip <the> gradient", "the loss became nan",
        "confirmed: multiply the rate by 0.1",
        "val/accuracy 0.33 ± 0.02 -> 0.95 ± 0.01 on seeds 1, 2, 3; difference +0.62",
        "(95 %", "+0.55 to +0.69)", "costs    more steps", "not when the loss falls", "42.0 s, 8 trainings",
        "-   lr=1.0,", "+   lr=0.1,", f"apply    fitwell treat {watched.path} --write",
    )  # fmt: skip
    for part in parts:
        assert part in text
    places = [text.index(part) for part in ("found ", "as it is", "confirmed:", "costs", "@@", "apply")]
    assert places == sorted(places)
    assert "\x1b" not in text


def test_what_does_not_help_is_told_and_nothing_is_applied(watched):
    text = printed(treatment.treatment(refuted(str(watched.path))))
    for part in ("refuted: it does not help", "0.3 ± 0 (1 failed)", "difference -0.02"):
        assert part in text
    assert "apply" not in text
    assert "@@" not in text


def test_unclear_answers_and_none_at_all(watched):
    run = str(watched.path)
    trial = replace(
        TRIAL, answer="inconclusive", difference=None, control=(None,), treated=(None,), seeds=(1,)
    )
    unclear = made(
        run, answer="inconclusive", because="not clear", cure=None, diff="", tried=(tried(trial=trial),)
    )
    text = " ".join(printed(treatment.treatment(unclear)).split())
    assert "inconclusive: not clear" in text
    assert "no figure (1 failed) -> no figure (1 failed) on seed 1; no pair of figures to compare" in text
    nothing = Treatment(run, "inconclusive", "nothing was found that is to be mended")
    assert printed(treatment.treatment(nothing)) == f"nothing was tried: {nothing.because}\n"


def test_a_plan_is_applied_by_training_it_and_a_live_change_by_hand(make_run, watched):
    own = make_run()
    of = made(str(own.path), cure=tried(how="plan", trial=TRIAL))
    assert cures.applying(of) == f"fitwell train digits --plan {own.path / 'treated_plan.json'}"
    live = made(str(watched.path), cure=tried(how="live"), diff="")
    assert cures.applying(live).startswith("by hand")
    assert cures.applying(made("/gone")) == "fitwell treat /gone --write"
    assert "fitwell train DATA" in cures.applying(made("/gone", cure=tried(how="plan")))
    assert printed(treatment.treatment(made("/gone"))).startswith("found    learning-rate-too-high")


@pytest.mark.parametrize("kind", ["own", "watched"])
def test_reports_and_show_have_it(make_run, make_watched, kind):
    run = make_run() if kind == "own" else make_watched()
    assert cures.section(run) == ""
    assert treatment.brief(run) == []
    write_json(run.path / "treatment.json", made(str(run.path)).plain())
    page = report_html(run)
    for part in (
        "What mends it?",
        "confirmed: multiply the rate by 0.1",
        "clip <the> gradient",
        "42.0 s, 8 trainings",
    ):
        assert escape(part) in page
    assert "clip <the>" not in page
    brief = printed(treatment.brief(run))
    assert brief.startswith("treated  confirmed: multiply the rate by 0.1 (val/accuracy 0.33 ± 0.02 -> 0.95")


def test_narrow_terminals_and_colours(watched, monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    of = made(str(watched.path))

    def shown(width: int, colors: str | None = "standard") -> str:
        stream = io.StringIO()
        screen = Console(file=stream, force_terminal=True, width=width, color_system=colors, highlight=False)
        console.put(screen, *treatment.treatment(of))
        return stream.getvalue()

    assert "\x1b[32m+" in shown(80), "what is added is green"
    assert "\x1b[31m-" in shown(80)
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[3" not in shown(80)
    rows = [row for row in shown(50, None).splitlines() if not row.startswith("apply")]
    assert max(map(len, rows)) <= 50


def test_the_end_of_a_treated_training(make_run, watched):
    run = make_run()
    assert "nothing to treat: it fits" in printed(treatment.closing(run, []))
    kept = printed(treatment.closing(run, [refuted(str(run.path))]))
    assert "refuted: it does not help" in kept
    assert "as it was" in kept
    cure = tried(how="plan", trial=TRIAL)
    helped = printed(treatment.closing(run, [made(str(run.path), cure=cure), refuted(str(run.path))]))
    assert "treated  confirmed" in helped
    assert "then     refuted" in helped
    assert "again    fitwell train digits --plan" in helped
