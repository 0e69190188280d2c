"""The trainings that a treatment takes: each is run once, as long as there is time, and recorded below the run."""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

from fitwell.run import Run
from fitwell.run.files import storage
from fitwell.treating.reruns.changed import AS_IT_IS, Changed
from fitwell.treating.reruns.rerun import Rerun
from fitwell.treating.reruns.touched_files import bring_back, put_back, set_aside
from fitwell.treatment import TRIALS, Outcome
from fitwell.watching.launch import Program

Start = Callable[[Rerun, float | None], Outcome]
SLOWER = 10  # times the first run, and
MARGIN = 60.0  # seconds: a training that takes longer hangs, or is no help


class NoTime(Exception):  # noqa: N818 - it is no failure
    """The time for the treatment is over."""


class Trainings:
    """Of one program; to be used as a context, at whose end the files of the first run are all back.

    Args:
        program: which.
        folder: where it is started.
        runs: the folder of runs, absolute.
        start: runs it.
        seconds: for everything; None for no limit.
    """

    def __init__(
        self, program: Program, folder: str, runs: Path, start: Start, seconds: float | None = None
    ) -> None:
        self.program, self.folder, self.runs, self.start = program, folder, runs, start
        self.began = time.monotonic()
        self.until = self.began + (math.inf if seconds is None else seconds)
        self._first: Outcome | None = None
        self._longest, self._kept = 0.0, Path()
        self._known: dict[tuple[str, int], Outcome] = {}

    def __enter__(self) -> Trainings:
        with storage(self.runs):
            self.runs.mkdir(parents=True, exist_ok=True)
            self._kept = Path(tempfile.mkdtemp(prefix=".kept-", dir=self.runs))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        bring_back(self._kept)
        put_back(self._kept, lambda _: False)

    @property
    def first_outcome(self) -> Outcome:
        """Of the run that is treated."""
        assert self._first is not None  # noqa: S101 - there are no trainings without it
        return self._first

    @property
    def run(self) -> Run:
        """The one that is treated."""
        return Run(self.first_outcome.run)

    def first(self) -> None:
        """Train as it is: the run that is treated. Its files stay, but until the end checkpoints are out of the way."""
        left = self.until - time.monotonic()
        self.begin_with(self.start(self._what(AS_IT_IS, 0, self.runs, ""), left if left < math.inf else None))
        set_aside(self._kept)

    def begin_with(self, first: Outcome) -> None:
        """Take the outcome of a run that was made before."""
        self._first, self._longest = first, first.seconds

    def outcome(self, changed: Changed, seed: int) -> Outcome:
        """How a training with a change ends; its losses are left out if they are none that the program has as it is.

        Raises:
            NoTime: there is not enough time for one more.
            RunError: it would overwrite a file that is too large to be kept.
        """
        key = repr((sorted(changed.sources.items()), changed.changes)), seed
        if key not in self._known:
            left = self.until - time.monotonic()
            if left < self._longest:
                raise NoTime
            what = self._what(changed, seed, self.run.path / TRIALS, self.run.name)
            limit = SLOWER * self.first_outcome.seconds + MARGIN
            found = self.start(what, min(left, limit))
            if found.failed and time.monotonic() > self.until:
                raise NoTime
            self._longest = max(self._longest, found.seconds)
            self._known[key] = _comparable(found, _losses(self.run))
        return self._known[key]

    def _what(self, changed: Changed, seed: int, runs: Path, parent: str) -> Rerun:
        kept = runs / ".kept" if parent else self._kept
        name, arguments, module = self.program.name, tuple(self.program.arguments), self.program.is_module
        return Rerun(
            name, arguments, module, self.folder, str(runs), parent, seed, changed.changes, changed.sources, str(kept)
        )  # fmt: skip


def _losses(run: Run) -> set[str]:
    """The functions that measured a loss, with their arguments."""
    places: list[Mapping[str, Any]] = (run.facts.get("signals", {}).get("loss_inputs") or {}).get(
        "places", []
    )
    return {f"{place.get('function')} {place.get('arguments')}" for place in places}


def _comparable(found: Outcome, losses: set[str]) -> Outcome:
    """Cross-entropy is not to be compared with a squared error."""
    other = _losses(Run(found.run))
    if not losses or not other or losses == other:
        return found
    return replace(found, metrics={n: v for n, v in found.metrics.items() if not n.endswith("/loss")})
