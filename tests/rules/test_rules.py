"""What holds for every rule: its examples behave, every clause is needed, and nothing seen is nothing found."""

from __future__ import annotations

import re
from collections.abc import Iterator
from inspect import signature
from pathlib import Path

import pytest

from fitwell.diagnosing import rules
from fitwell.diagnosis import Example, Rule, strata
from fitwell.evidence import All, Condition, ForSome, Limit, Some, View, conditions
from fitwell.treating.changing.live import described, interventions

RULES = rules()
NAMES = Path(__file__).parents[2].parent / "shared" / "design" / "faults.md"
NEAR = 0.2  # of a limit


def truth(condition: Condition, example: Example, rule: Rule) -> bool | None:
    findings = {asked.name: asked.name in example.found for asked in rule.asks}
    return condition.prove(example.view, findings).holds


def replaced(condition: Condition, old: Condition, new: Condition | None) -> Condition | None:
    """The condition with a part exchanged, or left out."""
    if condition is old:
        return new
    if isinstance(condition, All | Some):
        parts = [replaced(part, old, new) for part in condition.conditions]
        kept = tuple(part for part in parts if part is not None)
        return type(condition)(kept) if kept else None
    if isinstance(condition, ForSome):
        inner = replaced(condition.condition, old, new)
        return ForSome(condition.what, condition.subjects, All(()) if inner is None else inner)
    return condition


def clauses(condition: Condition) -> Iterator[tuple[Condition, Condition]]:
    """Each part of a conjunction or disjunction, with what it is a part of."""
    for part in conditions(condition):
        if isinstance(part, All | Some):
            yield from ((part, inner) for inner in part.conditions)


@pytest.mark.parametrize("name", RULES)
def test_its_examples_behave(name: str) -> None:
    rule = RULES[name]
    assert rule.fires, "a rule needs a recording that it fires on"
    assert rule.quiet, "a rule needs a recording that it is quiet on"
    for example in rule.fires:
        assert truth(rule.when, example, rule) is True, example.text
    for example in rule.quiet:
        assert truth(rule.when, example, rule) is False, example.text


@pytest.mark.parametrize("name", RULES)
def test_every_clause_is_needed(name: str) -> None:
    rule = RULES[name]
    for whole, clause in clauses(rule.when):
        without = replaced(rule.when, clause, None)
        if isinstance(whole, All):
            changed = any(without is None or truth(without, each, rule) for each in rule.quiet)
        else:
            changed = any(without is None or not truth(without, each, rule) for each in rule.fires)
        assert changed, f"no example needs {clause}"


@pytest.mark.parametrize("name", RULES)
def test_every_limit_has_a_near_miss(name: str) -> None:
    rule = RULES[name]
    near: set[int] = set()
    limits = {
        id(part): part
        for part in conditions(rule.when)
        if isinstance(part, Limit)
        and isinstance(part.limit, int | float)
        and part.limit not in (0, True, False)
    }
    for example in rule.quiet:
        findings = {asked.name: asked.name in example.found for asked in rule.asks}
        lines = rule.when.prove(example.view, findings).evidence
        for line in lines:
            for key, limit in limits.items():
                same = (line.measure, line.sign, line.limit) == (limit.measure.text, limit.sign, limit.limit)
                if same and line.holds is False and isinstance(line.value, int | float):
                    away = abs(line.value - float(limit.limit))  # type: ignore[arg-type]
                    if away <= max(NEAR * abs(float(limit.limit)), 1 if isinstance(line.value, int) else 0):  # type: ignore[arg-type]
                        near.add(key)
    far = [f"{part.measure.text} {part.sign} {part.limit}" for key, part in limits.items() if key not in near]
    assert not far, f"no quiet example within 20 % of: {far}"


@pytest.mark.parametrize("name", RULES)
def test_nothing_seen_is_not_checked(name: str) -> None:
    rule = RULES[name]
    findings = dict.fromkeys([asked.name for asked in rule.asks], False)
    assert rule.when.prove(View(), findings).holds is None


@pytest.mark.parametrize("name", RULES)
def test_it_explains_itself(name: str) -> None:
    rule = RULES[name]
    assert rule.remedies
    assert rule.sources
    assert all(source.address.startswith("https://") for source in rule.sources)
    for text in (rule.says, rule.because, rule.may_be_wrong_if, *rule.remedies):
        assert len(text) > 15
        assert not re.search(r"\s{2,}", text), text
    assert not rule.says.endswith("."), "says is a clause, not a sentence with a full stop"


def test_what_follows_from_what_has_no_circle() -> None:
    def roots(name: str, seen: tuple[str, ...]) -> None:
        assert name not in seen, f"{' -> '.join((*seen, name))}"
        for effect in RULES[name].explains if name in RULES else ():
            roots(effect, (*seen, name))

    for name in RULES:
        roots(name, ())


def test_the_rules_have_strata() -> None:
    assert sorted(name for layer in strata(RULES) for name in layer) == sorted(RULES)


def test_every_name_of_the_vocabulary_has_a_rule() -> None:
    if not NAMES.is_file():
        pytest.skip("the vocabulary of findings is not here")
    named = {
        n
        for row in re.findall(r"^\| (`.+?) \|", NAMES.read_text(), re.MULTILINE)
        for n in re.findall(r"`([a-z-]+)`", row)
    }
    assert named | {"overfitting", "underfitting"} == set(RULES)


@pytest.mark.parametrize("name", [name for name, rule in RULES.items() if rule.check or rule.suspects])
def test_what_it_checks_and_suspects(name: str) -> None:
    rule = RULES[name]
    assert not rule.proves, "what is proved needs no experiment"
    assert rule.check is not None, "what is suspected must be checked"
    assert 0 < rule.check.least < 1
    assert rule.check.steps >= 15
    known = interventions()
    for change in rule.check.changes:
        assert known[change.intervention].forks, "a fork begins in the middle of a training"
        described(change)
        signature(known[change.intervention].apply).bind(None, **change.settings)
    if rule.suspects is not None:
        for example in rule.fires:
            assert truth(rule.suspects, example, rule) is True, f"less than `when` is enough: {example.text}"
        findings = dict.fromkeys([asked.name for asked in rule.asks], False)
        assert rule.suspects.prove(View(), findings).holds is None
