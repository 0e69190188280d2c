"""The training that a library tells a callback of: begins and ends the session that watches it."""

from __future__ import annotations

import atexit
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fitwell.errors import FitwellError
from fitwell.run import Run
from fitwell.watching.failure import explain
from fitwell.watching.session import Session
from fitwell.watching.source import user_frame

if TYPE_CHECKING:
    from torch import nn

UNENDED = {"type": "Unended", "message": "the library did not say that the training ended", "where": None}


class Training:
    """One training at a time is watched; others that run beside it in other threads are not.

    Args:
        runs: the folder of runs.
        budget: the share of the wall time that watching may take.
    """

    def __init__(self, runs: str | Path | None, budget: float) -> None:
        self.runs, self.budget = runs, budget
        self.run: Run | None = None
        self._session: Session | None = None

    def begin(self, model: nn.Module) -> None:
        """The training of a model begins; what this thread began before and did not end has failed."""
        from fitwell.watching.watcher import Watcher

        if _begun and _begun[0][1] == threading.get_ident():
            _begun[0][0].abandon()
        if _begun or Watcher.attached is not None:  # by `fitwell watch`
            return
        self._session = session = Session(type(model).__name__, {"argv": sys.argv}, self.runs, self.budget)
        self.run = session.run
        _begun.append((self, threading.get_ident()))
        atexit.register(self.abandon)
        session.start()
        if session.watcher is not None:
            # The library may call its parts one by one: they are its layers all the same.
            session.watcher.models.called(model, user_frame())

    def forget(self) -> None:
        """What was evaluated since the last step is not to be recorded."""
        if self._session is not None and self._session.watcher is not None:
            self._session.watcher.phases.forget()

    def end(self, error: BaseException | None = None) -> None:
        """The training has ended, by itself or by an exception."""
        self._end(None if error is None else explain(error))

    def abandon(self) -> None:
        """The training goes on no more, and nobody said why: what ended the program will be why."""
        error = getattr(sys, "last_value", None)
        self._end(dict(UNENDED) if error is None else explain(error))

    def _end(self, failure: dict[str, Any] | None) -> None:
        session, self._session = self._session, None
        _begun[:] = [entry for entry in _begun if entry[0] is not self]
        atexit.unregister(self.abandon)
        if session is not None:
            session.stop(failure)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_session": None}  # what is copied or saved with the callback is not watched


_begun: list[tuple[Training, int]] = []  # at most one, and its thread


def missing(library: str, extra: str, error: ImportError) -> FitwellError:
    """What is raised where a library is not there."""
    return FitwellError(
        f"{library} can't be imported: {error}", f"the package {extra}", f"pip install 'fitwell[{extra}]'"
    )
