"""The figures of ``diagnosis.py``: computed from what was found in each program, and printed as Markdown."""

from __future__ import annotations

import math
import statistics
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "lab"))

from parts import PARTS, Case

LOUD = ("error", "warning")
NEAR = 2  # lines between the line of a finding and that of the fault
PRIOR = 4.0  # firings that a rule's own record must outweigh before it counts more than that of all rules
SUREST = 0.99


@dataclass(frozen=True)
class Named:
    """A finding of a program."""

    name: str
    severity: str
    confidence: float
    line: int | None
    follows_from: str | None

    @property
    def loud(self) -> bool:
        """Whether it says that something is wrong."""
        return self.severity in LOUD


@dataclass(frozen=True)
class Result:
    """What was found in a program.

    Args:
        case: the program.
        folder: of the recording.
        code: that the program ended with.
        last_number: that it printed, which is its result.
        verdict: of the diagnosis.
        findings: the most likely root cause first.
        seconds: that diagnosing took.
        steps: that were seen.
        unseen: what the watcher failed at, by name: its own faults, not the program's.
    """

    case: Case
    folder: str
    code: int
    last_number: str | None
    verdict: str
    findings: tuple[Named, ...] = ()
    seconds: float = 0.0
    steps: int = 0
    unseen: tuple[str, ...] = ()

    @property
    def alarmed(self) -> bool:
        """Whether anything is said to be wrong."""
        return any(f.loud for f in self.findings)

    @property
    def detected(self) -> bool:
        """Whether anything is said to be wrong, or its fault is named as advice."""
        return self.alarmed or self.named(None)

    def right(self, finding: Named) -> bool:
        """Whether a finding names the fault."""
        return finding.name in self.case.right

    def named(self, among: int | None) -> bool:
        """Whether the fault is named by one of the first findings."""
        return any(self.right(f) for f in self.findings[:among])

    @property
    def right_line(self) -> bool:
        """Whether the first finding that names the fault gives a line of it."""
        lines = [f.line for f in self.findings if self.right(f) and f.line is not None][:1]
        return any(abs(line - marked) <= NEAR for line in lines for marked in self.case.program.lines)

    def plain(self) -> dict[str, Any]:
        """As JSON."""
        found = [vars(finding) for finding in self.findings]
        about = {"name": self.case.program.name, "part": self.case.part, "expected": self.case.expected}
        outcome = {"folder": self.folder, "code": self.code, "last_number": self.last_number}
        seen = {"verdict": self.verdict, "steps": self.steps, "unseen": self.unseen, "findings": found}
        return about | outcome | seen


Results = Sequence[Result]


def faulty(results: Results) -> list[Result]:
    """The programs with a fault."""
    return [r for r in results if r.case.expected]


def healthy(results: Results) -> list[Result]:
    """The programs without a fault."""
    return [r for r in results if not r.case.expected]


def share(results: Results, what: Callable[[Result], bool]) -> str:
    """How many of the results are so."""
    if not results:
        return "–"
    count = sum(map(what, results))
    return f"{count / len(results):.1%} ({count} of {len(results)})"


def precision(results: Results) -> str:
    """The share of warnings and errors on faulty programs that name the fault; what follows from it is advice."""
    loud = [r.right(f) for r in faulty(results) for f in r.findings if f.loud]
    return f"{sum(loud) / len(loud):.1%} ({sum(loud)} of {len(loud)})" if loud else "–"


def times(results: Results) -> str:
    """Of the diagnosis."""
    seconds = [1000 * r.seconds for r in results if r.seconds]
    return f"{statistics.median(seconds):.0f} ms, {max(seconds):.0f} ms" if seconds else "–"


FIGURES: tuple[tuple[str, Callable[[Results], str]], ...] = (
    ("something wrong is noticed (recall)", lambda r: share(faulty(r), lambda x: x.detected)),
    ("the fault is named first (top 1)", lambda r: share(faulty(r), lambda x: x.named(1))),
    ("the fault is named among the first three", lambda r: share(faulty(r), lambda x: x.named(3))),
    ("warnings and errors that name the fault (precision)", precision),
    ("healthy programs with a warning or error", lambda r: share(healthy(r), lambda x: x.alarmed)),
    (
        f"faults of a line: that line, or one within {NEAR}",
        lambda r: share([x for x in faulty(r) if x.case.program.lines], lambda x: x.right_line),
    ),
    (
        "... of those that are named",
        lambda r: share(
            [x for x in faulty(r) if x.case.program.lines and x.named(None)], lambda x: x.right_line
        ),
    ),
    ("time of a diagnosis, median and longest", times),
)


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """In Markdown."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def report(results: Results) -> str:
    """All figures."""
    parts = [part for part in PARTS if any(r.case.part == part for r in results)]
    by_part = {part: [r for r in results if r.case.part == part] for part in parts}
    counts = ["programs, faulty and healthy"]
    counts += [f"{len(faulty(r))} and {len(healthy(r))}" for r in by_part.values()]
    rows = [counts, *([title, *(figure(r) for r in by_part.values())] for title, figure in FIGURES)]
    texts = [table(["", *parts], rows)]
    texts += [f"### By fault: {part}\n\n{confusion(r)}" for part, r in by_part.items() if faulty(r)]
    judged = by_part.get("reporting") or results
    texts.append("### Confidence\n\n" + reliability(judged))
    return "\n\n".join(texts)


def confusion(results: Results) -> str:
    """For each fault how it is found, and what else is said of such programs."""
    rows = []
    names = sorted({r.case.expected for r in faulty(results) if r.case.expected})
    for name in names:
        those = [r for r in faulty(results) if r.case.expected == name]
        counts = [sum(r.named(among) for r in those) for among in (1, 3)]
        noticed = sum(r.detected for r in those)
        said = Counter(
            f.name + (" (also right)" if r.right(f) else "")
            for r in those
            for f in r.findings
            if f.loud and f.name != name
        )
        others = ", ".join(f"{other} {count}" for other, count in said.most_common())
        rows.append([f"`{name}`", str(len(those)), str(noticed), *map(str, counts), others])
    return table(
        ["fault", "programs", "noticed", "named first", "among 3", "other warnings and errors"], rows
    )


def reliability(results: Results) -> str:
    """Whether findings of a confidence are right as often as they say."""
    pairs = [(f.confidence, r.right(f)) for r in results for f in r.findings if f.loud]
    rows, error = [], 0.0
    for low, high in ((0.0, 0.5), (0.5, 0.7), (0.7, 0.9), (0.9, 1.01)):
        inside = [(said, right) for said, right in pairs if low <= said < high]
        if inside:
            said = statistics.mean(said for said, _ in inside)
            true = statistics.mean(right for _, right in inside)
            error += abs(said - true) * len(inside) / len(pairs)
            rows.append(
                [f"{low:.1f} to {min(high, 1.0):.1f}", str(len(inside)), f"{said:.2f}", f"{true:.2f}"]
            )
    rows.append(["all: mean difference", str(len(pairs)), "", f"{error:.2f}"])
    return table(["confidence", "warnings and errors", "said", "right"], rows)


def calibrated(results: Results, proving: Mapping[str, bool]) -> dict[str, float]:
    """The confidence of each rule.

    Log-odds of being right, shrunk towards those of all rules of its kind (that prove, that suspect) by as much as
    its own firings are few. What follows from another finding counts for neither. Advice is no accusation: where
    nobody wrote down whether it is true (a feature may well be constant in a healthy program) it doesn't count.

    Args:
        results: of the programs to learn from.
        proving: whether a rule proves, by name.
    """
    right: Counter[str] = Counter()
    wrong: Counter[str] = Counter()
    for result in results:
        for finding in result.findings:
            if finding.follows_from is None and (finding.loud or result.right(finding)):
                (right if result.right(finding) else wrong)[finding.name] += 1
    values = {}
    for name in proving:
        alike = [other for other in proving if proving[other] == proving[name]]
        pooled = _log_odds(sum(right[n] for n in alike), sum(wrong[n] for n in alike))
        seen = right[name] + wrong[name]
        weight = seen / (seen + PRIOR)
        odds = weight * _log_odds(right[name], wrong[name]) + (1 - weight) * pooled
        values[name] = round(min(1 / (1 + math.exp(-odds)), SUREST), 3)
    return values


def _log_odds(right: int, wrong: int) -> float:
    return math.log((right + 0.5) / (wrong + 0.5))


def details(results: Results) -> str:
    """What went wrong, with the recordings."""
    groups: tuple[tuple[str, list[Result]], ...] = (
        ("not watched well, or healthy and failed",
         [r for r in results if r.unseen or (r.code and not r.case.expected)]),
        ("healthy, but a warning or error", [r for r in healthy(results) if r.alarmed]),
        ("not noticed", [r for r in faulty(results) if not r.detected]),
        ("noticed, but not named among the first three",
         [r for r in faulty(results) if r.detected and not r.named(3)]),
        ("named, but not first", [r for r in faulty(results) if r.named(3) and not r.named(1)]),
        ("named, but another line",
         [r for r in faulty(results) if r.named(None) and r.case.program.lines and not r.right_line]),
        ("named first, and other warnings or errors",
         [r for r in faulty(results) if r.named(1) and any(f.loud and not r.right(f) for f in r.findings)]),
    )  # fmt: skip
    lines = []
    for title, those in groups:
        lines.append(f"\n## {title}: {len(those)}")
        lines += [_detail(r) for r in those]
    return "\n".join(lines)


def _detail(result: Result) -> str:
    found = [
        f"{f.name} [{f.severity}{f':{f.line}' if f.line else ''}{' <- ' + f.follows_from if f.follows_from else ''}]"
        for f in result.findings
    ]
    lines = f" lines {list(result.case.program.lines)}" if result.case.program.lines else ""
    lines += f" unseen {', '.join(result.unseen)}" if result.unseen else ""
    return (
        f"{result.case.program.name}{lines} exit {result.code} result {result.last_number} {result.verdict}\n"
        f"    {'; '.join(found) or 'nothing found'}\n    {result.folder}"
    )
