"""Findings and rules in a terminal."""

import io

from fitwell.diagnosing import rules
from fitwell.diagnosis import Rule
from fitwell.evidence import Evidence, Proof
from fitwell.run.files import write_json
from fitwell.views import console, diagnosis, watched

FINDING = {
    "name": "a-fault", "kind": "bug", "severity": "error", "status": "confirmed", "confidence": 0.9,
    "says": "it is \x1b[2Jwrong", "evidence": [], "where": {"file": "/home/me/train.py", "line": 3},
    "thread": "critic", "follows_from": None, "may_be_wrong_if": "it was meant",
    "remedies": ["mend it", "or not"], "sources": [],
}  # fmt: skip
EFFECT = FINDING | {"name": "effect", "follows_from": "a-fault", "severity": "advice"}


def printed(items):
    stream = io.StringIO()
    console.put(console.make_console(stream), *items)
    return stream.getvalue()


def test_a_finding_in_brief_has_line_and_remedy_and_names_its_effects():
    text = printed(diagnosis.findings([FINDING, EFFECT]))
    for part in (
        "error    a-fault, confirmed in critic",
        "it is ?[2Jwrong",
        "at       train.py:3",
        "mend it",
    ):
        assert part in text
    assert "explains effect" in text
    assert "or not" not in text
    assert text.count("confirmed") == 1


def test_of_many_findings_the_first_are_shown():
    many = [FINDING | {"name": f"fault-{n}"} for n in range(8)]
    text = printed(diagnosis.findings(many, "fitwell diagnose last"))
    assert "fault-4" in text
    assert "fault-5" not in text
    assert "... and 3 more findings: fitwell diagnose last" in text


def test_nothing_found_is_nothing_said():
    assert diagnosis.findings([]) == []


def test_the_views_of_a_run_show_its_findings(make_run, make_watched):
    own, seen = make_run(), make_watched()
    for run in (own, seen):
        write_json(run.path / "findings.json", {"findings": [FINDING]})
    views = (console.summary(own), console.show(own), watched.summary(seen), watched.show(seen))
    assert ["a-fault, confirmed" in printed(view) for view in views] == [True] * 4
    assert f"fitwell diagnose {watched.reference(seen)}" in printed(watched.summary(seen))


def test_why_has_a_line_for_each_clause():
    rule = rules()["shape-mismatch"]
    lines = (Evidence("size", 3, ">", 2, True), Evidence("unseen", None, ">", 2, None))
    text = printed(diagnosis.why("a-fault", rule, Proof(None, lines)))
    assert text.startswith("a-fault: it could not be checked, not seen: unseen\n")
    assert "         [yes] size = 3 (limit > 2)\n         [?] unseen = not seen" in text


def test_every_rule_has_a_page_whatever_it_says():
    for name, rule in rules().items():
        text = printed(diagnosis.rule_page(name, rule))
        assert text.startswith(f"{name}\n")
        assert "{" not in diagnosis.says(rule)
        assert isinstance(rule, Rule)
