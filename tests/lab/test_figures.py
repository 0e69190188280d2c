"""The figures of ``benchmarks/diagnosis.py`` count what their titles say."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
from diagnosis_figures import FIGURES, Named, Result, calibrated, confusion, details, reliability, report
from diagnosis_latency import stopped
from parts import Case
from program import Fault, Program


def result(
    *found: tuple[str, str, int | None], fault: Fault | None = None, lines: tuple[int, ...] = ()
) -> Result:
    case = Case("calibration", Program("a-program", "import torch\nprint(1)\n", fault, lines))
    named = tuple(Named(name, severity, 0.8, line, None) for name, severity, line in found)
    return Result(case, "/tmp/a-program", 0, "1", "broken", named)


FAULT = Fault("learning-rate-too-high", (), accept=("exploding-gradients",))
RESULTS = [
    result(("learning-rate-too-high", "warning", 8), fault=FAULT, lines=(10,)),
    result(("dead-units", "warning", None), ("exploding-gradients", "error", 30), fault=FAULT, lines=(10,)),
    result(("unused-parameters", "advice", None), fault=FAULT),
    result(),
    result(("dead-units", "warning", None)),
    result(("constant-feature", "advice", None)),
]


@pytest.mark.parametrize(
    ("title", "figure"),
    [
        ("recall", "66.7% (2 of 3)"),
        ("top 1", "33.3% (1 of 3)"),
        ("first three", "66.7% (2 of 3)"),
        ("precision", "66.7% (2 of 3)"),
        ("healthy programs", "33.3% (1 of 3)"),
        ("faults of a line", "50.0% (1 of 2)"),
    ],
)
def test_a_figure(title: str, figure: str) -> None:
    (compute,) = [compute for name, compute in FIGURES if title in name]
    assert compute(RESULTS) == figure


def test_advice_that_names_the_fault_counts_as_noticed() -> None:
    fault = Fault("unused-parameters", ())
    assert result(("unused-parameters", "advice", None), fault=fault).detected


def test_confidence_follows_the_record_of_a_rule_and_starts_from_its_kind() -> None:
    names = ("learning-rate-too-high", "exploding-gradients", "dead-units", "never-seen")
    values = calibrated(RESULTS, dict.fromkeys(names, False) | {"proof": True})
    assert values["dead-units"] < values["never-seen"] < values["learning-rate-too-high"] < 1
    assert values["proof"] == 0.5  # nothing is known of rules of that kind


def test_the_report_names_what_else_was_found() -> None:
    assert "| `learning-rate-too-high` | 3 | 2 | 1 | 2 |" in confusion(RESULTS)
    assert "dead-units 1" in confusion(RESULTS)
    assert "| 0.7 to 0.9 | 4 | 0.80 | 0.50 |" in reliability(RESULTS)
    assert "3 and 3" in report(RESULTS)
    assert "## not noticed: 1\n" in details(RESULTS)


def test_a_stopped_program_keeps_its_lines() -> None:
    fault = Fault("gradients-not-cleared", ())
    case = Case(
        "calibration", Program("a", '"""Doc."""\nimport torch\nfrom a import (\n b)\nprint(1)\n', fault)
    )
    (short,) = stopped([case])
    lines = short.program.source.splitlines()
    assert (lines[0], lines[2:]) == ('"""Doc."""', ["from a import (", " b)", "print(1)"])
    assert "sys.exit" in lines[1]
