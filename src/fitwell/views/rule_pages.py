"""Rules as pages of the documentation, and as JSON: made from the rule files, never written by hand."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fitwell.diagnosis import Rule
from fitwell.run.files import storage, write_atomic
from fitwell.views.diagnosis import GROUPS, says
from fitwell.views.findings import condition_lines

INDEX = "README.md"


def pages(rules: Mapping[str, Rule]) -> dict[str, str]:
    """The text of each page by file name: one a rule, and the index."""
    return {INDEX: _index(rules)} | {f"{name}.md": _page(name, rule) for name, rule in rules.items()}


def write(rules: Mapping[str, Rule], folder: Path) -> int:
    """Write the pages into a folder, remove those of rules that are gone, and give their number.

    Raises:
        StorageError: the folder can't be written.
    """
    made = pages(rules)
    with storage(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for path in folder.glob("*.md"):
            if path.name not in made and path.read_text(encoding="utf-8").startswith(_title(path.stem)):
                path.unlink()
    for name, text in made.items():
        write_atomic(folder / name, text.encode())
    return len(made)


def plain(name: str, rule: Rule) -> dict[str, Any]:
    """A rule as JSON."""
    return {
        "name": name,
        "kind": rule.kind,
        "severity": rule.severity,
        "says": says(rule),
        "when": condition_lines(rule.when),
        "because": rule.because,
        "proves": rule.proves,
        "may_be_wrong_if": rule.may_be_wrong_if,
        "remedies": list(rule.remedies),
        "explains": list(rule.explains),
        "found_in": [example.text for example in rule.fires],
        "not_found_in": [example.text for example in rule.quiet],
        "sources": [source.address for source in rule.sources],
    }


def _index(rules: Mapping[str, Rule]) -> str:
    lines = [
        "# What fitwell finds",
        "",
        "Each finding is made by one rule. `fitwell rules NAME` shows it in a terminal, and",
        "`fitwell diagnose RUN --why NAME` its proof on a run. These pages are made from the rules by `make pages`.",
    ]
    for kind, title in GROUPS.items():
        rows = [
            f"| [{name}]({name}.md) | {rule.severity} | {evidence(rule)} | {_cell(says(rule).removesuffix(': ...'))} |"
            for name, rule in rules.items()
            if rule.kind == kind
        ]
        if rows:
            head = ["| finding | severity | evidence | says |", "| --- | --- | --- | --- |"]
            lines += ["", f"## {title[0].upper()}{title[1:]}", "", *head, *rows]
    return "\n".join(lines) + "\n"


def evidence(rule: Rule) -> str:
    """What kind of evidence a rule has, in a word."""
    return "proof" if rule.proves else "statistics"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _title(name: str) -> str:
    """How the page of a rule begins, and no other."""
    return f"# {name}\n\nWhat fitwell finds: "


def _page(name: str, rule: Rule) -> str:
    sure = (
        "The evidence is a proof: the finding is confirmed at once."
        if rule.proves
        else "The evidence is statistics: the finding is a suspicion until an experiment confirms it."
    )
    sections: dict[str, list[str]] = {
        "When": ["```", *condition_lines(rule.when), "```", "", sure],
        "Why": [rule.because],
        "What to do": [f"- {text}" for text in rule.remedies],
        "It may be wrong if": [rule.may_be_wrong_if],
        "Found in": [f"- {example.text}" for example in rule.fires],
        "Not found in": [f"- {example.text}" for example in rule.quiet],
        "It explains": [", ".join(f"`{other}`" for other in rule.explains)] if rule.explains else [],
        "Sources": [f"- [{source.title}]({source.address})" for source in rule.sources],
    }
    said = says(rule).removesuffix(": ...")
    lines = [f"{_title(name)}{said}.", "", f"Kind: {rule.kind}. Severity: {rule.severity}."]
    for title, content in sections.items():
        if content:
            lines += ["", f"## {title}", "", *content]
    return "\n".join(lines) + "\n"
