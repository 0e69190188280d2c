"""What a terminal shows of a diagnosis, and of the rules that make it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich import box
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from fitwell.diagnosing import Diagnosis, missing
from fitwell.diagnosis import Rule
from fitwell.evidence import Proof
from fitwell.views.console import clean, line, verdict_text
from fitwell.views.findings import condition_lines, evidence_text, where_text

MOST_FINDINGS = 5  # of the summary of a run
INDENT = 9
STYLES = {"error": "bold red", "warning": "bold yellow", "advice": "bold"}
GROUPS = {
    "bug": "bugs: the code does not do what it is meant to",
    "cause": "causes: why the training goes as it goes",
    "symptom": "symptoms: what is seen, no cause is proved",
    "advice": "advice",
}

Plain = Mapping[str, Any]  # a finding as in findings.json


def findings(found: Sequence[Plain], more: str = "") -> list[RenderableType]:
    """The findings of a run, ranked: each with its line and first remedy; those that follow from others are named.

    Args:
        found: as in findings.json.
        more: the command that shows what is left out.
    """
    first = [finding for finding in found if not finding.get("follows_from")]
    shown = first[:MOST_FINDINGS]
    items = [item for finding in shown for item in _brief(finding, found)]
    left = len(first) - len(shown)
    return [*items, *([line(f"... and {left} more findings: {more}", "dim")] if left else [])]


def _brief(finding: Plain, found: Sequence[Plain]) -> list[RenderableType]:
    effects = [other["name"] for other in found if other.get("follows_from") == finding["name"]]
    items = _head(finding)
    if finding.get("remedies"):
        items.append(row("remedy", finding["remedies"][0]))
    if effects:
        items.append(row("explains", ", ".join(effects)))
    return items


def _head(finding: Plain) -> list[RenderableType]:
    """Severity, name, status; what it says; where."""
    style = STYLES.get(finding["severity"], "")
    title = line(f"{finding['severity']:<{INDENT}}", style)
    title.append(clean(finding["name"]), "bold")
    thread = f" in {finding['thread']}" if finding.get("thread") else ""
    title.append(clean(f", {finding['status']}{thread}"), "not bold default")
    items: list[RenderableType] = ["", title, row("", finding["says"])]
    place = where_text(finding)
    return [*items, row("at", place)] if place else items


def row(label: str, text: str) -> RenderableType:
    """A label and a text that is wrapped beside it."""
    table = Table.grid(padding=0)
    table.add_column(width=INDENT)
    table.add_column()
    table.add_row(Text(label, "dim"), Text(clean(text)))
    return table


def _in_full(finding: Plain) -> list[RenderableType]:
    """A finding with its proof and all remedies."""
    items = _head(finding)
    items += _evidence(finding.get("evidence") or [])
    if finding.get("follows_from"):
        items.append(row("follows", f"from {finding['follows_from']}"))
    for place, text in enumerate(finding.get("remedies") or []):
        items.append(row("or" if place else "remedy", text))
    if finding.get("may_be_wrong_if"):
        items.append(row("doubt", f"it may be wrong if {finding['may_be_wrong_if']}"))
    return items


def _evidence(lines: Iterable[Plain]) -> list[RenderableType]:
    styles = {True: "green", False: "", None: "yellow"}
    return [line(" " * INDENT + clean(evidence_text(each)), styles[each["holds"]]) for each in lines]


def diagnosis(found: Diagnosis, everything: bool = False) -> list[RenderableType]:
    """The verdict and every finding with its proof.

    Args:
        found: of a run.
        everything: also what was found fine, and what could not be checked and why.
    """
    plain = found.plain()
    items: list[RenderableType] = [verdict_text(plain["verdict"], plain["verdict_reason"])]
    items += [item for finding in plain["findings"] for item in _in_full(finding)]
    fine = [name for name, proof in found.proofs.items() if proof.holds is False]
    unchecked = plain["unchecked"]
    count = (
        f"{len(plain['findings'])} found, {len(fine)} checked and fine, {len(unchecked)} could not be checked"
    )
    items += ["", line(count)]
    if not everything:
        return items
    if fine:
        items += ["", line("fine", "bold green"), row("", ", ".join(fine))]
    if unchecked:
        items += ["", line("could not be checked", "bold yellow"), _unchecked(unchecked)]
    return items


def _unchecked(rows: Sequence[Mapping[str, str]]) -> Table:
    table = Table("", "", box=None, show_header=False, pad_edge=False)
    for row in rows:
        table.add_row(Text(clean(row["name"])), Text(clean(row["because"]), "dim"))
    return table


def why(name: str, rule: Rule, proof: Proof) -> list[RenderableType]:
    """Why a rule made its finding, or did not."""
    said = {
        True: "it is found: every line that it needs holds",
        False: "it is not found",
        None: f"it could not be checked, {missing(proof)}",
    }[proof.holds]
    lines = [each.plain() for each in proof.evidence]
    return [line(f"{name}: {said}", "bold"), *_evidence(lines), "", row("means", rule.because)]


def rules_table(rules: Mapping[str, Rule]) -> list[RenderableType]:
    """All rules, grouped by what they claim."""
    items: list[RenderableType] = []
    for kind, title in GROUPS.items():
        table = Table("", "", "", box=box.SIMPLE, show_header=False, pad_edge=False)
        for name, rule in rules.items():
            if rule.kind == kind:
                proof = "proof" if rule.proves else "statistics"
                table.add_row(Text(name), Text(f"{rule.severity}, {proof}", "dim"), Text(says(rule)))
        if table.row_count:
            items += [line(title, "bold"), table]
    return [*items, line("fitwell rules NAME shows one of them", "dim")]


def says(rule: Rule) -> str:
    """What a rule says, with ``...`` for what is only known of a run.

    >>> from types import SimpleNamespace
    >>> says(SimpleNamespace(says="{layer} is dead: {said}"))
    '... is dead: ...'
    """
    return rule.says.format_map(_Open())


class _Open(dict[str, Any]):
    def __missing__(self, key: str) -> Any:
        return _Dots()


class _Dots:
    def __format__(self, spec: str) -> str:
        return "..."


def rule_page(name: str, rule: Rule) -> list[RenderableType]:
    """One rule: what it says, when, why, how sure, what it may be confused with, what to do, what it stands on."""
    sure = "a proof: it is confirmed at once" if rule.proves else "statistics: it is a suspicion"
    items: list[RenderableType] = [
        line(name, "bold"),
        row("says", says(rule)),
        row("is", f"{rule.kind}, {rule.severity}; the evidence is {sure}"),
        *(row("" if place else "when", text) for place, text in enumerate(_indented(rule))),
        row("because", rule.because),
        row("doubt", f"it may be wrong if {rule.may_be_wrong_if}"),
    ]
    for label, texts in (("remedy", rule.remedies), ("explains", rule.explains)):
        items += [row("" if place else label, text) for place, text in enumerate(texts)]
    for label, examples in (("found", rule.fires), ("not", rule.quiet)):
        items += [row("" if place else label, f"in: {each.text}") for place, each in enumerate(examples)]
    items += [
        row("" if place else "source", f"{source.title}: {source.address}")
        for place, source in enumerate(rule.sources)
    ]
    return items


def _indented(rule: Rule) -> list[str]:
    """The lines of the condition, whose depth is shown by dots since blanks are made one."""
    return [
        "\N{MIDDLE DOT} " * ((len(text) - len(text.lstrip())) // 2) + text.lstrip()
        for text in condition_lines(rule.when)
    ]
