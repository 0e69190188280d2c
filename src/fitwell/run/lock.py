"""One process a run: two that trained the same run would overwrite each other's checkpoints."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fitwell.errors import RunError, StorageError
from fitwell.run.files import storage

try:
    import fcntl
except ImportError:  # Windows has no flock: there nothing is locked
    fcntl = None  # type: ignore[assignment]


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the run's lock inside the block; the system frees it when the process dies, however it dies.

    Raises:
        RunError: another process holds it.
    """
    if fcntl is None:
        yield
        return
    with storage(folder):
        file = open(folder / ".lock", "w")  # noqa: SIM115 - closing frees the lock
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RunError(
                f"run {folder.name} is being trained by another process",
                "one process at a time",
                "wait for it, or stop it",
            ) from None
        yield


def is_locked(folder: Path) -> bool:
    """Whether a process is training the run now. Where nothing can be locked, it is taken to."""
    if fcntl is None:
        return True
    try:
        with locked(folder):
            return False
    except (RunError, StorageError):
        return True
