"""A forked child of the watched program: it tries something on a copy of everything, and the program goes on untouched.

The child has one thread, reads and writes no file of the program, prints nothing and runs nothing of the program's
end (``atexit``, ``finally``, ``__del__`` of cyclic garbage): it does its work, sends the result up a pipe and is gone.
A timer of the kernel ends it when it takes too long, another one when the program ends before.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import resource
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import torch

LARGEST = 4e9  # bytes of resident memory: to fork copies its page table, a millisecond for every 100 MB or so
NICE = 10  # the program's own work comes first
_DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG
_PIPE = 3  # the only file of the child beside 0, 1 and 2, which are /dev/null
_FORBIDDEN = ("socket.", "subprocess.", "os.system", "os.fork", "os.exec", "os.posix_spawn", "os.remove", "os.rename",
              "os.mkdir", "os.rmdir", "os.kill", "shutil.", "signal.pthread_kill", "tempfile.")  # fmt: skip
_PLAIN_HANDLERS = (signal.SIG_DFL, signal.SIG_IGN, None)


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
        self._sent = b""
        self._result: dict[str, Any] | None = None
        self.done = False

    def result(self, wait: float = 0.0) -> dict[str, Any] | None:
        """What the work returned; None as long as it is at work, and for ever if it failed.

        Args:
            wait: at most so many seconds for it.
        """
        until = time.monotonic() + wait
        while not self.done and os.getpid() == self._parent:
            try:
                more = os.read(self._pipe, 1 << 16)
            except BlockingIOError:
                now = time.monotonic()
                if now > self._late:
                    self._end(kill=True)
                elif now >= until:
                    break
                else:
                    time.sleep(0.002)
                continue
            except OSError:
                more = b""
            self._sent += more
            if not more:
                self._end(kill=False)
        return self._result

    def stop(self) -> None:
        """Wait no longer: the process is gone afterwards, whether it was finished or not."""
        if not self.done and os.getpid() == self._parent:
            self._end(kill=True)

    def _end(self, kill: bool) -> None:
        """Let go of the process: by its number, for the program may have children of its own."""
        self.done = True
        if kill:
            os.kill(self._pid, signal.SIGKILL)
        os.close(self._pipe)
        with suppress(ChildProcessError):  # the program lets nobody wait, or has waited for any child
            os.waitpid(self._pid, 0)
        try:
            sent = json.loads(self._sent)
        except ValueError:
            return
        self._result = sent if isinstance(sent, dict) else None


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
    if handler not in _PLAIN_HANDLERS and not getattr(handler, "__module__", "").startswith("torch."):
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
    libc = ctypes.CDLL(None)  # looked up here: the child should not need the loader
    parent = os.getpid()
    reading, writing = os.pipe()
    masked = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())  # no handler runs in the child
    try:
        pid = _fork()
    except OSError:
        os.close(reading)
        os.close(writing)
        raise
    finally:
        if os.getpid() == parent:
            signal.pthread_sigmask(signal.SIG_SETMASK, masked)
    if not pid:
        _be_child(work, seconds, writing, parent, libc)
    os.close(writing)
    os.set_blocking(reading, False)
    return Child(pid, reading, seconds)


def _fork() -> int:
    """``os.fork`` without the warning of Python 3.12 about threads, which would be printed as the program's own.

    Nothing but ``os.fork`` itself will do: where another thread waits for the interpreter, a child that runs any
    bytecode before Python has cleared up after the fork would wait for that thread for ever.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return os.fork()


def _be_child(work: Callable[[], dict[str, Any]], seconds: float, pipe: int, parent: int, libc: Any) -> None:
    """Do the work and end; never return into the program."""
    try:
        gc.disable()  # nothing of the program is finalized here
        libc.prctl(_DIE_WITH_PARENT, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)
        _forget_handlers(seconds)
        pipe = _close_files(pipe)
        os.nice(NICE)
        torch.set_num_threads(1)  # the threads of the parent's pool are not here
        _let_go()
        sys.addaudithook(_forbid)
        os.write(pipe, json.dumps(work()).encode())
    except BaseException as error:
        os.write(pipe, json.dumps({"error": f"{type(error).__name__}: {error}"[:300]}).encode())
    finally:
        os._exit(0)


def _forget_handlers(seconds: float) -> None:
    """No signal handler of the program runs here; the timer ends the process, as it would any."""
    signal.set_wakeup_fd(-1)
    for number in signal.valid_signals():
        if signal.getsignal(number) not in _PLAIN_HANDLERS:
            signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _close_files(pipe: int) -> int:
    """Leave the program's files and sockets to it; return the new number of the pipe."""
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(pipe, max(pipe, nothing, _PIPE) + 1)
    pipe = max(pipe, nothing, _PIPE) + 1
    for number in range(_PIPE):
        os.dup2(nothing, number)
    os.dup2(pipe, _PIPE)
    os.closerange(_PIPE + 1, os.sysconf("SC_OPEN_MAX"))
    return _PIPE


def _let_go() -> None:
    """Nothing of what happens here is watched."""
    from fitwell.watching.watcher import Watcher  # it looks at the signals, and those use this file

    if Watcher.attached is not None:
        Watcher.attached.let_go()


def _forbid(event: str, arguments: tuple[Any, ...]) -> None:
    """Whatever would be seen outside of this process is refused."""
    if event == "open":
        mode, flags = arguments[1], arguments[2]
        writes = isinstance(mode, str) and set(mode) & set("wax+")
        if writes or (isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)):
            raise PermissionError("a forked child writes no file")
    elif event.startswith(_FORBIDDEN):
        raise PermissionError(f"a forked child does no {event}")
