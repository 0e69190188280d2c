"""Run a program again, in a process of its own: watched, with another seed, and with one thing changed."""

from __future__ import annotations

import json
import math
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from fitwell.errors import RunError
from fitwell.experiment import Change
from fitwell.run import Run, list_runs
from fitwell.run.files import storage
from fitwell.treating.aims import has_rivals
from fitwell.treating.reruns.touched_files import put_back
from fitwell.treating.verify import NOT_FINITE
from fitwell.treatment import Outcome

LOG = "stdout.log"
GRACE = 5.0  # seconds between the polite signal and the other one


@dataclass(frozen=True)
class Rerun:
    """What is run.

    Args:
        name: the path of the script, or the name of the module.
        arguments: that it is given.
        is_module: which of the two.
        folder: where the program is started.
        runs: the folder in which the run is recorded.
        parent: the name of the run that is treated; empty if this is it: then its output is shown on stderr.
        seed: 0 leaves the program's seeds alone; any other one shifts each seed that it sets, and seeds what it does
            not seed.
        changes: of the live training.
        sources: the text that is run in the place of a file, by its absolute path.
        kept: a folder in which every file is kept as it was before the program touches it; empty for none.
    """

    name: str
    arguments: tuple[str, ...]
    is_module: bool
    folder: str
    runs: str
    parent: str
    seed: int = 0
    changes: tuple[Change, ...] = ()
    sources: Mapping[str, str] = field(default_factory=dict)
    kept: str = ""

    def plain(self) -> dict[str, Any]:
        """As JSON."""
        return vars(self) | {"changes": [change.plain() for change in self.changes]}

    @staticmethod
    def from_plain(found: Mapping[str, Any]) -> Rerun:
        """What ``plain`` wrote."""
        changes = tuple(Change(**change) for change in found["changes"])
        return Rerun(**{**found, "arguments": tuple(found["arguments"]), "changes": changes})


def rerun(what: Rerun, seconds: float | None = None) -> Outcome:
    """Run a program to its end, or for as long as it may take.

    Files that a rerun touches are put back afterwards; those of the run that is treated stay.

    Args:
        what: is run.
        seconds: after which it is stopped; None for no limit.

    Raises:
        RunError: the program could not begin, or would overwrite a file that is too large to be kept.
    """
    with tempfile.TemporaryDirectory(prefix="fitwell-") as folder:
        spec, log = Path(folder) / "rerun.json", Path(folder) / LOG
        spec.write_text(json.dumps(what.plain()))

        def begin() -> _Process:
            output = os.open(log, os.O_WRONLY | os.O_CREAT, 0o600) if what.parent else os.dup(2)
            command = [sys.executable, "-m", "fitwell.treating.reruns.run_here", str(spec)]
            null = subprocess.DEVNULL
            try:
                return _Process(
                    subprocess.Popen(
                        command,
                        cwd=what.folder,
                        stdin=null,
                        stdout=output,
                        stderr=output,
                        start_new_session=True,
                    )
                )
            finally:
                os.close(output)

        return _recorded(what, seconds, begin, log)


def forked_rerun(what: Rerun, seconds: float | None = None) -> Outcome:
    """The same in a fork of this process: quicker, for torch is imported already, and only right if no thread runs.

    The output always goes to the folder of the run.
    """
    return _recorded(what, seconds, lambda: _Process(_Fork(what)), Path(os.devnull))


def _recorded(what: Rerun, seconds: float | None, begin: Callable[[], _Process], log: Path) -> Outcome:
    """Let a process make a run, and say how it ended."""
    with storage(Path(what.runs)):
        Path(what.runs).mkdir(parents=True, exist_ok=True)
    known = {run.name for run in list_runs(what.runs)}
    began = time.monotonic()
    try:
        code, late = begin().ended(seconds)
    finally:
        if what.parent and what.kept:
            put_back(Path(what.kept))
    took = time.monotonic() - began
    made = [run for run in list_runs(what.runs) if run.name not in known]
    if not made:
        said = log.read_text(errors="replace")[-2000:] if log.exists() else ""
        text = f"{what.name} could not be run: its process ended with code {code}\n{said}".strip()
        raise RunError(text, "a program that runs with `fitwell watch`", "try that")
    stopped = f"it was stopped after {took:.0f} s" if late else None
    return outcome(made[-1], what.seed, stopped or _killed(code), took)


def outcome(run: Run, seed: int, failed: str | None = None, seconds: float = 0.0) -> Outcome:
    """How a training ended, as its run tells.

    Args:
        run: that was watched.
        seed: that it was run with.
        failed: what ended it from outside.
        seconds: that it took, if the run does not tell.
    """
    info = run.info
    result = info.get("result") or {}
    told = {"failed": info.get("error"), "preempted": "it was interrupted"}.get(info["state"])
    if failed or not result:
        run.update(state="failed", error=failed or told or "it ended without a result")
    findings = [f["name"] for f in result.get("findings", []) if _counts(f)]
    metrics = result.get("metrics", {})
    if has_rivals(run):
        metrics = {name: each for name, each in metrics.items() if not name.startswith("train/")}
    return Outcome(
        run=str(run.path),
        seed=seed,
        metrics=_one_held_out(metrics),
        findings=tuple(findings),
        verdict=result.get("verdict", ""),
        failed=failed or told or (None if result else "it ended without a result"),
        seconds=round(float(result.get("seconds", seconds)), 3),
    )


def _one_held_out(metrics: Mapping[str, float]) -> dict[str, float]:
    """With the only held-out part called ``val``: what it is called depends on how the training goes, too."""
    parts = {name.partition("/")[0] for name in metrics} - {"train", "train_evaluated"}
    if len(parts) != 1:
        return dict(metrics)
    (part,) = parts
    return {re.sub(f"^{re.escape(part)}/", "val/", name): value for name, value in metrics.items()}


def _counts(finding: Mapping[str, Any]) -> bool:
    """Also what follows from another finding, if nothing can be learned then."""
    return finding["severity"] in ("error", "warning") or finding["name"] == NOT_FINITE


class _Started(Protocol):
    """A process that leads a group of its own."""

    pid: int

    def poll(self) -> int | None:
        """Its exit code, negative if a signal ended it; None while it runs."""


class _Process:
    """What was started, and has to be ended with all that it started itself."""

    def __init__(self, started: _Started) -> None:
        self.started = started

    def ended(self, seconds: float | None) -> tuple[int, bool]:
        """Its exit code, and whether it was stopped for its time."""
        try:
            code = self._waited(math.inf if seconds is None else seconds)
            return (self._stopped(), True) if code is None else (code, False)
        finally:  # also if this process is interrupted
            self._stopped()

    def _waited(self, seconds: float) -> int | None:
        late, pause = time.monotonic() + seconds, 0.001
        while (code := self.started.poll()) is None and time.monotonic() < late:
            time.sleep(pause)
            pause = min(2 * pause, 0.05)
        return code

    def _stopped(self) -> int:
        """Ask it to end, so that it can write what it has; then end it."""
        code = self.started.poll()
        if code is None:
            self._signal(signal.SIGINT)
            code = self._waited(GRACE)
        self._signal(signal.SIGKILL)  # also its workers, which would go on
        ended = self._waited(math.inf) if code is None else code
        assert ended is not None  # noqa: S101 - it was waited for without a limit
        return ended

    def _signal(self, number: int) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.started.pid, number)


class _Fork:
    """A fork of this process that becomes a program."""

    def __init__(self, what: Rerun) -> None:
        self._code: int | None = None
        sys.stdout.flush()
        sys.stderr.flush()
        self.pid = os.fork()
        if not self.pid:
            from fitwell.treating.reruns.run_here import become

            become(what)

    def poll(self) -> int | None:
        """Its exit code; None while it runs."""
        if self._code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self._code = os.waitstatus_to_exitcode(status) if pid else None
        return self._code


def _killed(code: int) -> str | None:
    """What ended a process that could not tell."""
    if code >= 0 or code == -signal.SIGINT:
        return None
    return f"it was killed by {signal.Signals(-code).name}"
