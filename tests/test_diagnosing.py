"""The diagnosis of a run, and the document that it leaves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fitwell import diagnosing
from fitwell.diagnosing import confidence, diagnose, missing, rules
from fitwell.diagnosis import Rule, Source
from fitwell.evidence import Condition, Evidence, Measure, Proof, absent, all_of
from fitwell.run import Run, create_run
from fitwell.run.files import write_json


def rule(when: Condition, proves: bool = True) -> Rule:
    return Rule(
        kind="cause", severity="warning", says="it is wrong", when=when, because="", may_be_wrong_if="",
        remedies=(), sources=(Source("a page", "https://example.org"),), proves=proves, fires=(), quiet=(),
    )  # fmt: skip


def known(signal: str) -> Condition:
    return Measure(f"known of {signal}", lambda view: view.known(signal)).equals(True)


@pytest.fixture
def with_rules(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Diagnose by these rules alone."""

    def exchange(**made: Rule) -> None:
        named = {name.replace("_", "-"): each for name, each in made.items()}
        monkeypatch.setattr(diagnosing, "rules", lambda: named)
        diagnosing._strata.cache_clear()

    yield exchange
    monkeypatch.undo()
    diagnosing._strata.cache_clear()


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """A watched run of a net and, with fewer steps, its critic."""
    run = create_run(None, "train", tmp_path)
    run.update(program={"argv": ["train.py"]}, state="done")
    threads = [
        {"name": "net", "prefix": "", "steps": 50},
        {"name": "critic", "prefix": "thread/critic/", "steps": 10},
    ]
    signals = {
        "both": {"net": True, "critic": True},
        "critic": {"net": False, "critic": True},
        "net": {"net": True, "critic": False},
        "neither": {"net": False, "critic": False},
        "unseen": {"net": None, "critic": None},
    }
    overhead = {"budget": 0.03, "spent": 0.01, "looks": 5}
    write_json(run.path / "facts.json", {"threads": threads, "signals": signals, "overhead": overhead})
    return run


def test_a_proof_counts_in_each_thread_and_statistics_in_the_main_one(run: Run, with_rules: Any) -> None:
    with_rules(
        proved=rule(known("critic")), suspected=rule(known("critic"), proves=False),
        both=rule(known("both")), fine=rule(known("neither")), unseen=rule(known("unseen")),
    )  # fmt: skip
    made = diagnose(run)
    assert {finding.name: finding.thread for finding in made.findings} == {"proved": "critic", "both": "net"}
    assert {name: proof.holds for name, proof in made.proofs.items()} == {
        "proved": True, "suspected": False, "both": True, "fine": False, "unseen": None,
    }  # fmt: skip
    assert made.unchecked == [{"name": "unseen", "because": "not seen: known of unseen"}]


def test_the_document_is_what_is_written(run: Run, with_rules: Any) -> None:
    with_rules(a_fault=rule(known("net")), unseen=rule(all_of(known("unseen"), absent("a-fault"))))
    made = diagnose(run)
    written = json.loads((run.path / "findings.json").read_text())
    assert written == made.plain()
    assert written["schema"] == 1
    assert [finding["name"] for finding in written["findings"]] == ["a-fault"]
    assert written["findings"][0]["status"] == "confirmed"
    assert written["findings"][0]["evidence"][0]["holds"] is True
    assert written["overhead"] == {"budget": 0.03, "spent": 0.01}
    assert isinstance(written["verdict"], str)


def test_a_run_of_which_nothing_is_known_has_no_finding(tmp_path: Path) -> None:
    run = create_run(None, "train", tmp_path)
    run.update(program={"argv": ["train.py"]})
    made = diagnose(run)
    assert made.findings == []
    assert {row["name"] for row in made.unchecked} == set(rules())
    assert all(row["because"].removeprefix("not seen: ") for row in made.unchecked)
    assert made.plain()["overhead"] is None


def test_what_is_missing_is_named_once() -> None:
    lines = [Evidence(name, None, ">", 1, holds) for name, holds in (("a", None), ("b", True), ("a", None))]
    assert missing(Proof(None, tuple(lines))) == "not seen: a"


def test_rules_are_named_as_their_files() -> None:
    assert "softmax-before-cross-entropy" in rules()
    assert all(name == name.lower() and "_" not in name for name in rules())


def test_confidence_is_a_share_and_of_rules() -> None:
    assert all(0 <= value <= 1 for value in confidence().values())
    assert set(confidence()) <= set(rules())
