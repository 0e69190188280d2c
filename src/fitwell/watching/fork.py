"""A forked child of the watched program: it tries something on a copy of everything, and the program goes on untouched.

The child has one thread, writes no file of the program, prints nothing and runs nothing of the program's end
(``atexit``, ``finally``, ``__del__`` of cyclic garbage): it does its work, sends the result up a pipe and is gone.
A timer of the kernel ends it when it takes too long, another one when the program ends before.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import random
import resource
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import torch

from fitwell.watching.isolated import PLAIN_HANDLERS, isolate

LARGEST = 4e9  # bytes of resident memory: to fork copies its page table, a millisecond for every 100 MB or so
FORBIDDEN = ("socket.", "subprocess.", "os.system", "os.fork", "os.exec", "os.posix_spawn", "os.remove", "os.rename",
             "os.mkdir", "os.rmdir", "os.kill", "os.truncate", "os.link", "os.symlink", "os.chmod", "os.chown",
             "os.utime", "shutil.", "signal.pthread_kill", "sqlite3.connect", "tempfile.")  # fmt: skip


class Child:
    """A forked process at work.

    Args:
        pid: of the process.
        pipe: what it sends comes from here.
        seconds: after which it is gone, finished or not.
    """

    def __init__(self, pid: int, pipe: int, seconds: float) -> None:
        self._pid, self._pipe = pid, pipe
        self._parent = os.getpid()
        self._late = time.monotonic() + seconds + 1.0
        self.sent = b""
        self.status: int | None = None  # how it ended, as ``os.waitpid`` tells it; None if nobody knows
        self.done = False

    def result(self, wait: float = 0.0) -> dict[str, Any] | None:
        """What the work returned; None as long as it is at work, and for ever if it failed.

        Args:
            wait: at most so many seconds for it.
        """
        self.read(wait)
        if not self.done:
            return None
        try:
            sent = json.loads(self.sent)
        except ValueError:
            return None
        return sent if isinstance(sent, dict) else None

    def read(self, wait: float = 0.0) -> None:
        """Take what was sent, and note if that was all.

        Args:
            wait: at most so many seconds for the end.
        """
        until = time.monotonic() + wait
        while not self.done and os.getpid() == self._parent:
            try:
                more = os.read(self._pipe, 1 << 16)
            except BlockingIOError:
                now = time.monotonic()
                if now > self._late:
                    self._end(0.0)
                elif now >= until:
                    break
                else:
                    time.sleep(0.002)
                continue
            except OSError:
                more = b""
            self.sent += more
            if not more:
                self._end(None)

    def stop(self, patience: float = 0.0) -> None:
        """Wait no longer: the process is gone afterwards, whether it was finished or not.

        Args:
            patience: seconds that it has to end by itself, when it finds that nobody listens.
        """
        if not self.done and os.getpid() == self._parent:
            self._end(patience)

    def _end(self, patience: float | None) -> None:
        """Let go of the process: by its number, for the program may have children of its own."""
        self.done = True
        os.close(self._pipe)
        with suppress(ChildProcessError):  # the program lets nobody wait, or has waited for any child
            until = time.monotonic() + (patience or 0.0)
            pid, status = os.waitpid(self._pid, 0 if patience is None else os.WNOHANG)
            while not pid and time.monotonic() < until:
                time.sleep(0.001)
                pid, status = os.waitpid(self._pid, os.WNOHANG)
            if not pid:
                os.kill(self._pid, signal.SIGKILL)
                _, status = os.waitpid(self._pid, 0)
            self.status = status


def refusal() -> str | None:
    """Why this process must not be forked now; None if it may be."""
    if sys.platform != "linux":
        return "only Linux lets a process with torch in it be forked safely"
    if threading.current_thread() is not threading.main_thread():
        return "the program trains in another thread than its main one"
    if torch.cuda.is_initialized() or torch.xpu.is_initialized():
        return "a device is in use that a forked process can't share"
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        return "several processes train together"
    handler = signal.getsignal(signal.SIGCHLD)
    if handler not in PLAIN_HANDLERS and not getattr(handler, "__module__", "").startswith("torch."):
        return "the program wants to know when a child process ends"
    if resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 > LARGEST:
        return "the process is so large that a copy of it costs too much"
    return None


def forked(work: Callable[[], dict[str, Any]], seconds: float) -> Child:
    """Begin some work in a forked copy of this process; ask ``refusal`` before.

    Args:
        work: computes in the child, on everything as it is now; what it returns must be JSON.
        seconds: that it may take.

    Raises:
        OSError: there is no memory or no process left.
    """
    child = split(seconds)
    if isinstance(child, int):
        _do(work, child)
    return child  # type: ignore[return-value]


def split(seconds: float) -> Child | int:
    """Fork: in the program this returns the child; in the child, an isolated process, the number of its pipe.

    The child must not return into the program without a guard: see ``fitwell.treating.forks.arms``.

    Args:
        seconds: after which a timer ends the child.

    Raises:
        OSError: there is no memory or no process left.
    """
    libc = ctypes.CDLL(None)  # looked up here: the child should not need the loader
    parent = os.getpid()
    reading, writing = os.pipe()
    child: Child | None = None
    try:
        with _no_signals():
            pid = _fork()
            if not pid:
                _be_child(parent, reading, writing, seconds, libc)
                return writing
            os.set_blocking(reading, False)
            child = Child(pid, reading, seconds)
    except BaseException:  # there was no room for it, or Ctrl-C came in the meantime
        if child is None:
            os.close(reading)
        else:
            child.stop()
        raise
    finally:
        if os.getpid() == parent:
            os.close(writing)
    return child


@contextmanager
def _no_signals() -> Iterator[None]:
    """Whatever signals come in the meantime are handled afterwards, and not at all in a forked child.

    To block them is not enough: another thread of C may take them, and Python's handler then runs in this one.
    """
    process = os.getpid()
    came: list[int] = []
    handlers = {
        number: handler for number in signal.valid_signals() if callable(handler := signal.getsignal(number))
    }
    masked = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        for number in handlers:
            signal.signal(number, lambda number, _: came.append(number))
        yield
    finally:
        if os.getpid() == process:
            try:
                for number, handler in handlers.items():
                    signal.signal(number, handler)
            finally:
                signal.pthread_sigmask(signal.SIG_SETMASK, masked)
            for late in came:
                signal.raise_signal(late)


def _fork() -> int:
    """``os.fork`` without the warning of Python 3.12 about threads, which would be printed as the program's own.

    Nothing but ``os.fork`` itself will do: where another thread waits for the interpreter, a child that runs any
    bytecode before Python has cleared up after the fork would wait for that thread for ever. Python seeds ``random``
    anew in the child; there it is to go on as here.
    """
    state = random.getstate()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if not pid:
        random.setstate(state)
    return pid


def _be_child(parent: int, reading: int, writing: int, seconds: float, libc: ctypes.CDLL) -> None:
    try:
        gc.disable()  # nothing of the program is finalized here
        os.close(reading)
        isolate(parent, writing, seconds, libc)
        torch.set_num_threads(1)  # the threads of the parent's pool are not here
        _let_go()
    except BaseException:
        os._exit(1)


def _do(work: Callable[[], dict[str, Any]], pipe: int) -> None:
    """Do the work and end; never return into the program."""
    try:
        sys.addaudithook(_forbid)
        os.write(pipe, json.dumps(work()).encode())
    except BaseException as error:
        os.write(pipe, json.dumps({"error": f"{type(error).__name__}: {error}"[:300]}).encode())
    finally:
        os._exit(0)


def _let_go() -> None:
    """Nothing of what happens here is watched."""
    from fitwell.watching.watcher import Watcher  # it looks at the signals, and those use this file

    if Watcher.attached is not None:
        Watcher.attached.let_go()


def opens_to_write(arguments: tuple[Any, ...]) -> bool:
    """Whether an audit event ``open`` is of a file that could be changed by it."""
    mode, flags = arguments[1], arguments[2]
    writes = isinstance(mode, str) and bool(set(mode) & set("wax+"))
    return writes or (isinstance(flags, int) and bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)))


def _forbid(event: str, arguments: tuple[Any, ...]) -> None:
    """Whatever would be seen outside of this process is refused."""
    if event == "open":
        if opens_to_write(arguments):
            raise PermissionError("a forked child writes no file")
    elif event.startswith(FORBIDDEN):
        raise PermissionError(f"a forked child does no {event}")
