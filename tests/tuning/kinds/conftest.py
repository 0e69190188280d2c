"""Small tables, quick plans, and a study that is interrupted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from fitwell.errors import Preempted
from fitwell.plan import Plan
from fitwell.study import StudyRecord
from fitwell.tuned import Quiet, Study, resume_study

QUICK: dict[str, Any] = {
    "model": "mlp", "hidden": (8,), "lr": 0.01, "epochs": 4, "batch_size": 16, "threads": 1, "dropout": 0.1,
}  # fmt: skip


class Interrupting(Quiet):
    """Interrupts the study when so many trials have ended."""

    def __init__(self, after: int) -> None:
        self.left = after

    def trial(self, told: Any, best: float | None = None) -> None:
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt


@pytest.fixture
def frame() -> pd.DataFrame:
    """120 rows, two columns that matter and four that don't; two classes with some noise."""
    draw = np.random.default_rng(0)
    values = draw.normal(size=(120, 6))
    found = pd.DataFrame(values, columns=list("abcdef"))
    return found.assign(y=np.where(values[:, 0] - values[:, 1] + draw.normal(size=120) > 0, "yes", "no"))


@pytest.fixture
def plan(frame: pd.DataFrame, tmp_path: Path) -> Plan:
    """A quick plan of the table, read from a file, so that a study of it can go on by itself."""
    frame.to_csv(tmp_path / "table.csv", index=False)
    return Plan(data=str(tmp_path / "table.csv")).change(**QUICK)


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    return tmp_path / "runs"


@pytest.fixture
def resumed(runs: Path) -> Callable[[Callable[..., Study]], tuple[Study, dict[int, int]]]:
    """Begin a study, interrupt it after two trials, go on with it.

    Returns:
        The study, and by number when the trials that had ended were last written.
    """

    def go_on(begin: Callable[..., Study]) -> tuple[Study, dict[int, int]]:
        with pytest.raises(Preempted):
            begin(observer=Interrupting(2))
        (folder,) = runs.iterdir()
        study = StudyRecord(folder)
        assert study.state == "preempted"
        ended = {one.number: written(one.path) for one in study.trials if one.state == "done"}
        assert len(ended) == 2
        return resume_study(folder, runs=runs), ended

    return go_on


def written(path: Path) -> int:
    return (path / "run.json").stat().st_mtime_ns


@pytest.fixture
def untouched() -> Callable[[Study, dict[int, int]], bool]:
    """Whether the trials that had ended were left as they are, and no number was used twice."""

    def look(study: Study, ended: dict[int, int]) -> bool:
        numbers = [one.number for one in study.trials]
        now = {one.number: written(one.path) for one in study.trials if one.number in ended}
        return now == ended and numbers == list(range(1, len(numbers) + 1))

    return look
