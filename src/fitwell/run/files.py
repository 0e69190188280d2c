"""Write files so that a crash at any moment leaves the old content or the new, never half of it."""

from __future__ import annotations

import errno
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from fitwell.errors import DamagedError, StorageError

_ELSEWHERE = "choose another folder (that of the runs: --runs or FITWELL_RUNS)"
_FREE = "free some space; a run that had begun goes on with `fitwell resume`"
_REASONS = {
    errno.ENOSPC: ("the disk is full", _FREE),
    errno.EDQUOT: ("the disk quota is used up", _FREE),
    errno.EROFS: ("the file system is read-only", _ELSEWHERE),
    errno.EACCES: ("permission was denied", _ELSEWHERE),
    errno.EPERM: ("permission was denied", _ELSEWHERE),
    errno.ENOTDIR: ("a file stands where a folder should", _ELSEWHERE),
    errno.EEXIST: ("a file stands where a folder should", _ELSEWHERE),
    errno.ENOENT: ("there is no such folder", "make the folder, or choose another one"),
    errno.EISDIR: ("a folder of that name stands there", "choose another name"),
    errno.EIO: ("the disk failed", "check the disk, then `fitwell resume` the run"),
}


@contextmanager
def storage(path: Path) -> Iterator[None]:
    """Turn what the operating system refuses into a StorageError that names the path and the cure."""
    try:
        yield
    except StorageError:
        raise
    except OSError as error:
        reason, fix = _REASONS.get(error.errno or 0, (str(error), "check the folder"))
        raise StorageError(f"can't write {path}: {reason}", "a folder that can be written", fix) from error


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable, where the system can (Windows can't open folders)."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_durable(path: Path, content: bytes) -> None:
    """Write and fsync a new file; it is not visible under a final name until its folder is renamed."""
    with storage(path):
        _write(path, content)


def _write(path: Path, content: bytes) -> None:
    with open(path, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def write_atomic(path: Path, content: bytes) -> None:
    """Replace a file: temporary, fsync, rename, fsync of the folder."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with storage(path):
        try:
            _write(temporary, content)
            os.replace(temporary, path)
        except BaseException:
            with suppress(OSError):
                temporary.unlink()
            raise
        sync_folder(path.parent)


def write_json(path: Path, value: Any) -> None:
    """Replace a file by this value as JSON."""
    write_atomic(path, (json.dumps(value, indent=2, ensure_ascii=False, allow_nan=True) + "\n").encode())


def read_json(path: Path) -> Any:
    """The value in a JSON file.

    Raises:
        DamagedError: the file is missing, or not JSON.
    """
    try:
        return json.loads(path.read_bytes())
    except OSError as error:
        raise DamagedError(
            f"{path} can't be read: {error.strerror}",
            "the JSON that fitwell wrote",
            "restore it, or train again",
        ) from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise DamagedError(
            f"{path} is damaged: {error}", "the JSON that fitwell wrote", "restore it, or train again"
        ) from None


def sealed(value: dict[str, Any]) -> bytes:
    """The value as JSON with the SHA-256 of itself, which ``read_sealed`` checks."""
    return json.dumps(value | {"seal": _seal(value)}, indent=2).encode()


def read_sealed(path: Path) -> dict[str, Any]:
    """The value that ``sealed`` wrote.

    Raises:
        DamagedError: the file is not JSON, or not what was written.
    """
    value = read_json(path)
    if not isinstance(value, dict) or value.pop("seal", None) != _seal(value):
        raise DamagedError(
            f"{path} was changed: its SHA-256 is not the one that was saved with it",
            "the file that fitwell wrote",
            "restore the file from a copy, or train again",
        )
    return value


def _seal(value: dict[str, Any]) -> str:
    return sha256(json.dumps(value, sort_keys=True).encode())


def sha256(content: bytes | memoryview) -> str:
    """The checksum that is kept beside every saved tensor file."""
    return hashlib.sha256(content).hexdigest()
