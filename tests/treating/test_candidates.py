"""candidates(): the likeliest first, what only follows last, nothing twice."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from fitwell.diagnosing import Diagnosis, rules
from fitwell.diagnosis import Finding, prove
from fitwell.errors import PlanError
from fitwell.run import Run, create_run
from fitwell.run.files import write_json
from fitwell.treating.candidates import candidates, confirms, known_remedy, remedies
from fitwell.treatment import Treatment, Tried
from fitwell.verdict import Verdict


def finding(name: str, **other: object) -> Finding:
    rule = rules()[name]
    proof = prove(rule.fires[0].view, {name: rule}, [[name]])[name]
    made = Finding(
        name, rule.kind, rule.severity, rule.says, "suspected", 0.5, replace(proof, subjects=()), None, "a", None, rule
    )  # fmt: skip
    return replace(made, **other)  # type: ignore[arg-type]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    run = create_run(None, "train.py", tmp_path)
    thread = {"prefix": "", "steps": 3}
    write_json(run.path / "facts.json", {"threads": [thread | {"name": "b"}, thread | {"name": "a"}]})
    return run


def tried(run: Run, *findings: Finding, **settings: object) -> list[tuple[str, str, int]]:
    """Finding, remedy and number of the dose of each candidate."""
    diagnosis = Diagnosis(Verdict("broken", ""), list(findings), {}, None)
    found = candidates(run, diagnosis, **settings)  # type: ignore[arg-type]
    return [(c.finding.name, c.remedy, list(remedies()[c.remedy].doses).index(c.dose)) for c in found]


def test_first_doses_of_the_best_remedies_come_first(run: Run) -> None:
    found = tried(run, finding("learning-rate-too-high"), most=100)
    assert found[0] == ("learning-rate-too-high", "lower_learning_rate", 0)
    doses = [dose for _, _, dose in found]
    assert doses == sorted(doses)
    first = [remedies()[name].treats["learning-rate-too-high"] for _, name, dose in found if dose == 0]
    assert first == sorted(first)


def test_what_follows_from_another_and_advice_come_last(run: Run) -> None:
    high, flat = finding("learning-rate-too-high"), finding("loss-oscillates")
    names = [
        name
        for name, _, _ in tried(run, replace(flat, follows_from="learning-rate-too-high"), high, most=100)
    ]
    assert names == sorted(names)
    names = [name for name, _, _ in tried(run, replace(flat, severity="advice"), high, most=100)]
    assert names == sorted(names)


def test_nothing_is_tried_twice_or_more_often_than_asked(run: Run) -> None:
    found = tried(run, finding("learning-rate-too-high"), finding("loss-oscillates"), most=100)
    remedies_ = [(remedy, dose) for _, remedy, dose in found]
    assert len(remedies_) == len(set(remedies_))
    assert len(tried(run, finding("learning-rate-too-high"), most=2)) == 2


def test_only_one_remedy(run: Run) -> None:
    found = tried(run, finding("learning-rate-too-high"), only="lower_learning_rate")
    assert {remedy for _, remedy, _ in found} == {"lower_learning_rate"}
    assert [dose for _, _, dose in found] == list(range(len(remedies()["lower_learning_rate"].doses)))
    assert tried(run, finding("gradients-not-cleared"), only="lower_learning_rate") == []


def test_a_candidate_sees_the_thread_of_its_finding(run: Run) -> None:
    found = candidates(run, Diagnosis(Verdict("", ""), [finding("learning-rate-too-high")], {}, None))
    assert {candidate.view.thread for candidate in found} == {"a"}
    assert found[0].says == "multiply the learning rate by 0.1"


def test_the_name_of_a_remedy() -> None:
    assert known_remedy("lower-learning-rate") == "lower_learning_rate"
    with pytest.raises(PlanError, match=r"did you mean .*lower_learning_rate"):
        known_remedy("lower_learning")
    with pytest.raises(PlanError, match=r"choose one of .*clear_gradients"):
        known_remedy("xxxxxxxx")


def test_the_first_remedy_of_a_finding_proves_it_by_curing_it() -> None:
    cure = Tried(
        "lower_learning_rate", {"factor": 0.1}, "lower it", "patch", "learning-rate-too-high", 0.9, "better"
    )
    made = Treatment("runs/a", "confirmed", "better", cure=cure)
    assert confirms(made) == "learning-rate-too-high"
    assert confirms(replace(made, answer="inconclusive")) == ""
    assert confirms(replace(made, cure=replace(cure, remedy="use_adam"))) == ""
    assert confirms(replace(made, cure=replace(cure, remedy="lower_learning_rate + use_adam"))) == ""
    assert confirms(replace(made, cure=None)) == ""
