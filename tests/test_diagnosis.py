"""Rules are tried in strata; what they find is ranked. Compared with clingo, which computes stable models."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise

import pytest

from fitwell.diagnosis import Example, Rule, Rules, Source, findings, numbered, prove, strata
from fitwell.evidence import (
    All,
    Condition,
    Found,
    Limit,
    Measure,
    Some,
    Truth,
    View,
    absent,
    all_of,
    any_of,
    for_some,
    found,
)

BASES = 2000  # random rule bases that are compared


def rule(when: Condition, says: str = "something is wrong", **more: object) -> Rule:
    made = Rule(
        kind="bug", severity="error", says=says, when=when, because="", may_be_wrong_if="", remedies=("mend it",),
        sources=(Source("a page", "https://example.org"),), proves=True, fires=(), quiet=(),
    )  # fmt: skip
    return replace(made, **more)  # type: ignore[arg-type]


def fact(name: str) -> Condition:
    """What the facts hold under a name: True, False, or nothing."""
    return Measure(f"fact {name}", lambda view: view.fact(name)).equals(True)


def truths(rules: Rules, facts: Mapping[str, Truth]) -> dict[str, Truth]:
    return {name: proof.holds for name, proof in prove(View(facts), rules).items()}


def test_what_is_denied_is_known_before() -> None:
    rules = {
        "last": rule(absent("middle")),
        "middle": rule(absent("first")),
        "first": rule(fact("a")),
    }
    assert strata(rules) == [["first"], ["middle"], ["last"]]
    assert truths(rules, {"a": True}) == {"first": True, "middle": False, "last": True}
    assert truths(rules, {"a": False}) == {"first": False, "middle": True, "last": False}
    assert truths(rules, {}) == {"first": None, "middle": None, "last": None}


def test_what_only_builds_on_itself_is_not_found() -> None:
    rules = {"a": rule(any_of(found("b"), fact("x"))), "b": rule(found("a"))}
    assert truths(rules, {"x": False}) == {"a": False, "b": False}
    assert truths(rules, {"x": True}) == {"a": True, "b": True}
    assert truths(rules, {}) == {"a": None, "b": None}


def test_a_long_chain_in_the_worst_order_has_its_strata() -> None:
    count = 30
    rules = {f"r{i}": rule(absent(f"r{i + 1}")) for i in range(count)} | {f"r{count}": rule(fact("x"))}
    assert len(strata(rules)) == count + 1
    assert truths(rules, {"x": True})["r0"] is True


def test_rules_that_deny_each_other_are_refused_by_name() -> None:
    rules = {
        "below": rule(fact("x")),
        "a": rule(all_of(found("b"), found("below"))),
        "b": rule(found("c")),
        "c": rule(absent("a")),
        "above": rule(found("a")),
    }
    with pytest.raises(ValueError, match=r"deny each other in a circle: a, c$"):
        strata(rules)
    with pytest.raises(ValueError, match=r"circle: a$"):
        strata({"a": rule(for_some("layers", lambda view: [], any_of(fact("x"), absent("a"))))})


def test_a_finding_that_no_rule_makes_is_refused() -> None:
    with pytest.raises(ValueError, match="a asks for nobody, which no rule finds"):
        strata({"a": rule(absent("nobody"))})


class Base:
    """A random stratified base of rules, and base facts of which some are unknown."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        names = [f"r{i}" for i in range(self.random.randint(2, 9))]
        self.level = {name: self.random.randint(0, 3) for name in names}
        self.facts: dict[str, Truth] = {f"f{i}": self.random.choice([True, False, None]) for i in range(5)}
        self.rules = {name: rule(self._condition(self.level[name], depth=3)) for name in names}

    def _condition(self, level: int, depth: int) -> Condition:
        kinds = ["fact", "found", "absent"] + ["all", "any", "some"] * (depth > 0)
        kind = self.random.choice(kinds)
        if kind in ("all", "any"):
            parts = [self._condition(level, depth - 1) for _ in range(self.random.randint(1, 3))]
            return all_of(*parts) if kind == "all" else any_of(*parts)
        if kind == "some":
            return for_some("things", lambda view: [{}], self._condition(level, depth - 1))
        below = [name for name, at in self.level.items() if at < level or (kind == "found" and at == level)]
        if kind == "fact" or not below:
            return fact(self.random.choice(list(self.facts)))
        name = self.random.choice(below)
        return found(name) if kind == "found" else absent(name)


class Program:
    """A base as a logic program of two truths: what is certainly true (``_t``), and what is possibly true (``_p``).

    Kleene's three truths are the pairs (t, p), (not t, p), (not t, not p); a denial is certain where the thing is not
    possible, and possible where it is not certain.
    """

    def __init__(self, base: Base) -> None:
        self.lines: list[str] = []
        self.count = 0
        for name, truth in base.facts.items():
            self.lines += [f"{name}_t."] * (truth is True) + [f"{name}_p."] * (truth is not False)
        for name, each in base.rules.items():
            self._define(name, self._atom(each.when))

    def _define(self, head: str, body: tuple[str, str]) -> None:
        self.lines += [f"{head}_t :- {body[0]}.", f"{head}_p :- {body[1]}."]

    def _atom(self, condition: Condition) -> tuple[str, str]:
        """The literals that stand for a condition: certain, possible."""
        if isinstance(condition, Limit):
            name = condition.measure.text.removeprefix("fact ")
            return f"{name}_t", f"{name}_p"
        if isinstance(condition, Found):
            certain, possible = f"{condition.name}_t", f"{condition.name}_p"
            return (certain, possible) if condition.wanted else (f"not {possible}", f"not {certain}")
        self.count += 1
        head = f"c{self.count}"
        parts = [self._atom(part) for part in condition.parts()]
        if isinstance(condition, All):
            self._define(head, (", ".join(p[0] for p in parts), ", ".join(p[1] for p in parts)))
        else:  # any_of, and for_some over one thing
            for part in parts:
                self._define(head, part)
        return f"{head}_t", f"{head}_p"

    def solve(self) -> set[str]:
        clingo = pytest.importorskip("clingo", reason="clingo is not installed")
        control = clingo.Control(["0"], message_limit=0)
        control.add("base", [], "\n".join(self.lines))
        control.ground([("base", [])])
        with control.solve(yield_=True) as handle:
            models = [{str(atom) for atom in model.symbols(atoms=True)} for model in handle]
        (model,) = models  # a stratified program has exactly one
        return model


def test_all_truths_are_those_of_clingo() -> None:
    seen: set[Truth] = set()
    for seed in range(BASES):
        base = Base(seed)
        model = Program(base).solve()
        mine = truths(base.rules, base.facts)
        for name, truth in mine.items():
            certain, possible = f"{name}_t" in model, f"{name}_p" in model
            assert not certain or possible
            assert truth is (True if certain else None if possible else False), (seed, name)
        seen |= set(mine.values())
    assert seen == {True, False, None}


def test_random_bases_that_deny_in_a_circle_are_refused() -> None:
    for seed in range(300):
        base = Base(seed)
        names = list(base.rules)
        start, end = base.random.choice(names), base.random.choice(names)
        chain = base.random.sample(names, base.random.randint(0, len(names)))
        path = [
            start,
            *[name for name in chain if name not in (start, end)],
            *([end] if end != start else []),
        ]
        for one, other in pairwise(path):
            base.rules[one] = rule(any_of(base.rules[one].when, found(other)))
        base.rules[path[-1]] = rule(all_of(base.rules[path[-1]].when, absent(start)))
        with pytest.raises(ValueError, match=rf"circle: .*\b{path[-1]}\b"):
            strata(base.rules)


def view_of(thread: str = "", **subject: object) -> View:
    return View(thread=thread, subject=subject)


def made(rules: Rules, names: list[str], view: View | None = None) -> list[object]:
    view = view or View({"x": True})
    return [each.name for each in findings({n: (view, rules[n].when.prove(view)) for n in names}, rules, {})]  # type: ignore[misc]


def test_what_explains_others_is_first_and_they_are_advice() -> None:
    rules = {
        "effect": rule(fact("x")),
        "cause": rule(fact("x"), explains=("effect",), kind="cause", severity="warning"),
        "root": rule(fact("x"), explains=("cause", "nothing"), severity="warning"),
        "other": rule(fact("x"), severity="advice"),
    }
    view = View({"x": True})
    proved = {name: (view, each.when.prove(view)) for name, each in rules.items()}
    told = findings(proved, rules, {"root": 0.75})
    assert [each.name for each in told] == ["root", "other", "effect", "cause"]
    assert [each.follows_from for each in told] == [None, None, "root", "root"]
    assert [each.severity for each in told] == ["warning", "advice", "advice", "advice"]
    assert (told[0].confidence, told[1].confidence) == (0.75, 0.5)


def test_errors_precede_warnings_and_proofs_precede_suspicions() -> None:
    rules = {
        "warning": rule(fact("x"), severity="warning"),
        "suspected": rule(fact("x"), proves=False),
        "symptom": rule(fact("x"), kind="symptom"),
        "cause": rule(fact("x"), kind="cause"),
    }
    assert made(rules, list(rules)) == ["cause", "symptom", "suspected", "warning"]


def test_with_a_proved_bug_no_statistics_are_trusted() -> None:
    rules = {
        "statistics": rule(fact("x"), kind="cause", severity="warning", proves=False),
        "proof": rule(fact("x"), severity="warning"),
        "bug": rule(fact("x")),
    }
    view = View({"x": True})
    proved = {name: (view, each.when.prove(view)) for name, each in rules.items()}
    told = findings(proved, rules, {})
    assert [(each.name, each.follows_from) for each in told] == [
        ("bug", None), ("proof", None), ("statistics", "bug"),
    ]  # fmt: skip


def test_findings_that_explain_each_other_in_a_circle_end() -> None:
    rules = {"a": rule(fact("x"), explains=("b",)), "b": rule(fact("x"), explains=("a",))}
    assert sorted(map(str, made(rules, ["a", "b"]))) == ["a", "b"]


def test_a_finding_speaks_of_its_first_subject() -> None:
    size = Measure("size", lambda view: view.subject["size"])
    where = {"file": "train.py", "line": 3, "function": "f", "text": "x"}
    rows = [{"layer": "fc", "size": 3.0, "where": where}, {"layer": "out", "size": 4.0}]
    big = rule(
        for_some("layers", lambda view: rows, size > 2), says="{layer} is {size:.1f}, {gone:.2f} {none:d}"
    )
    rows[0]["none"] = None
    view = View(thread="net")
    (finding,) = findings({"big": (view, big.when.prove(view))}, {"big": big}, {})
    assert finding.says == "fc is 3.0, ? ? (and 1 more)"
    plain = finding.plain()
    assert plain["where"] == {"file": "train.py", "line": 3}
    assert (plain["thread"], plain["status"], plain["remedies"]) == ("net", "confirmed", ["mend it"])
    assert plain["evidence"][0]["measure"] == "size"


def test_an_example_is_recorded_once_an_epoch() -> None:
    view = Example("it rises", {"a": 1}, {"loss/val": [1.0, 2.0]}, thread="net").view
    series = view.series("loss/val")
    assert series is not None
    assert (list(series.steps), list(series.epochs)) == ([1, 2], [1.0, 2.0])
    assert (view.fact("a"), view.thread, numbered([]).finite) == (1, "net", [])


def test_a_rule_knows_what_it_asks_for() -> None:
    nested = rule(any_of(absent("a"), for_some("layers", lambda view: [], all_of(found("b")))))
    assert [(asked.name, asked.wanted) for asked in nested.asks] == [("a", False), ("b", True)]
    assert isinstance(nested.when, Some)


def test_a_cure_that_was_verified_confirms_what_it_was_chosen_for() -> None:
    trial = {"metric": "val/accuracy", "higher": True, "seeds": [1, 2, 3], "control": [0.3, None, 0.5]}
    cure = {"says": "lower the rate", "trial": trial | {"treated": [0.9, 0.8, 0.7]}}
    treated = View({"a": True, "treatment": {"confirms": "a", "cure": cure}})
    rules = {"a": rule(fact("a"), proves=False), "b": rule(fact("a"), proves=False)}
    found = {
        f.name: f for f in findings({n: (treated, p) for n, p in prove(treated, rules).items()}, rules, {})
    }
    assert (found["a"].status, found["a"].tested) == ("confirmed", "confirmed")
    assert (found["b"].status, found["b"].tested) == ("suspected", None)
    line = found["a"].proof.evidence[-1]
    assert (round(float(str(line.value)), 3), line.sign, line.limit) == (0.8, ">", 0.4)
    assert "lower the rate" in line.measure
