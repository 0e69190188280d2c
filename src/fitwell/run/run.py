"""Run: a view of one run directory. It reads numbers and texts; nothing here needs torch."""

from __future__ import annotations

import json
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fitwell.errors import DamagedError, PlanError, RunError
from fitwell.run.events import read_events
from fitwell.run.files import read_json, write_json
from fitwell.run.lock import is_locked

if TYPE_CHECKING:
    from fitwell.plan import Plan

SCHEMA = 1


class Run:
    """A training that was recorded.

    Raises:
        RunError: the folder holds no run.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        if not (self.path / "run.json").is_file():
            raise RunError(f"{self.path} holds no run", "a folder with run.json", "see `fitwell runs`")

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.path.name

    @property
    def info(self) -> dict[str, Any]:
        """run.json as it is now: schema, state, times, versions, seed, parent, result.

        Raises:
            DamagedError: it is not what fitwell wrote.
        """
        path = self.path / "run.json"
        info = read_json(path)
        if not isinstance(info, dict) or "state" not in info:
            raise DamagedError(
                f"{path} holds no state of a run",
                "the JSON that fitwell wrote",
                "restore it, or train again",
            )
        return info

    def update(self, **values: Any) -> None:
        """Replace values of run.json, atomically."""
        write_json(self.path / "run.json", self.info | values)

    @property
    def state(self) -> str:
        """One of running, done, failed, preempted; a run whose process was killed counts as preempted."""
        state = str(self.info["state"])
        return "preempted" if state == "running" and not is_locked(self.path) else state

    @property
    def watched(self) -> bool:
        """Whether this was a foreign training that fitwell only watched: then there is no plan."""
        return "program" in self.info

    @property
    def study(self) -> str:
        """The kind of study that this is, many trainings as one; empty if it is one training."""
        told = self.info.get("study")
        return str(told.get("kind") or "") if isinstance(told, dict) else ""

    @property
    def facts(self) -> dict[str, Any]:
        """What was seen beyond the numbers of steps: models, threads, what each signal knows; empty without it."""
        path = self.path / "facts.json"
        return dict(read_json(path)) if path.exists() else {}

    @property
    def plan(self) -> Plan:
        """The plan, with everything that was decided from the data.

        Raises:
            DamagedError: plan.json is missing, or no plan.
        """
        from fitwell.plan import Plan  # it takes longer to import than all the rest

        path = self.path / "plan.json"
        try:
            return Plan.from_json(json.dumps(read_json(path)))
        except PlanError as error:
            raise DamagedError(
                f"{path} is damaged: {error.happened}",
                "the plan that fitwell wrote",
                "restore it, or train again",
            ) from None

    @property
    def result(self) -> dict[str, Any]:
        """What ``train --json`` prints: run, seconds, epochs, steps, parameters, metrics, verdict, findings.

        Raises:
            RunError: the run has not finished.
        """
        result = self.info.get("result")
        if result is None:
            raise RunError(
                f"run {self.name} is {self.state}: it has no result yet",
                "a finished run",
                f"`fitwell resume {self.name}` trains it to its end",
            )
        return dict(result)

    @property
    def metrics(self) -> dict[str, float]:
        """The final figures by name: ``train/loss``, ``val/accuracy``, ``test/accuracy``, ..."""
        return dict(self.result["metrics"])

    @property
    def verdict(self) -> str:
        """One word on how well it fits: see ``fitwell.verdict``."""
        return str(self.result["verdict"])

    @property
    def events_path(self) -> Path:
        """The event log."""
        return self.path / "events.jsonl"

    @property
    def evaluation(self) -> dict[str, Any]:
        """Confusion matrix and worst mistakes on held-out data; empty where there are none."""
        path = self.path / "evaluation.json"
        return dict(read_json(path)) if path.exists() else {}

    @cached_property
    def events(self) -> list[dict[str, Any]]:
        """Every recorded event, oldest first (read once)."""
        return list(read_events(self.events_path))

    def curve(self, signal: str) -> list[tuple[float, float]]:
        """The values of a signal as (epoch, value), oldest first; empty if it was not recorded."""
        return [
            (event["epoch"], event["signals"][signal])
            for event in self.events
            if event["signals"].get(signal) is not None
        ]

    def signals(self) -> list[str]:
        """The names of all recorded signals."""
        return sorted({name for event in self.events for name in event["signals"]})

    def to_frame(self) -> Any:
        """The events as a ``pandas.DataFrame``.

        Returns:
            One row a step (the index, in order of recording) with the columns ``epoch`` (float), ``time``
            (seconds since 1970) and, sorted by name, every signal as float; NaN is what was not recorded or
            not finite. Several events of one step share its row, in which the latest value counts.
        """
        # By name: whoever only reads a run needs no pandas, and the layers forbid to import it here.
        pandas = import_module("pandas")
        rows: dict[int, dict[str, float | None]] = {}
        for event in self.events:
            row = {"epoch": event["epoch"], "time": event["time"], **event["signals"]}
            rows.setdefault(event["step"], {}).update(row)
        return pandas.DataFrame(
            list(rows.values()),
            index=pandas.Index(list(rows), name="step", dtype=int),
            columns=["epoch", "time", *self.signals()],
            dtype=float,
        )

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r}, {self.state})"
