"""Findings as text and as HTML, read from what a run holds: ``findings.json``, else its result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from fitwell.evidence import All, Condition, ForSome, Found, Limit, Value
from fitwell.run import Run
from fitwell.run.files import read_json
from fitwell.views import page
from fitwell.views.figures import number

Line = Mapping[str, Any]  # of evidence
MARKS = {True: "yes", False: "no", None: "?"}
WANTED = {"is": "needed:", "is one of": "needed: one of", "is none of": "needed: none of"}


def recorded(run: Run) -> list[dict[str, Any]]:
    """The findings of a run as findings.json has them, the most likely root cause first; none if it has none."""
    path = run.path / "findings.json"
    diagnosis = read_json(path) if path.exists() else run.info.get("result") or {}
    found = diagnosis.get("findings") if isinstance(diagnosis, Mapping) else None
    return [finding for finding in found or [] if isinstance(finding, dict) and "name" in finding]


def shown_value(value: Value | Sequence[Value]) -> str:
    """A value or limit of a measure as people write it.

    >>> shown_value(0.99951), shown_value(True), shown_value(("a", 1)), shown_value(None)
    ('0.9995', 'yes', 'a, 1', 'not seen')
    """
    if value is None:
        return "not seen"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return number(value)
    return value if isinstance(value, str) else ", ".join(map(shown_value, value))


def evidence_text(line: Line) -> str:
    """One line that a person can argue with.

    >>> evidence_text({"measure": "sum", "value": 1.0, "sign": ">", "limit": 0.98, "unit": "", "holds": True})
    '[yes] sum = 1 (limit > 0.98)'
    """
    unit = f" {line['unit']}" if line.get("unit") and line["value"] is not None else ""
    sign = WANTED.get(line["sign"], f"limit {line['sign']}")
    value, limit = shown_value(line["value"]), shown_value(line["limit"])
    return f"[{MARKS[line['holds']]}] {line['measure']} = {value}{unit} ({sign} {limit})"


def where_text(finding: Mapping[str, Any]) -> str:
    """``train.py:31``; nothing where the finding is about no line."""
    where = finding.get("where")
    return f"{Path(str(where['file'])).name}:{where['line']}" if where else ""


def condition_lines(condition: Condition) -> list[str]:
    """What must hold, as an indented list of lines."""
    if isinstance(condition, Limit):
        unit = f" {condition.measure.unit}" if condition.measure.unit else ""
        return [f"{condition.measure.text} {condition.sign} {shown_value(condition.limit)}{unit}"]
    if isinstance(condition, Found):
        return [f"{condition.name} {'is found' if condition.wanted else 'is not found'}"]
    if isinstance(condition, ForSome):
        head = f"for one of the {condition.what}:"
    else:
        head = "all of:" if isinstance(condition, All) else "any of:"
    return [head, *(f"  {line}" for part in condition.parts() for line in condition_lines(part))]


def section(run: Run) -> str:
    """The part of a report that says what is wrong, as HTML; empty if nothing was found."""
    found = recorded(run)
    return page.section("What is wrong?", "".join(map(_article, found))) if found else ""


def _article(finding: Mapping[str, Any]) -> str:
    place = where_text(finding)
    head = f"{finding['severity']}, {finding['status']}" + (f", at {place}" if place else "")
    root = finding.get("follows_from")
    remedies = "".join(f"<li>{escape(str(text))}</li>" for text in finding.get("remedies") or [])
    lines = "\n".join(map(evidence_text, finding.get("evidence") or []))
    doubt = finding.get("may_be_wrong_if")
    parts = (
        f"<h3>{escape(finding['name'])} <small>({escape(head)})</small></h3>",
        f"<p{' class=warning' if finding['severity'] != 'advice' else ''}>{escape(finding['says'])}</p>",
        f"<p>It follows from {escape(root)}.</p>" if root else "",
        f"<ul>{remedies}</ul>" if remedies else "",
        f"<details><summary>Why?</summary><pre><code>{escape(lines)}</code></pre>" if lines else "<details>",
        f"<p>It may be wrong if {escape(doubt)}</p></details>" if doubt else "</details>",
    )
    return "".join(parts)
