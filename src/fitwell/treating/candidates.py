"""What may be tried: the remedies for the findings of a run, the most promising first."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import dataclass

from fitwell.diagnosing import Diagnosis
from fitwell.diagnosis import Finding
from fitwell.discovery import members
from fitwell.errors import PlanError
from fitwell.evidence import View
from fitwell.experiment import Settings
from fitwell.remedy import Remedy
from fitwell.run import Run
from fitwell.run.view import thread_views
from fitwell.treatment import Treatment


@dataclass(frozen=True)
class Candidate:
    """A remedy for a finding.

    Args:
        finding: that it may mend.
        view: of the thread in which it was found, speaking of its subject.
        remedy: its file's name.
        dose: how much of it.
    """

    finding: Finding
    view: View
    remedy: str
    dose: Settings

    @property
    def says(self) -> str:
        """What to do, in words."""
        return remedies()[self.remedy].says.format_map(dict(self.dose))

    @property
    def last(self) -> bool:
        """Whether its finding is no cause of its own: all others are tried before."""
        return self.finding.follows_from is not None or self.finding.severity == "advice"


def remedies() -> dict[str, Remedy]:
    """All of them by name."""
    return members("fitwell.remedies", "REMEDY")


def known_remedy(name: str) -> str:
    """The name of a remedy as its file has it.

    Raises:
        PlanError: there is no such remedy.
    """
    wanted = name.replace("-", "_")
    if wanted in remedies():
        return wanted
    near = difflib.get_close_matches(wanted, remedies(), n=3)
    fix = f"did you mean {' or '.join(near)}?" if near else f"choose one of {', '.join(remedies())}"
    raise PlanError(f"no remedy is called {name!r}", "the name of a remedy", fix)


def candidates(run: Run, diagnosis: Diagnosis, most: int = 8, only: str | None = None) -> list[Candidate]:
    """What to try, in this order.

    What follows from another finding, and advice, come last. Before that first doses come before second ones, and
    the best remedy of a less likely cause before the third one of the likeliest.

    Args:
        run: that is treated.
        diagnosis: of it.
        most: candidates.
        only: the name of a remedy: no other is tried.
    """
    views = {view.thread: view for view in reversed(thread_views(run))}
    ordered: dict[tuple[str, str], tuple[tuple[int, ...], Candidate]] = {}
    for rank, finding in enumerate(diagnosis.findings):
        for place, number, name, dose in _treating(finding.name):
            if only in (None, name):
                found = Candidate(finding, _about(finding, views), name, dose)
                at = (int(found.last), number, rank + place, rank)
                ordered.setdefault((name, repr(sorted(dose.items()))), (at, found))
    return [found for _, found in sorted(ordered.values(), key=lambda each: each[0])][:most]


def confirms(made: Treatment) -> str:
    """The finding that a treatment proves: what its first remedy cures was the cause. Empty if it proves none."""
    cure = made.cure
    if (
        made.answer != "confirmed" or cure is None or cure.remedy not in remedies()
    ):  # or it is several remedies
        return ""
    return cure.finding if remedies()[cure.remedy].treats.get(cure.finding) == 1 else ""


def _treating(finding: str) -> Iterator[tuple[int, int, str, Settings]]:
    """The remedies of a finding: their place, number of the dose, name and dose."""
    for name, remedy in remedies().items():
        if finding in remedy.treats:
            for number, dose in enumerate(remedy.doses):
                yield remedy.treats[finding], number, name, dose


def _about(finding: Finding, views: dict[str, View]) -> View:
    view = views.get(finding.thread) or next(iter(reversed(views.values())))
    return view.about(finding.proof.subjects[0]) if finding.proof.subjects else view
