"""Rules and findings: forward chaining in strata over what was seen of a training.

A rule may ask for other findings: ``found("x")``, ``absent("x")``. What a rule denies must be known before it is
tried (stratified negation, Apt, Blair and Walker 1988), which is checked when the rules are loaded. In a stratum
the rules are tried until nothing changes: the least fixed point in the order False < None < True.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean
from typing import Any, Literal

from fitwell.evidence import Condition, Evidence, Found, Proof, Series, Truth, View, conditions
from fitwell.experiment import Answer, Arm, Check, Experiment

Kind = Literal["bug", "cause", "symptom", "advice"]
Severity = Literal["error", "warning", "advice"]


@dataclass(frozen=True)
class Source:
    """A paper or a page of documentation that a rule stands on."""

    title: str
    address: str


@dataclass(frozen=True)
class Example:
    """A recording by which a rule is tested.

    Args:
        text: what happens in it.
        facts: as in facts.json.
        signals: values at the steps and epochs 1, 2, 3, ...
        found: findings that other rules make of it; the others that a rule asks for are absent.
        thread: whose facts and signals these are.
    """

    text: str
    facts: Mapping[str, Any] = field(default_factory=dict)
    signals: Mapping[str, Sequence[float]] = field(default_factory=dict)
    found: tuple[str, ...] = ()
    thread: str = ""

    @property
    def view(self) -> View:
        """As rules see it."""
        series = {name: numbered(values) for name, values in self.signals.items()}
        return View(self.facts, series, self.thread)


def numbered(values: Sequence[float]) -> Series:
    """A series recorded once an epoch, of one step each."""
    return Series(values, range(1, len(values) + 1), [float(n) for n in range(1, len(values) + 1)])


def subjects_place(view: View) -> Mapping[str, Any] | None:
    """The line that the subject of a finding carries."""
    where: Mapping[str, Any] | None = view.subject.get("where")
    return where


@dataclass(frozen=True)
class Rule:
    """What makes a finding; one a file in ``fitwell/rules``, whose file name is the finding's with underscores.

    Args:
        kind: what the finding claims: a bug, a cause, or only a symptom.
        severity: of the finding.
        says: the finding in a sentence; ``{layer}`` stands for a value of the subject that it is about.
        when: what must hold.
        because: why that is a fault, in a paragraph.
        may_be_wrong_if: what it may be confused with.
        remedies: what to do, the first first.
        sources: what it stands on.
        proves: whether ``when`` is a proof (values of tensors, an exact test: the finding is confirmed at once) or
            statistics of a training, that a counterfactual must confirm.
        verdict: what the finding means for the run where its curves alone say nothing, or just-right; None if nothing.
        explains: the findings that follow from this one; statistics need not be named by a proved bug that is an error.
        fires: recordings of which it makes the finding.
        quiet: recordings, near its limits, of which it does not.
        check: the experiment that would confirm a finding that the rule does not prove.
        suspects: what is enough to ask for that experiment, where it is less than ``when``: if the experiment then
            confirms it, the finding is made.
        where: gives the line of the program that is at fault: by default the one that the subject carries.
    """

    kind: Kind
    severity: Severity
    says: str
    when: Condition
    because: str
    may_be_wrong_if: str
    remedies: tuple[str, ...]
    sources: tuple[Source, ...]
    proves: bool
    fires: tuple[Example, ...]
    quiet: tuple[Example, ...]
    verdict: str | None = None
    explains: tuple[str, ...] = ()
    where: Callable[[View], Mapping[str, Any] | None] = subjects_place
    check: Check | None = None
    suspects: Condition | None = None

    @property
    def breaks_learning(self) -> bool:
        """Whether it proves a bug that keeps a model from learning what it should."""
        return self.proves and self.kind == "bug" and self.severity == "error"

    @property
    def asks(self) -> list[Found]:
        """The findings that its conditions ask for."""
        tried = [self.when] if self.suspects is None else [self.when, self.suspects]
        return [part for condition in tried for part in conditions(condition) if isinstance(part, Found)]


Rules = Mapping[str, Rule]


def strata(rules: Rules) -> list[list[str]]:
    """The names in layers: what a rule denies lies in a layer below, what it builds on at most in its own.

    Raises:
        ValueError: rules deny each other in a circle, or one asks for a finding that no rule makes.
    """
    level = dict.fromkeys(rules, 0)
    for _ in range(len(rules) + 1):
        changed = False
        for name, rule in rules.items():
            for asked in rule.asks:
                if asked.name not in rules:
                    raise ValueError(f"{name} asks for {asked.name}, which no rule finds")
                least = level[asked.name] + (not asked.wanted)
                if least > level[name]:
                    level[name], changed = least, True
        if not changed:
            return [[n for n in rules if level[n] == at] for at in sorted(set(level.values()))]
    asked_for = {name: _asked_for(name, rules) for name in rules}
    denied = {(name, asked.name) for name in rules for asked in rules[name].asks if not asked.wanted}
    circle = sorted({n for name, other in denied if name in asked_for[other] for n in (name, other)})
    raise ValueError(f"these rules deny each other in a circle: {', '.join(circle)}")


def _asked_for(name: str, rules: Rules) -> set[str]:
    """The findings that a rule asks for, and those that their rules ask for."""
    found: set[str] = set()
    waiting = [name]
    while waiting:
        asked = {part.name for part in rules[waiting.pop()].asks} - found
        found |= asked
        waiting += asked
    return found


def prove(view: View, rules: Rules, layers: Sequence[Sequence[str]] | None = None) -> dict[str, Proof]:
    """The proof or refutation of every rule on a view.

    Args:
        view: a thread of a training.
        rules: by the name of the finding.
        layers: their strata, if they are known.
    """
    proofs: dict[str, Proof] = {}
    truths: dict[str, Truth] = {}
    for layer in strata(rules) if layers is None else layers:
        truths |= dict.fromkeys(layer, False)
        waiting = list(layer)
        while waiting:
            before = dict(truths)
            for name in waiting:
                proofs[name] = _proof(name, rules[name], view, truths)
                truths[name] = proofs[name].holds
            changed = {name for name in layer if truths[name] is not before[name]}
            waiting = [n for n in layer if any(asked.name in changed for asked in rules[n].asks)]
    return proofs


def _proof(name: str, rule: Rule, view: View, findings: Mapping[str, Truth]) -> Proof:
    """By its condition; or else by what it suspects, if an experiment confirmed that."""
    proof, tried = rule.when.prove(view, findings), experiments(view, name)
    if not proof.holds and rule.suspects is not None and answer(tried) == "confirmed":
        suspicion = rule.suspects.prove(view, findings)
        proof = suspicion if suspicion.holds else proof
    lines = [_line(each, each.best) for each in tried if each.best is not None]
    if _is_cured(view, name):
        lines.append(_cure_line(view.fact("treatment", "cure")))
    return replace(proof, evidence=(*proof.evidence, *lines)) if proof.holds else proof


def _line(experiment: Experiment, arm: Arm) -> Evidence:
    """What an experiment showed, as a line of a proof whose limit is the training as it is."""
    text = f"{arm.of} after {experiment.steps} steps with {arm.says}, limit without, {experiment.start}"
    control = "not finite" if arm.control_mean is None else arm.control_mean
    return Evidence(text, arm.mean, "<", control, experiment.answer == "confirmed")


def _is_cured(view: View, finding: str) -> bool:
    """Whether a treatment has proved it: trainings with its first remedy do better beyond doubt."""
    return bool(view.fact("treatment", "confirms") == finding)


def _cure_line(cure: Mapping[str, Any]) -> Evidence:
    """What the trial of a remedy showed, as a line of a proof whose limit is the training as it is."""
    trial = cure["trial"]
    means = [_mean(trial[arm]) for arm in ("treated", "control")]
    pairs = f"{trial['metric'] or 'trainings'} of {len(trial['seeds'])} trainings"
    text = f"{pairs} with the remedy ({cure['says']}), limit without, the same seeds"
    return Evidence(text, means[0], ">" if trial["higher"] else "<", means[1], True)


def _mean(values: Sequence[float | None]) -> float | str:
    known = [value for value in values if value is not None]
    return fmean(known) if known else "failed"


def experiments(view: View, finding: str) -> list[Experiment]:
    """The what-if forks that asked for a finding in this thread, oldest first."""
    made = view.fact("what_if", "experiments") or []
    return [
        Experiment.from_plain(each)
        for each in made
        if each["finding"] == finding and each["thread"] == view.thread
    ]


def answer(tried: Sequence[Experiment]) -> Answer | None:
    """What several experiments say together: one that confirms is enough, else the last one counts."""
    answers = [each.answer for each in tried]
    return "confirmed" if "confirmed" in answers else answers[-1] if answers else None


@dataclass(frozen=True)
class Finding:
    """What a rule says of a run, with its proof.

    Args:
        name: from the vocabulary of findings.
        says: in a sentence.
        status: ``confirmed`` by a proof or an experiment, or ``suspected``.
        confidence: how often such a finding was right in the lab, from 0 to 1.
        proof: why.
        where: file and line, if it is about code.
        thread: the thread that it was found in.
        follows_from: the finding that explains this one; then it is only advice.
        tested: what an experiment in the training itself, or a treatment, answered; None if there was none.
    """

    name: str
    kind: Kind
    severity: Severity
    says: str
    status: Literal["confirmed", "suspected"]
    confidence: float
    proof: Proof
    where: Mapping[str, Any] | None
    thread: str
    follows_from: str | None
    rule: Rule
    tested: Answer | None = None

    def plain(self) -> dict[str, Any]:
        """As in findings.json."""
        where = self.where and {"file": self.where["file"], "line": self.where["line"]}
        return {
            "name": self.name,
            "kind": self.kind,
            "severity": self.severity,
            "status": self.status,
            "confidence": round(self.confidence, 3),
            "says": self.says,
            "evidence": [line.plain() for line in self.proof.evidence],
            "where": where,
            "thread": self.thread,
            "follows_from": self.follows_from,
            "tested": self.tested,
            "may_be_wrong_if": self.rule.may_be_wrong_if,
            "remedies": list(self.rule.remedies),
            "sources": [source.address for source in self.rule.sources],
        }


def findings(
    proved: Mapping[str, tuple[View, Proof]], rules: Rules, confidence: Mapping[str, float]
) -> list[Finding]:
    """The findings that were proved, the most likely root cause first.

    Args:
        proved: by name the view and the proof of what holds.
        rules: by name.
        confidence: by name.
    """
    made = [
        _finding(name, rules[name], *proved[name], _root(name, proved, rules), confidence) for name in proved
    ]
    return sorted(made, key=_rank)


def _finding(
    name: str, rule: Rule, view: View, proof: Proof, root: str | None, confidence: Mapping[str, float]
) -> Finding:
    about = view.about(proof.subjects[0]) if proof.subjects else view
    says = rule.says.format_map(
        _Shown({key: value for key, value in about.subject.items() if value is not None})
    )
    if len(proof.subjects) > 1:
        says += f" (and {len(proof.subjects) - 1} more)"
    tried = experiments(view, name)
    tested = "confirmed" if _is_cured(view, name) else answer(tried)
    for each in tried:
        says += f"; {each.says}" if each.answer == tested == "confirmed" else ""
    return Finding(
        name=name,
        kind=rule.kind,
        severity="advice" if root else rule.severity,
        says=says,
        status="confirmed" if rule.proves or tested == "confirmed" else "suspected",
        confidence=confidence.get(name, 0.5),
        proof=proof,
        where=rule.where(about),
        thread=view.thread,
        follows_from=root,
        rule=rule,
        tested=tested,
    )


class _Shown(dict[str, Any]):
    """The values of a subject; what is missing in it is left to the reader."""

    def __missing__(self, key: str) -> _Unknown:
        return _Unknown()


class _Unknown:
    """Stands for a value that is not there, however it was to be written."""

    def __format__(self, spec: str) -> str:
        return "?"


def _root(name: str, proved: Mapping[str, tuple[View, Proof]], rules: Rules) -> str | None:
    """What explains a finding, followed to its own cause."""
    seen, current = {name}, name
    while True:
        causes = [
            cause
            for cause in proved
            if cause not in seen
            and _explains(rules[cause], current, rules)
            and answer(experiments(proved[cause][0], cause)) != "refuted"
        ]
        if not causes:
            return None if current == name else current
        current = causes[0]
        seen.add(current)


def _explains(cause: Rule, name: str, rules: Rules) -> bool:
    """A rule names what follows from it; with a proved bug that breaks learning no statistics can be trusted."""
    return name in cause.explains or (cause.breaks_learning and not rules[name].proves)


def _rank(finding: Finding) -> tuple[Any, ...]:
    """What explains others and is proved comes first, what an experiment speaks against comes last."""
    severities = ("error", "warning", "advice")
    kinds = ("bug", "cause", "symptom", "advice")
    doubt = (finding.status == "suspected") + (finding.tested == "refuted")
    at = severities.index(finding.severity), doubt, kinds.index(finding.kind), -finding.confidence
    return (finding.follows_from is not None, *at, finding.name)
