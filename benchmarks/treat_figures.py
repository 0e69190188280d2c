"""The figures of ``treat.py``, printed as Markdown."""

from __future__ import annotations

import json
import math
import statistics
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "lab"))

from parts import Case

ENOUGH = 0.9  # share of the gain of the program without the fault
NEAR = 0.1  # where the faulty program has no number: how near to the healthy one's, as a share of it
# What nobody can mend by changing the program's training: the data is what it is, or the printed number is the fault.
NOT_FIXABLE = (
    "label-noise",
    "labels-unrelated-to-input",
    "too-little-data",
    "distribution-shift",
    "train-validation-overlap",
    "metric-wrong",
)

Numbers = Sequence[float | None]


@dataclass(frozen=True)
class Mended:
    """What came of one program."""

    case: Case
    found: dict[str, Any]

    @staticmethod
    def read(path: Path, case: Case) -> Mended | None:
        """From the file that ``treat.py`` wrote; None if there is none."""
        return Mended(case, json.loads(path.read_text())) if path.exists() else None

    @property
    def fault(self) -> str:
        """Its name."""
        assert self.case.expected
        return self.case.expected

    @property
    def fixable(self) -> bool:
        """Whether the program without the fault is clearly better, and a change of the program can lead there."""
        healthy = _finite(self.found["healthy"])
        if self.fault in NOT_FIXABLE or len(healthy) < len(self.found["healthy"]):
            return False
        faulty = _finite(self.found["faulty"])
        if len(faulty) < len(self.found["faulty"]):
            return True
        gap = abs(statistics.fmean(healthy) - statistics.fmean(faulty))
        noise = statistics.stdev(healthy) + statistics.stdev(faulty)
        return gap > max(2 * noise, 0.02 * abs(statistics.fmean(healthy)))

    def share(self, of: Numbers | None) -> float:
        """The share of the healthy program's gain, from -1 to 1; 0 if nothing was changed."""
        if of is None:
            return 0.0
        shares = [_share(*each) for each in zip(of, self.found["healthy"], self.found["faulty"], strict=True)]
        return statistics.fmean(shares)

    @property
    def answer(self) -> str:
        """Of the treatment."""
        return (
            str(self.found["treatment"]["answer"])
            if self.found["treatment"]["tried"]
            else "nothing was tried"
        )

    @property
    def remedy(self) -> str:
        """That was taken."""
        cure = self.found["treatment"]["cure"]
        return f"{cure['remedy']} ({cure['how']})" if cure else "-"

    @property
    def fails_on_fresh_seeds(self) -> bool | None:
        """Whether a confirmed cure does no good on five seeds that it was not tried with."""
        if self.found["fresh"] is None or self.answer != "confirmed":
            return None
        control, treated = self.found["fresh"]["control"], self.found["fresh"]["treated"]
        if len(_finite(treated)) < len(_finite(control)):
            return True
        if len(_finite(control)) < len(control):
            return False
        sign = self._direction(control)
        return statistics.fmean(sign * (t - c) for t, c in zip(treated, control, strict=True)) <= 0

    def _direction(self, control: Numbers) -> float:
        """1 if larger numbers are better, -1 if smaller ones are: the program without the fault is the better one."""
        healthy = statistics.fmean(_finite(self.found["healthy"]) or [0.0])
        return math.copysign(1.0, healthy - statistics.fmean(_finite(control) or [0.0]))


def _finite(numbers: Numbers) -> list[float]:
    return [n for n in numbers if n is not None and math.isfinite(n)]


def _share(treated: float | None, healthy: float | None, faulty: float | None) -> float:
    if treated is None or healthy is None:
        return 0.0 if faulty is None else -1.0
    if faulty is None:
        return float(abs(treated - healthy) <= NEAR * max(abs(healthy), 0.1))
    gap = healthy - faulty
    return max(-1.0, min(1.0, (treated - faulty) / gap)) if gap else 0.0


def report(results: Sequence[Mended]) -> str:
    """All figures."""
    fixable = [r for r in results if r.fixable]
    if not fixable:
        return "no fixable program"
    ours = [r.share(r.found["cured"]) >= ENOUGH for r in fixable]
    chance = [r.share(r.found["chance"]) >= ENOUGH for r in fixable]
    fresh = [f for r in results if (f := r.fails_on_fresh_seeds) is not None]
    confirmed = Counter(r.answer for r in fixable)
    trainings = statistics.median(r.found["trainings"] for r in fixable)
    lines = [
        "| | |",
        "| --- | --- |",
        f"| faulty programs | {len(results)}, of them fixable {len(fixable)} |",
        f"| mended: 90 % of the reference's gain, three seeds | {_percent(ours)} |",
        f"| random search, as many trainings | {_percent(chance)} |",
        f"| mean share of the gain: treated, by chance | {_mean(fixable, 'cured')}, {_mean(fixable, 'chance')} |",
        f"| answers | {', '.join(f'{name} {count}' for name, count in confirmed.most_common())} |",
        f"| confirmed cures that do no good on five fresh seeds | {_percent(fresh) if fresh else 'none'} |",
        f"| trainings a treatment, median | {trainings:g} |",
    ]
    return "\n".join(lines)


def _percent(held: Sequence[bool]) -> str:
    return f"{100 * sum(held) / len(held):.1f} % ({sum(held)} of {len(held)})"


def _mean(results: Sequence[Mended], what: str) -> str:
    return f"{statistics.fmean(r.share(r.found[what]) for r in results):.2f}"


def details(results: Sequence[Mended]) -> str:
    """Every program."""
    lines = [
        "",
        "| program | fixable | remedy | answer | share | by chance | healthy | faulty |",
        "|" + " --- |" * 8,
    ]
    for r in sorted(results, key=lambda r: (not r.fixable, r.share(r.found["cured"]))):
        numbers = [_shown(r.found[name]) for name in ("healthy", "faulty")]
        shares = [f"{r.share(r.found[name]):.2f}" for name in ("cured", "chance")]
        cells = [r.case.program.name, "yes" if r.fixable else "no", r.remedy, r.answer, *shares, *numbers]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _shown(numbers: Numbers) -> str:
    found = _finite(numbers)
    return f"{statistics.fmean(found):.4g}" if found else "-"
