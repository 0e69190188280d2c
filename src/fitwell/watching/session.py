"""A session: one watching of this process, from its run directory to its result."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from weakref import WeakSet

from fitwell.diagnosing import diagnose
from fitwell.run import Run, create_run, runs_folder
from fitwell.run.files import write_json
from fitwell.run.lock import locked

if TYPE_CHECKING:
    from fitwell.watching.watcher import Watcher

BUDGET = 0.03  # of the wall time
NO_PARTS = ("batch", "window", "optimized")  # of signals that begin with ``loss/``
_SESSIONS: WeakSet[Session] = WeakSet()


class Companion(Protocol):
    """What goes along with a watcher, such as what-if forks."""

    def finish(self, wait: bool) -> None:
        """The program has ended: come to an end before the last facts are written, at once if there is no time."""

    def let_go(self) -> None:
        """In a forked process: do nothing any more."""


class Session:
    """Watches this process from ``start`` to ``stop``.

    Args:
        title: what is watched: the name of a script.
        program: what run.json says of it, such as its arguments.
        runs: the folder of runs.
        budget: the share of the wall time that watching may take.
        accompany: makes what goes along with the watcher, once that is in place.

    Raises:
        StorageError: the folder of runs can't be written.
    """

    def __init__(
        self,
        title: str,
        program: Mapping[str, Any],
        runs: str | Path | None = None,
        budget: float = BUDGET,
        accompany: Callable[[Watcher], Companion] | None = None,
    ) -> None:
        self.run = create_run(
            None, title, runs_folder(runs).absolute()
        )  # the program may go to another folder
        self.run.update(program=dict(program))
        self._held = ExitStack()
        self._held.enter_context(locked(self.run.path))
        self._started, self._pid, self._stopped = time.time(), os.getpid(), False
        self.budget = budget
        self.watcher: Watcher | None = None
        self._accompany = accompany
        self._companion: Companion | None = None
        _SESSIONS.add(self)

    def start(self) -> None:
        """Begin to watch: here torch is imported, if it was not before. Does nothing in a forked process.

        If that fails the program goes on unwatched, and the run says why.
        """
        if os.getpid() != self._pid:
            return
        watcher: Watcher | None = None
        try:
            from fitwell.watching.watcher import Watcher

            watcher = Watcher(self.run.path, self.budget)
            watcher.attach()
            self.watcher = watcher
        except Exception as error:
            if watcher is not None:
                watcher.let_go()
            self._could_not("everything", f"watching could not begin: {type(error).__name__}: {error}")
            return
        try:
            self._companion = self._accompany(watcher) if self._accompany else None
        except Exception as error:
            watcher.failed("experiments", error)

    def stop(self, failure: Mapping[str, Any] | None = None) -> None:
        """End the watching and write what came of it; may be called twice, and does nothing in a forked process.

        What fails in this is no reason to disturb the program: such as a full disk.

        Args:
            failure: what ended the program, if it did not end well: ``type``, ``message``, ``where``, ``operands``.
        """
        if os.getpid() != self._pid or self._stopped:
            return
        self._stopped = True
        with self._held:
            told: dict[str, Any] = {"error": f"{failure['type']}: {failure['message']}"} if failure else {}
            try:
                self._detach(failure)
            except Exception as error:
                self._could_not("the end", f"it could not be recorded: {type(error).__name__}: {error}")
            try:
                told["result"] = self._result()
            except Exception as error:
                self._could_not("the result", f"it could not be computed: {type(error).__name__}: {error}")
            with suppress(Exception):
                self.run.update(state=_state(failure), finished=time.time(), **told)

    def let_go(self) -> None:
        """In a forked process: leave torch as it was, and the lock to the process that is watched."""
        if self._companion is not None:
            self._companion.let_go()
        if self.watcher is not None:
            self.watcher.let_go()
        self._held.close()

    def _detach(self, failure: Mapping[str, Any] | None) -> None:
        if self._companion is not None:
            self._companion.finish(wait=failure is None)
        if self.watcher is not None:
            self.watcher.detach(failure)
        elif failure is not None:
            self._add_facts(failure=failure)

    def _could_not(self, what: str, why: str) -> None:
        """Say in the run what was not seen; if that fails, too, nobody is left to tell."""
        with suppress(Exception):
            self._add_facts(unseen=self.run.facts.get("unseen", {}) | {what: why})

    def _add_facts(self, **more: Any) -> None:
        write_json(self.run.path / "facts.json", {"schema": 1} | self.run.facts | more)

    def _result(self) -> dict[str, Any]:
        run, threads = Run(self.run.path), self.watcher.threads.all if self.watcher else []
        return {
            "run": str(run.path),
            "seconds": round(time.time() - self._started, 3),
            "epochs": max((thread.passes for thread in threads), default=0),
            "steps": sum(thread.steps for thread in threads),
            "parameters": sum(thread.about()["parameters"] for thread in threads),
            "metrics": _metrics(run),
            **diagnose(run).result,
        }


def _let_go() -> None:
    for session in list(_SESSIONS):
        session.let_go()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_let_go)


def _state(failure: Mapping[str, Any] | None) -> str:
    if failure is None:
        return "done"
    return "preempted" if failure["type"] == "KeyboardInterrupt" else "failed"


@contextmanager
def watching(
    title: str = "",
    *,
    runs: str | Path | None = None,
    budget: float = BUDGET,
    accompany: Callable[[Watcher], Companion] | None = None,
) -> Iterator[Run]:
    """Watch what the block trains; see ``fitwell.watch``."""
    session = Session(title or _title(), {"argv": sys.argv}, runs, budget, accompany)
    session.start()
    try:
        yield session.run
    except BaseException as error:
        from fitwell.watching.failure import failure_of

        session.stop(failure_of(error))
        raise
    else:
        session.stop()


def _title() -> str:
    """The name of the script that runs, or ``session`` in a notebook."""
    return Path(sys.argv[0]).stem if sys.argv and sys.argv[0].endswith(".py") else "session"


def _metrics(run: Run) -> dict[str, float]:
    """The last value of each loss and accuracy of the first thread, by part: ``val/accuracy``."""
    found: dict[str, tuple[float, float]] = {}
    before: dict[str, float] = {}  # when it was measured the last time but one
    for signal in run.signals():
        what, _, part = signal.partition("/")
        curve = run.curve(signal)
        if curve and what in ("loss", "accuracy") and part not in NO_PARTS and "/" not in part:
            name = f"{part}/{what}"
            found[name], before[name] = curve[-1], curve[-2][0] if len(curve) > 1 else 0.0
    latest = {name.split("/")[0]: epoch for name, (epoch, _) in found.items() if name.endswith("/loss")}
    end = max((epoch for epoch, _ in found.values()), default=0.0)
    # An accuracy of an earlier pass does not belong to this loss, and one of long ago is not that of the end.
    return {
        name: value
        for name, (epoch, value) in found.items()
        if epoch >= latest.get(name.split("/")[0], 0.0) and end - epoch <= epoch - before[name]
    }
