"""Findings as text and HTML."""

import pytest

from fitwell.evidence import Measure, absent, all_of, any_of, for_some, found
from fitwell.run.files import write_json
from fitwell.views import findings, report, watched_report

LINE = {"measure": "rows <b>", "value": 1.0, "sign": ">", "limit": 0.98, "unit": "share", "holds": True}
FINDING = {
    "name": "a-fault", "kind": "bug", "severity": "error", "status": "confirmed", "confidence": 0.9,
    "says": "it is <wrong>", "evidence": [LINE], "where": {"file": "/home/me/train.py", "line": 3},
    "thread": "", "follows_from": None, "may_be_wrong_if": "it was meant", "remedies": ["mend <it>", "or not"],
    "sources": [],
}  # fmt: skip


def test_findings_are_read_from_the_document_else_from_the_result(make_run):
    run = make_run()
    assert findings.recorded(run) == []
    run.update(result=run.result | {"findings": [FINDING]})
    assert findings.recorded(run) == [FINDING]
    write_json(run.path / "findings.json", {"findings": []})
    assert findings.recorded(run) == []


@pytest.mark.parametrize("written", [[], {}, {"findings": None}, {"findings": ["a", {}]}])
def test_what_is_no_finding_is_left_out(make_run, written):
    run = make_run()
    write_json(run.path / "findings.json", written)
    assert findings.recorded(run) == []
    assert findings.section(run) == ""


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({}, "[yes] rows <b> = 1 share (limit > 0.98)"),
        ({"value": None, "holds": None}, "[?] rows <b> = not seen (limit > 0.98)"),
        ({"value": False, "sign": "is", "limit": True, "unit": "", "holds": False}, "[no] rows <b> = no (needed: yes)"),
        ({"value": "a", "sign": "is none of", "limit": ["b", "c"], "unit": ""},
         "[yes] rows <b> = a (needed: none of b, c)"),
    ],
)  # fmt: skip
def test_evidence_is_a_line(changes, text):
    assert findings.evidence_text(LINE | changes) == text


def test_a_condition_is_an_indented_list():
    size = Measure("size", lambda view: None, "units")
    condition = all_of(
        for_some("layers", lambda view: [], any_of(size > 1000, size.one_of("a", "b"))),
        found("x"),
        absent("y"),
    )
    assert findings.condition_lines(condition) == [
        "all of:", "  for one of the layers:", "    any of:", "      size > 1,000 units",
        "      size is one of a, b units", "  x is found", "  y is not found",
    ]  # fmt: skip


@pytest.mark.parametrize("kind", ["own", "watched"])
def test_a_report_says_what_is_wrong(make_run, make_watched, kind):
    run, page = (make_run(), report) if kind == "own" else (make_watched(), watched_report)
    assert "What is wrong?" not in page.report_html(run)
    follower = FINDING | {"name": "effect", "severity": "advice", "follows_from": "a-fault", "remedies": []}
    write_json(run.path / "findings.json", {"findings": [FINDING, follower]})
    html = page.report_html(run)
    for part in ("What is wrong?", "a-fault", "(error, confirmed, at train.py:3)", "it is &lt;wrong&gt;",
                 "<li>mend &lt;it&gt;</li>", "[yes] rows &lt;b&gt; = 1 share", "It may be wrong if it was meant",
                 "It follows from a-fault."):  # fmt: skip
        assert part in html
    assert html.index("a-fault") < html.index("effect")
