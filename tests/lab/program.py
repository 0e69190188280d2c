"""Programs of the lab: a template that learns well, and what is changed in it to make it faulty.

A module in ``calibration/`` or ``reporting/`` has a constant ``TEMPLATES``. The limits of rules may be set by what
is seen in the first; the second is only for reporting.
"""

from __future__ import annotations

from dataclasses import dataclass

Edits = tuple[tuple[str, str], ...]  # old and new text; the old one stands in the template exactly once
MARK = "  # FAULT"  # at the end of the lines that a finding should name; it is not in the program


@dataclass(frozen=True)
class Fault:
    """A fault that is put into a template.

    Args:
        name: the finding that names it.
        edits: what is changed; a line of the new text that ends with MARK is where the fault is.
        accept: findings that name it as well, such as another view of the same cause.
        note: what tells it from other faults of that name, such as how strong it is.
    """

    name: str
    edits: Edits
    accept: tuple[str, ...] = ()
    note: str = ""


@dataclass(frozen=True)
class Template:
    """A training program that learns well.

    Args:
        name: unique in the lab.
        source: the program; it takes a second or two on one thread and prints what its author would.
        faults: that are put into it, one at a time.
        variants: edits that leave it healthy, by name: other optimizers, sizes, seeds, styles.
    """

    name: str
    source: str
    faults: tuple[Fault, ...] = ()
    variants: tuple[tuple[str, Edits], ...] = ()


@dataclass(frozen=True)
class Program:
    """A program to run.

    Args:
        name: unique in the lab.
        source: its text.
        fault: that is in it; None if it is healthy.
        lines: where the fault is, counted from 1; empty if it is in no line.
    """

    name: str
    source: str
    fault: Fault | None
    lines: tuple[int, ...] = ()


def programs(template: Template) -> list[Program]:
    """The healthy programs and the faulty ones of a template."""
    healthy = [Program(template.name, template.source, None)]
    for name, edits in template.variants:
        healthy.append(Program(f"{template.name}-{name}", edited(template, edits), None))
    faulty = []
    for number, fault in enumerate(template.faults):
        lines = edited(template, fault.edits).splitlines()
        marked = tuple(i for i, line in enumerate(lines, start=1) if line.endswith(MARK))
        source = "\n".join(line.removesuffix(MARK) for line in lines) + "\n"
        faulty.append(Program(f"{template.name}-{number:02}-{fault.name}", source, fault, marked))
    return healthy + faulty


def edited(template: Template, edits: Edits) -> str:
    """The source with some texts exchanged.

    Raises:
        ValueError: a text to be exchanged does not stand in the template exactly once.
    """
    source = template.source
    for old, new in edits:
        if source.count(old) != 1:
            raise ValueError(f"{template.name}: {old!r} stands {source.count(old)} times in the source")
        source = source.replace(old, new)
    return source
