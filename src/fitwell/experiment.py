"""Experiments: a training as it is beside the same training with one thing changed.

A rule names the changes that would confirm its finding, a remedy those that it makes; both are plain data, so that
what reads or judges a run needs no torch. ``fitwell.treating`` carries them out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from statistics import fmean, stdev
from typing import Any, Literal

Settings = Mapping[str, Any]
Answer = Literal["confirmed", "refuted", "inconclusive"]


@dataclass(frozen=True)
class Change:
    """One thing that is changed in a live training.

    Args:
        intervention: the name of a file in ``fitwell/treating/interventions``.
        settings: its arguments, as JSON.
    """

    intervention: str
    settings: Settings = field(default_factory=dict)

    def plain(self) -> dict[str, Any]:
        """As JSON."""
        return {"intervention": self.intervention, "settings": dict(self.settings)}


@dataclass(frozen=True)
class Check:
    """The counterfactual that would confirm a finding: see ``docs/design.md``, What-if forks.

    Args:
        changes: any one of them is to help; each is an arm beside the training as it is.
        least: share of the loss at the end of the training as it is, by which the best arm's must be lower.
        steps: that each arm takes.
        fresh: whether all begin with weights drawn anew, also the training as it is: what the fault has done to the
            weights stays, and no change would help any more. Nor does a lower rate then look better than it is, as it
            does wherever noise is left.
    """

    changes: tuple[Change, ...]
    least: float = 0.1
    steps: int = 40
    fresh: bool = False


@dataclass(frozen=True)
class Arm:
    """How a training with one change did beside the training as it is, over the last steps of both.

    Args:
        change: as JSON.
        says: what is other, in words.
        of: ``loss`` or ``error`` (the share of wrong answers), whichever can be compared; less is better.
        mean: of it with the change; None if it was not finite.
        spread: its standard deviation.
        control_mean: the same as it is.
        control_spread: the same as it is.
        difference: in the mean, of the same batches; negative is better.
        low: end of its interval of confidence.
        high: its other end.
        stopped: why it took fewer steps than it should, or can't be compared.
    """

    change: Mapping[str, Any]
    says: str
    of: str
    mean: float | None
    spread: float | None
    control_mean: float | None
    control_spread: float | None
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    stopped: str | None = None

    @property
    def gain(self) -> float:
        """By how much it is better than the training as it is, as a share of that; infinite where only it is finite."""
        if self.mean is None:
            return -math.inf
        return math.inf if self.difference is None else self._share(self.difference)

    @property
    def sure(self) -> bool:
        """Whether it is better beyond doubt."""
        if self.low is None or self.high is None:
            return self.gain > 0
        return self.high < 0

    @property
    def worse(self) -> bool:
        """Whether it is worse beyond doubt."""
        return self.mean is None and self.control_mean is not None if self.low is None else self.low > 0

    def _share(self, difference: float) -> float:
        whole = abs(self.control_mean or 0.0)
        if not difference:
            return 0.0
        return -difference / whole if whole else math.copysign(math.inf, -difference)


@dataclass(frozen=True)
class Experiment:
    """A what-if fork that asked for a finding: see ``docs/design.md``.

    Args:
        finding: its name.
        thread: of the training.
        step: at which it began.
        steps: that each arm took, at most.
        seconds: that it took.
        arms: each with another change.
        answer: what it says of the finding.
        fresh: whether all began with weights drawn anew.
    """

    finding: str
    thread: str
    step: int
    steps: int
    seconds: float
    arms: tuple[Arm, ...]
    answer: Answer
    fresh: bool = False

    @property
    def best(self) -> Arm | None:
        """The arm that did best; None if none can be compared."""
        able = [arm for arm in self.arms if arm.mean is not None]
        return max(able, key=lambda arm: arm.gain, default=None)

    @property
    def start(self) -> str:
        """What all began from."""
        return "from new weights" if self.fresh else "from the same state"

    @property
    def says(self) -> str:
        """How the best arm did."""
        best = self.best
        if best is None:
            return "no change that was tried can be compared"
        return (
            f"with {best.says} the {best.of} is {_figure(best.mean, best.spread)} in {self.steps} steps, as it is "
            f"{_figure(best.control_mean, best.control_spread)}, {self.start}"
        )

    def plain(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)

    @staticmethod
    def from_plain(found: Mapping[str, Any]) -> Experiment:
        """The experiment that ``plain`` wrote."""
        return Experiment(**{**found, "arms": tuple(Arm(**arm) for arm in found["arms"])})


def _figure(mean: float | None, spread: float | None) -> str:
    """A mean with its spread, as people write it.

    >>> _figure(0.2134, 0.021), _figure(None, None)
    ('0.213 \N{PLUS-MINUS SIGN} 0.021', 'not finite')
    """
    return "not finite" if mean is None else f"{mean:.3g} \N{PLUS-MINUS SIGN} {spread or 0.0:.2g}"


@dataclass(frozen=True)
class Paired:
    """The differences of pairs, such as two trainings with the same seed: treated minus as it is.

    Args:
        mean: of the differences.
        low: end of the interval of confidence.
        high: its other end.
        pairs: how many.
    """

    mean: float
    low: float
    high: float
    pairs: int


# Student's t, two-sided, by degrees of freedom and level (Abramowitz and Stegun, table 26.10).
_T95 = (
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131,
)  # fmt: skip
_T99 = (
    63.657, 9.925, 5.841, 4.604, 4.032, 3.707, 3.499, 3.355, 3.250, 3.169, 3.106, 3.055, 3.012, 2.977, 2.947,
)  # fmt: skip
_NORMAL = {0.95: 1.960, 0.99: 2.576}


def paired(differences: Sequence[float], level: float = 0.95) -> Paired:
    """The mean of some differences and its interval by Student's t.

    Args:
        differences: finite, one for each pair.
        level: 0.95 or 0.99.

    Raises:
        ValueError: there are none.
    """
    if not differences:
        raise ValueError("there is no pair to compare")
    mean, count = fmean(differences), len(differences)
    if count < 2:
        return Paired(mean, -math.inf, math.inf, count)
    half = _student(count - 1, level) * stdev(differences) / math.sqrt(count)
    return Paired(mean, mean - half, mean + half, count)


def _student(freedom: int, level: float) -> float:
    """The quantile of Student's t; beyond the table by its expansion (Abramowitz and Stegun, 26.7.5)."""
    table = {0.95: _T95, 0.99: _T99}[level]
    if freedom <= len(table):
        return table[freedom - 1]
    z = _NORMAL[level]
    return z + (z**3 + z) / (4 * freedom) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)
