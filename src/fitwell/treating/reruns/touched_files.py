"""Files that a rerun touches are put back: after ``treat`` a folder is as one ordinary run leaves it.

An audit hook (PEP 578) hears of each file before it is opened for writing, renamed or removed, and keeps a copy. What
writes from C tells no hook; that of torch and safetensors is wrapped. What other programs write, that the program
starts, is not seen.
"""

from __future__ import annotations

import functools
import json
import os
import shutil
import stat
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from fitwell.errors import RunError
from fitwell.run.files import storage
from fitwell.watching.launch import when_imported

MANIFEST = "touched.jsonl"
LARGEST = 2**30  # bytes of a file that is copied
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
DEVICES = ("/dev", "/proc", "/sys")
# A program may go on from what it finds: a rerun must find what the first run found.
CHECKPOINTS = (".pt", ".pth", ".ckpt", ".safetensors", ".tar")
AFTER = "after"

Record = dict[str, Any]  # path; kind: new, folder, copied (with copy), linked (with to), large (with bytes)


def keep_touched(folder: Path, left_out: Sequence[str], keep_large: bool) -> Callable[[], None]:
    """From now on keep each file as it is before this process, or one that it forks, first touches it.

    Args:
        folder: gets the copies and a manifest.
        left_out: folders whose files are not kept.
        keep_large: let files that are too large to be copied be overwritten; else that fails.

    Returns:
        What is to be called when torch is imported.
    """
    folder.mkdir(parents=True, exist_ok=True)
    temporary = os.path.realpath(tempfile.gettempdir())
    inside = os.path.realpath(os.getcwd())
    outside = [*left_out, *DEVICES] + ([] if _within(inside, temporary) else [temporary])
    keeper = _Keeper(folder, tuple(outside), keep_large)
    sys.addaudithook(keeper.hear)
    when_imported("safetensors", functools.partial(keeper.wrap, "serialize_file", _SAFETENSORS))
    return lambda: keeper.wrap("save", _TORCH)


def put_back(folder: Path, only: Callable[[Record], bool] = lambda _: True) -> None:
    """Put files back as they were before; the folder is removed.

    Args:
        folder: as ``keep_touched`` was given it.
        only: those for which this is true.

    Raises:
        RunError: some are too large to be kept.
    """
    records = _read(folder)
    for record in records:
        if only(record):
            _put_back(folder, record)
    for record in reversed(records):  # the inner ones first
        if record["kind"] in ("new", "folder") and only(record):
            with suppress(OSError):
                os.rmdir(record["path"])  # unless somebody else's files are in it
    shutil.rmtree(folder, ignore_errors=True)
    for record in records:
        if record["kind"] == "large":
            text = f"a rerun would overwrite {record['path']} ({record['bytes'] / 2**30:.1f} GB)"
            fix = "move it away, or let the program write elsewhere"
            raise RunError(text, f"files of up to {LARGEST >> 30} GB, which are put back", fix)


def set_aside(folder: Path) -> None:
    """Take away the checkpoints of an ordinary run until ``bring_back``, and put those back that were there before it.

    Raises:
        RunError: it overwrote files that reruns would overwrite, too, and that are too large to be kept.
    """
    aside = _aside(folder)
    aside.mkdir(parents=True, exist_ok=True)
    records = _read(folder)
    for number, record in enumerate(records):
        if _is_checkpoint(record) and os.path.isfile(record["path"]):
            _add(aside, {"path": record["path"], "kind": "copied", "copy": str(number)})
            shutil.move(record["path"], aside / str(number))
    folders = [record for record in records if record["kind"] == "folder" and os.path.isdir(record["path"])]
    try:
        put_back(folder, _is_checkpoint)
    finally:
        for record in folders:
            if not os.path.isdir(record["path"]):
                _add(aside, record)


def bring_back(folder: Path) -> None:
    """Put back what ``set_aside`` took away."""
    aside = _aside(folder)
    for record in _read(aside):
        if record["kind"] == "folder":
            os.makedirs(record["path"], exist_ok=True)
        else:
            os.makedirs(os.path.dirname(record["path"]), exist_ok=True)
            with suppress(FileNotFoundError):
                shutil.move(aside / record["copy"], record["path"])
    shutil.rmtree(aside, ignore_errors=True)


def _aside(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}-{AFTER}")


def _add(folder: Path | str, record: Record) -> None:
    with open(os.path.join(folder, MANIFEST), "a", encoding="utf-8") as file:
        file.write(json.dumps(record) + "\n")


def _is_checkpoint(record: Record) -> bool:
    return record["kind"] == "folder" or str(record["path"]).endswith(CHECKPOINTS)


def _read(folder: Path) -> list[Record]:
    try:
        lines = (folder / MANIFEST).read_text().splitlines()
    except FileNotFoundError:
        return []
    records = []
    for line in lines:
        with suppress(json.JSONDecodeError):  # the last line of a process that was killed
            records.append(json.loads(line))
    return records


def _put_back(folder: Path, record: Record) -> None:
    path = record["path"]
    if record["kind"] in ("new", "linked"):
        with suppress(FileNotFoundError, IsADirectoryError, PermissionError):
            os.unlink(path)
    if record["kind"] == "linked":
        os.symlink(record["to"], path)
    if record["kind"] == "copied":
        with storage(Path(path)):
            os.makedirs(os.path.dirname(path), exist_ok=True)
            temporary = f"{path}.{os.getpid()}.tmp"
            shutil.copy2(folder / record["copy"], temporary)
            os.replace(temporary, path)


def _within(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip(os.sep) + os.sep)


class _Keeper:
    """Notes files before they are touched.

    Args:
        folder: of the copies.
        outside: folders whose files are left out.
        keep_large: see ``keep_touched``.
    """

    def __init__(self, folder: Path, outside: tuple[str, ...], keep_large: bool) -> None:
        self.folder, self.keep_large = os.path.realpath(folder), keep_large
        self._outside = (*outside, self.folder)
        self._known: set[str] = set()
        self._lock = threading.RLock()
        self._here = threading.local()

    def hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        """An audit hook; what it does itself is not heard."""
        if event in _TOUCHED and not getattr(self._here, "busy", False):
            self._here.busy = True
            try:
                for path in _TOUCHED[event](*arguments):
                    self._note(path, event == "os.mkdir")
            finally:
                self._here.busy = False

    def wrap(self, function: str, modules: Sequence[str]) -> None:
        """Hear also of a function that writes from C, in those of some modules that are imported."""
        for name in modules:
            module: Any = sys.modules.get(name)
            if module is not None:
                setattr(module, function, self._heard(getattr(module, function)))

    def _heard(self, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def heard(*args: Any, **kwargs: Any) -> Any:
            for each in (*args, *kwargs.values()):
                if isinstance(each, str | os.PathLike):
                    self.hear("open", (each, "w", 0))
            return function(*args, **kwargs)

        return heard

    def _note(self, path: str, is_folder: bool) -> None:
        """Keep what is at a path, once.

        Raises:
            OSError: it is too large, or there is no room for it.
        """
        own = any(_within(path, folder) for folder in self._outside) or "__pycache__" in path
        if own or path in self._known:
            return
        with self._lock:
            self._known.add(path)
            record = self._kept(path, is_folder)
            if record is None:
                return
            _add(self.folder, {"path": path, **record})
            if record["kind"] == "large" and not self.keep_large:
                raise OSError(f"fitwell: {path} is too large to be put back after a rerun")

    def _kept(self, path: str, is_folder: bool) -> Record | None:
        """What is to be put back; None if that is nothing that can be."""
        try:
            found = os.lstat(path)
        except FileNotFoundError:
            return {"kind": "folder" if is_folder else "new"}
        except OSError:
            return None
        if stat.S_ISLNK(found.st_mode):
            return {"kind": "linked", "to": os.readlink(path)}
        if not stat.S_ISREG(found.st_mode):
            return None
        if found.st_size > LARGEST:
            return {"kind": "large", "bytes": found.st_size}
        copy = f"{os.getpid()}-{len(self._known)}"
        shutil.copy2(path, os.path.join(self.folder, copy))
        return {"kind": "copied", "copy": copy}


def _opened(path: Any, mode: str | None, flags: int) -> Iterator[str]:
    writing = any(letter in mode for letter in "wax+") if mode else flags & WRITING
    if writing and not isinstance(path, int):
        yield os.path.realpath(os.fsdecode(path))


def _named(path: Any, folder: int = -1) -> str:
    """The absolute path of a name itself, not of what it links to; the name may be relative to an open folder."""
    text = os.fsdecode(path)
    if folder >= 0 and not os.path.isabs(text):
        text = os.path.join(os.readlink(f"/proc/self/fd/{folder}"), text)  # Linux alone has it
    above, name = os.path.split(os.path.abspath(text))
    return os.path.join(os.path.realpath(above), name)


def _removed(path: Any, folder: int = -1) -> Iterator[str]:
    with suppress(OSError):
        yield _named(path, folder)


def _renamed(old: Any, new: Any, old_folder: int = -1, new_folder: int = -1) -> Iterator[str]:
    with suppress(OSError):
        source, target = _named(old, old_folder), _named(new, new_folder)
        yield from (source, target)
        for above, folders, names in os.walk(source):  # of a folder
            for name in (*folders, *names):
                inner = os.path.join(above, name)
                yield from (inner, target + inner[len(source) :])


def _connected(database: Any) -> Iterator[str]:
    if isinstance(database, str | bytes | os.PathLike) and os.fsdecode(database) not in ("", ":memory:"):
        path = os.path.realpath(os.fsdecode(database))
        yield from (path, f"{path}-journal", f"{path}-wal", f"{path}-shm")


_TOUCHED: dict[str, Callable[..., Iterator[str]]] = {
    "open": _opened,
    "os.remove": _removed,
    "os.truncate": lambda path, _: _opened(path, "w", 0),
    "os.rename": _renamed,
    "os.symlink": lambda _, path, folder=-1: _removed(path, folder),
    "os.link": lambda _, path, _from=-1, folder=-1: _removed(path, folder),
    "os.mkdir": lambda path, _, folder=-1: _removed(path, folder),
    "sqlite3.connect": _connected,
}
_TORCH = ("torch", "torch.serialization", "torch.jit")
_SAFETENSORS = ("safetensors", "safetensors.torch", "safetensors.numpy")
