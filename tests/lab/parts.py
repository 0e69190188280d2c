"""The parts of the lab: which programs there are."""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

LAB = Path(__file__).parent
sys.path.insert(0, str(LAB))

from program import Program, Template, programs  # noqa: E402 - the modules of the parts import it so, too

WRITTEN = ("calibration", "reporting")  # parts whose programs are made of templates
PARTS = (*WRITTEN, "zoo")
NO_PROGRAM = ("digest", "conftest")


@dataclass(frozen=True)
class Case:
    """A program of a part.

    Args:
        part: calibration, reporting or zoo.
        program: what is run.
        path: where it lies, if it must be run there.
    """

    part: str
    program: Program
    path: Path | None = None

    @property
    def expected(self) -> str | None:
        """The name of its fault; None if it is healthy."""
        return self.program.fault and self.program.fault.name

    @property
    def right(self) -> tuple[str, ...]:
        """The findings that name its fault; none if it is healthy."""
        fault = self.program.fault
        return (fault.name, *fault.accept) if fault else ()


def templates(part: str) -> list[Template]:
    """Of the modules in a part's folder."""
    found: list[Template] = []
    for path in sorted((LAB / part).glob("*.py")):
        if path.stem not in NO_PROGRAM and not path.stem.startswith("_"):
            found += _loaded(path).TEMPLATES
    return found


def _loaded(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"lab_{path.parent.name}_{path.stem}", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def cases(part: str) -> list[Case]:
    """Of a part, healthy and faulty."""
    if part == "zoo":
        scripts = sorted(p for p in (LAB / "healthy").glob("*.py") if p.stem not in NO_PROGRAM)
        return [Case(part, Program(p.stem, p.read_text(), None), p) for p in scripts]
    return [Case(part, program) for template in templates(part) for program in programs(template)]
