"""One process a run: two that trained the same run would overwrite each other's checkpoints."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from fitwell.errors import RunError
from fitwell.run.files import storage

try:
    import fcntl
except ImportError:  # Windows has no flock: there nothing is locked
    fcntl = None  # type: ignore[assignment]


PATIENCE = 0.5  # seconds: somebody who only looks whether the run is locked is gone sooner


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the run's lock inside the block; the system frees it when the process dies, however it dies.

    Raises:
        RunError: another process holds it.
    """
    with storage(folder):
        file = open(folder / ".lock", "w")  # noqa: SIM115 - closing frees the lock
    with file:
        late = time.monotonic() + PATIENCE
        while not _taken(file):
            if time.monotonic() > late:
                raise RunError(
                    f"run {folder.name} is being trained by another process",
                    "one process at a time",
                    "wait for it, or stop it",
                )
            time.sleep(PATIENCE / 10)
        yield


def is_locked(folder: Path) -> bool:
    """Whether a process is training the run now. Where nothing can be locked, it is taken to."""
    if fcntl is None:
        return True
    try:
        with open(folder / ".lock", "w") as file:
            return not _taken(file)
    except OSError:
        return True


def _taken(file: TextIO) -> bool:
    """Take the lock, if it is free; where there are none, it always is."""
    if fcntl is None:
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
