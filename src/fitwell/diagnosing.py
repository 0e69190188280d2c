"""diagnose(run): what is wrong with a training, proved; and the verdict on it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from fitwell.diagnosis import Finding, Rule, findings, prove, strata
from fitwell.discovery import members
from fitwell.evidence import Proof, Truth, View
from fitwell.measures.curves import FALL, curves_of
from fitwell.run import Run
from fitwell.run.files import write_json
from fitwell.run.view import thread_views
from fitwell.verdict import LEARNED, Verdict, judge

RULES = "fitwell.rules"
MOST_THREADS = 8  # that are diagnosed: those with most steps
ENDINGS = ("KeyboardInterrupt", "SystemExit", "StopIteration")  # that people use to end a program
NOT_TOLD = ("just-right", "too-short-to-tell")


@dataclass(frozen=True)
class Diagnosis:
    """What is wrong with a run, and what was checked.

    Args:
        verdict: one word on how well it fits.
        findings: the most likely root cause first.
        proofs: by rule, of the thread where it holds or else of the main one: also of what was found fine.
        overhead: what watching cost, and might have.
    """

    verdict: Verdict
    findings: list[Finding]
    proofs: Mapping[str, Proof]
    overhead: Mapping[str, Any] | None

    @property
    def unchecked(self) -> list[dict[str, str]]:
        """The rules that could not be checked, and what was not seen."""
        return [
            {"name": name, "because": missing(proof)}
            for name, proof in self.proofs.items()
            if proof.holds is None
        ]

    @property
    def result(self) -> dict[str, Any]:
        """What a run's result says of it."""
        return {
            "verdict": self.verdict.name,
            "verdict_reason": self.verdict.reason,
            "converged_at_epoch": self.verdict.converged_at_epoch,
            "findings": [finding.plain() for finding in self.findings],
        }

    def plain(self) -> dict[str, Any]:
        """The diagnosis document, as in findings.json."""
        return {
            "schema": 1,
            **self.result,
            "unchecked": self.unchecked,
            "overhead": self.overhead and {name: self.overhead[name] for name in ("budget", "spent")},
        }


def missing(proof: Proof) -> str:
    """What a condition asked for that was not seen."""
    return "not seen: " + ", ".join(
        dict.fromkeys(line.measure for line in proof.evidence if line.holds is None)
    )


@cache
def rules() -> dict[str, Rule]:
    """All rules, by the name of their finding."""
    return {name.replace("_", "-"): rule for name, rule in members(RULES, "RULE").items()}


@cache
def _strata() -> list[list[str]]:
    return strata(rules())


@cache
def confidence() -> dict[str, float]:
    """By finding how likely it is right, from the lab: see ``docs/diagnosis.md``."""
    counted = json.loads((files("fitwell") / "confidence.json").read_text())
    return {name: float(value) for name, value in counted["confidence"].items()}


def diagnose(run: Run) -> Diagnosis:
    """The diagnosis of a run, which is written into its folder as ``findings.json``, too.

    What a proof shows counts in whatever thread it is; statistics count for the main thread, for a sweep or a
    search has threads that are meant to be tried and left.
    """
    views = thread_views(run)[:MOST_THREADS]
    proved: dict[str, tuple[View, Proof]] = {}
    proofs: dict[str, Proof] = {}
    for number, view in enumerate(views):
        for name, proof in prove(view, rules(), _strata()).items():
            if number == 0 or (rules()[name].proves and _says_more(proof, proofs[name])):
                proofs[name] = proof
                if proof.holds:
                    proved[name] = view, proof
    made = findings(proved, rules(), confidence())
    diagnosis = Diagnosis(_verdict(views[0], made), made, proofs, views[0].fact("overhead"))
    write_json(run.path / "findings.json", diagnosis.plain())
    return diagnosis


def questions(view: View) -> tuple[bool, list[str]]:
    """What experiments should ask for in a training that goes on.

    Returns:
        Whether the cause is known already: a bug is proved that breaks learning, or an experiment has confirmed a
        finding; and the findings whose checks would tell more, the most likely root cause first, then those
        that there is only some suspicion of.
    """
    proofs = prove(view, rules(), _strata())
    held = {name: (view, proof) for name, proof in proofs.items() if proof.holds}
    made = findings(held, rules(), confidence())
    if any(finding.rule.breaks_learning or finding.tested == "confirmed" for finding in made):
        return True, []
    truths = {name: proof.holds for name, proof in proofs.items()}
    suspected = [
        name
        for name, rule in rules().items()
        if rule.suspects is not None and not truths[name] and rule.suspects.prove(view, truths).holds
    ]
    suspected.sort(key=lambda name: -confidence().get(name, 0.0))
    return False, [finding.name for finding in made if finding.rule.check is not None] + suspected


def _says_more(proof: Proof, than: Proof) -> bool:
    """Whether it counts for the whole run: what holds in one thread holds, what is unknown in one is not fine."""
    certainty: list[Truth] = [False, None, True]
    return certainty.index(proof.holds) > certainty.index(than.holds)


def _verdict(view: View, made: list[Finding]) -> Verdict:
    """A bug that prevents learning decides, or what ended the program; else the curves do.

    Findings that say why hardly anything was learned tell more than curves, which may lack what to compare with; they
    are read from the same measures.
    """
    broken = [finding for finding in made if finding.kind == "bug" and finding.severity == "error"]
    if broken:
        return Verdict("broken", broken[0].says)
    found = {finding.name: finding for finding in made}
    if "loss-not-finite" in found:
        return Verdict("broken", found["loss-not-finite"].says)
    failure = view.fact("failure")
    if failure and failure.get("type") not in ENDINGS:
        message = (str(failure.get("message", "")).splitlines() or [""])[0]
        return Verdict("broken", f"the program ended with {failure['type']}: {message}".rstrip(": "))
    judged = judge(curves_of(view))
    if judged.name not in NOT_TOLD:
        return judged
    alone = len(view.fact("threads") or []) < 2  # the losses of adversaries may stand, or fall, as they like
    telling = [f for f in made if f.follows_from is None and (alone or f.severity != "advice")]
    for finding in telling:
        if finding.rule.verdict:
            return Verdict(finding.rule.verdict, finding.says)
    fall = view.value(FALL)
    if alone and "loss-plateau" in found and isinstance(fall, float) and fall < LEARNED:
        return Verdict("not-converging", found["loss-plateau"].says)
    return judged
