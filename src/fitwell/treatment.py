"""What came of a treatment: what was tried, how the trainings with and without it compare, what is recommended.

It is kept as ``treatment.json`` in the folder of the run that was treated; the trainings that it rests on are child
runs below ``trials/`` there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from fitwell.experiment import Answer, Paired

FILE = "treatment.json"
TRIALS = "trials"  # the folder of child runs
TREATED_PLAN = "treated_plan.json"  # beside it, of a run of fitwell's own whose treatment was confirmed
How = Literal["patch", "live", "plan"]


@dataclass(frozen=True)
class Outcome:
    """How a training ended.

    Args:
        run: its folder.
        seed: that it was run with; 0 is the program as it seeds itself.
        metrics: as in the result of a run: ``val/accuracy``, ``train/loss``.
        findings: the names of its findings of severity error or warning.
        verdict: one word on how well it fits.
        failed: what ended it, if it did not end well.
        seconds: that it took.
    """

    run: str
    seed: int
    metrics: Mapping[str, float]
    findings: tuple[str, ...] = ()
    verdict: str = ""
    failed: str | None = None
    seconds: float = 0.0


@dataclass(frozen=True)
class Trial:
    """Trainings with and without a treatment, with the same seeds.

    Args:
        answer: whether it helps; ``inconclusive`` if that is not clear.
        because: why, in a sentence.
        metric: by which they are compared: ``val/accuracy``.
        higher: whether more of it is better.
        seeds: in order.
        control: the metric of each seed as the training is; None if it was not finite, or the training failed.
        treated: the same with the treatment.
        difference: treated minus control; None if there are not two pairs of numbers.
        runs: the folders of the trainings, controls first.
    """

    answer: Answer
    because: str
    metric: str
    higher: bool
    seeds: tuple[int, ...]
    control: tuple[float | None, ...]
    treated: tuple[float | None, ...]
    difference: Paired | None
    runs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Tried:
    """A remedy that was tried.

    Args:
        remedy: its file's name.
        dose: how much of it.
        says: what to do.
        how: what was changed: the text of a program, the live training, or a plan.
        finding: that it was to mend.
        screened: the metric of one training with it; None if that failed.
        because: what was seen in that training, in a few words.
        trial: if it was tried further.
    """

    remedy: str
    dose: Mapping[str, Any]
    says: str
    how: How
    finding: str
    screened: float | None
    because: str
    trial: Trial | None = None


@dataclass(frozen=True)
class Treatment:
    """What came of the treatment of a run.

    Args:
        run: the folder of the run that was treated.
        answer: ``confirmed`` if a remedy is recommended.
        because: in a sentence.
        cure: the remedy that helps; None if none does.
        diff: what to change: a unified diff of the program, or of the plan; empty if a live change has no patch.
        costs: of the cure.
        not_when: of the cure.
        tried: everything that was tried, in order.
        metric: by which remedies were screened.
        control: the metric of the run as it was.
        seconds: that all took.
        confirms: the finding that the cure proves, if it is the first remedy for it; empty if none.
    """

    run: str
    answer: Answer
    because: str
    cure: Tried | None = None
    diff: str = ""
    costs: str = ""
    not_when: str = ""
    tried: tuple[Tried, ...] = ()
    metric: str = ""
    control: float | None = None
    seconds: float = 0.0
    confirms: str = ""

    def plain(self) -> dict[str, Any]:
        """As in treatment.json."""
        return {"schema": 1} | asdict(self)

    @staticmethod
    def from_plain(found: Mapping[str, Any]) -> Treatment:
        """The treatment that ``plain`` wrote."""
        values = {name: value for name, value in found.items() if name != "schema"}
        cure = values.pop("cure")
        tried = tuple(_tried(each) for each in values.pop("tried"))
        return Treatment(**values, cure=None if cure is None else _tried(cure), tried=tried)


def _tried(found: Mapping[str, Any]) -> Tried:
    trial = found["trial"]
    return Tried(**{**found, "trial": None if trial is None else _trial(trial)})


def _trial(found: Mapping[str, Any]) -> Trial:
    lists = {name: tuple(found[name]) for name in ("seeds", "control", "treated", "runs")}
    difference = found["difference"]
    return Trial(**{**found, **lists, "difference": None if difference is None else Paired(**difference)})
