"""Files: whatever fails, and whenever, the old content is there or the new, and nothing beside it."""

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fitwell.errors import DamagedError, StorageError
from fitwell.run import files
from fitwell.run.files import read_json, sha256, storage, sync_folder, write_atomic, write_durable, write_json


class Failing:
    """Lets so many calls pass, and fails the next one."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, allowed: int, failure: BaseException) -> None:
        self.left, self.failure = allowed, failure
        monkeypatch.setattr(files, "open", self.around(open, self.file), raising=False)
        for name in ("open", "fsync", "replace", "close"):
            monkeypatch.setattr(files.os, name, self.around(getattr(os, name)))

    def around(
        self, call: Callable[..., Any], then: Callable[[Any], Any] = lambda it: it
    ) -> Callable[..., Any]:
        def watched(*args: Any, **kwargs: Any) -> Any:
            if self.left == 0:
                self.left -= 1
                raise self.failure
            self.left -= 1
            return then(call(*args, **kwargs))

        return watched

    def file(self, file: Any) -> Any:
        return Watched(file, self)


class Watched:
    """A file whose writes and flushes count as calls; what was written before a failure stays."""

    def __init__(self, file: Any, failing: Failing) -> None:
        self.inner = file
        self.write = failing.around(file.write)
        self.flush = failing.around(file.flush)
        self.fileno = file.fileno

    def __enter__(self) -> "Watched":
        return self

    def __exit__(self, *_: object) -> None:
        self.inner.close()


CALLS = 9  # open, write, flush, fsync, replace, and for the folder open, fsync, close: the ninth never comes


@pytest.mark.parametrize("allowed", range(CALLS))
@pytest.mark.parametrize("failure", [OSError(errno.ENOSPC, "No space left"), KeyboardInterrupt()], ids=repr)
def test_a_failure_at_any_call_leaves_the_old_content_or_the_new(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, allowed: int, failure: BaseException
) -> None:
    path = tmp_path / "plan.json"
    path.write_bytes(b"old")
    with monkeypatch.context() as patch:
        failing = Failing(patch, allowed, failure)
        if allowed == CALLS - 1:
            write_atomic(path, b"new")
        else:
            kind = StorageError if isinstance(failure, OSError) else KeyboardInterrupt
            with pytest.raises(kind):
                write_atomic(path, b"new")
    assert failing.left <= 0, "there are as many calls as this test believes"
    assert path.read_bytes() == (b"old" if allowed <= 4 else b"new")
    assert os.listdir(tmp_path) == ["plan.json"]


def test_a_reader_never_meets_half_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, seen = tmp_path / "it", []
    path.write_bytes(b"old")
    sync = os.fsync
    monkeypatch.setattr(files.os, "fsync", lambda handle: (seen.append(path.read_bytes()), sync(handle)))
    write_atomic(path, b"new" * 100_000)
    assert seen == [b"old", b"new" * 100_000], "the content is durable before the name, then the name"


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "the disk is full.*free some space.*fitwell resume"),
        (errno.EDQUOT, "quota"),
        (errno.EROFS, "read-only.*--runs"),
        (errno.EACCES, "permission.*--runs"),
        (errno.ENOTDIR, "a file stands where a folder should.*--runs"),
        (errno.EEXIST, "a file stands where a folder should.*--runs"),
        (errno.ENOENT, "no such folder.*make the folder"),
        (errno.EISDIR, "a folder of that name"),
        (errno.EIO, "the disk failed"),
        (errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG)),
    ],
)
def test_what_the_system_refuses_is_told_with_the_path_and_the_cure(number: int, words: str) -> None:
    with pytest.raises(StorageError, match=f"(?s)can't write here/x: .*{words}"), storage(Path("here/x")):
        raise OSError(number, os.strerror(number))


def test_an_error_is_told_once_by_the_innermost_path() -> None:
    with pytest.raises(StorageError, match="inner"), storage(Path("outer")), storage(Path("inner")):
        raise OSError(errno.EIO, "it broke")


@pytest.mark.parametrize("write", [write_atomic, write_durable])
def test_a_path_that_can_not_be_written_is_named_itself(tmp_path: Path, write) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path / "missing" / "x.csv", tmp_path / "file" / "x.csv"):
        with pytest.raises(StorageError, match=f"can't write {path}: "):
            write(path, b"")
    with pytest.raises(StorageError, match="a folder of that name"):
        write(tmp_path, b"")
    assert os.listdir(tmp_path) == ["file"]


def test_json_comes_back(tmp_path: Path) -> None:
    value = {"name": "größe", "numbers": [1, 2.5, None], "inner": {"a": True}}
    write_json(tmp_path / "x.json", value)
    assert read_json(tmp_path / "x.json") == value
    assert "größe" in (tmp_path / "x.json").read_text(encoding="utf-8")


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe{}", b'{"a": 1'])
def test_a_file_that_is_no_json_is_damaged(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.json").write_bytes(content)
    with pytest.raises(DamagedError, match=r"x\.json is damaged"):
        read_json(tmp_path / "x.json")


def test_a_missing_file_is_told_too(tmp_path: Path) -> None:
    with pytest.raises(DamagedError, match=r"x\.json can't be read: No such file"):
        read_json(tmp_path / "x.json")


def test_syncing_a_folder_leaves_no_open_handle(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd")) if os.path.exists("/proc/self/fd") else 0
    for _ in range(10):
        sync_folder(tmp_path)
    assert (len(os.listdir("/proc/self/fd")) if before else 0) == before


def test_the_checksum_is_sha256() -> None:
    assert sha256(b"abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert sha256(memoryview(b"abc")) == sha256(b"abc")
