"""Remedies: what may mend a finding; one a file in ``fitwell/remedies``, found by the constant ``REMEDY``.

A remedy is proposed, tried beside a control and only then recommended: none is believed. It may act in three ways:
on a plan of fitwell's own, on a live training (a ``Change``), or on the program's text. A remedy gives those that it
has; of a script the text is changed if that is possible, for then what was tried is what is proposed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from fitwell.evidence import View
from fitwell.experiment import Change, Settings
from fitwell.patch import Code, Edit
from fitwell.plan import Plan


@dataclass(frozen=True)
class About:
    """What a remedy is asked about.

    Args:
        finding: its name.
        view: of the thread in which it was found.
        line: of the code that is given, where the finding lies; None if it is not known or is elsewhere.
        dose: how much of the remedy.
    """

    finding: str
    view: View
    line: int | None = None
    dose: Settings = field(default_factory=dict)


@dataclass(frozen=True)
class Remedy:
    """What may mend a finding.

    Args:
        says: what to do, in a sentence without a full stop; ``{factor:g}`` stands for a value of the dose.
        treats: the findings that it may mend, each with its place among the remedies of that finding: 1 is tried first.
        costs: what has to be paid for it.
        not_when: when it should not be used.
        doses: how much of it may be tried, the best guess first; the arguments of an intervention, for example.
        plan: the plan with the remedy; None if it can't be applied to this one, or changes nothing.
        live: the changes of a live training; empty if they can't be made.
        patch: the edits of a program's text; empty if the place is not found.
    """

    says: str
    treats: Mapping[str, int]
    costs: str
    not_when: str
    doses: tuple[Settings, ...] = ({},)
    plan: Callable[[Plan, About], Plan | None] | None = None
    live: Callable[[About], Sequence[Change]] | None = None
    patch: Callable[[Code, About], Sequence[Edit]] | None = None
