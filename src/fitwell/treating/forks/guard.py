"""Nothing that an arm does is seen outside: it ends at the first attempt, and says which.

What Python does is known by its audit events, and by name. What C++ does below them is refused by the kernel: by
Landlock (Linux 5.13 and later, https://docs.kernel.org/userspace-api/landlock.html), and no file may grow.
"""

from __future__ import annotations

import atexit
import ctypes
import os
import queue
import resource
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NoReturn

import torch

from fitwell.treating.changing.live import Live
from fitwell.watching.fork import FORBIDDEN, opens_to_write

End = Callable[[str], NoReturn]  # the arm, with the reason

_SPOKEN = {
    "socket.": "it used the network",
    "sqlite3.": "it opened a database",
    "os.kill": "it sent a signal to a process",
    "signal.": "it sent a signal to a thread",
} | dict.fromkeys(("subprocess.", "os.system", "os.fork", "os.exec", "os.posix"), "it started a process")
_NO_NEW_PRIVILEGES = 38  # PR_SET_NO_NEW_PRIVS, which Landlock asks for
_CREATE, _ADD_RULE, _RESTRICT = 444, 445, 446  # system calls of Landlock, on every architecture
_RIGHTS = {
    1: 0x1FF3,
    2: 0x3FF3,
    3: 0x7FF3,
}  # by version: to execute, write, remove, make, refer, truncate; not to read
_WRITE_FILE = 2


def shut(end: End, room: float) -> None:
    """From now on the process ends by ``end`` before anything of it can be seen outside.

    Args:
        end: ends it.
        room: bytes of memory that it may use more than now.
    """
    sys.dont_write_bytecode = True
    sys.excepthook = lambda _kind, error, _trace: end(told(error))
    atexit.register(end, "the program ended")
    # The program's own, and those of pools of threads, come before those of atexit.
    with suppress(AttributeError, RuntimeError):
        threading._register_atexit(end, "the program ended")  # type: ignore[attr-defined]
    _limit(room)
    _sandbox()
    _by_name(end)
    _alone(end)
    sys.addaudithook(lambda event, arguments: _audit(end, event, arguments))


def told(error: BaseException) -> str:
    """An error in a line."""
    return f"{type(error).__name__}: {error}".replace("\n", " ")[:300]


def _audit(end: End, event: str, arguments: tuple[Any, ...]) -> None:
    if event == "open":
        if opens_to_write(arguments) and arguments[0] != os.devnull:
            end(_wrote(arguments[0]))
    elif event.startswith(FORBIDDEN):
        said = next((says for begin, says in _SPOKEN.items() if event.startswith(begin)), None)
        if said is None:
            said = f"it changed files: {event} {arguments[0] if arguments else ''}".strip()
        end(said)


def _wrote(path: Any) -> str:
    return f"it wrote to a file: {os.path.basename(os.fspath(path)) if not isinstance(path, int) else path}"


def _limit(room: float) -> None:
    """No file grows, nothing is dumped, and memory ends before the machine's does."""
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with open("/proc/self/statm", encoding="ascii") as file:
        size = int(file.read().split()[0]) * resource.getpagesize()
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_AS, (int(size + room), resource.getrlimit(resource.RLIMIT_AS)[1]))


def _sandbox() -> None:
    """Let the kernel refuse every change of files, and every program; where it can't, the rest of this file stands."""
    libc = ctypes.CDLL(None)
    version = libc.syscall(_CREATE, None, ctypes.c_size_t(0), 1)
    if version < 1:
        return
    rights = _RIGHTS[min(version, max(_RIGHTS))]
    handled = ctypes.c_uint64(rights)
    rules = libc.syscall(_CREATE, ctypes.byref(handled), ctypes.c_size_t(8), 0)
    if rules < 0:
        return
    nothing = os.open(os.devnull, os.O_PATH | os.O_CLOEXEC)
    rule = (ctypes.c_byte * 12).from_buffer_copy(
        _WRITE_FILE.to_bytes(8, sys.byteorder) + nothing.to_bytes(4, sys.byteorder)
    )
    libc.syscall(_ADD_RULE, rules, 1, ctypes.byref(rule), 0)  # what is thrown away may be written
    libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0)
    libc.syscall(_RESTRICT, rules, 0)
    os.close(nothing)
    os.close(rules)


def _by_name(end: End) -> None:
    """What writes in C++ is told by its name; a fork's pool of threads must not be woken."""
    live = Live(forked=True)

    def saving(path_at: int) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        def make(save: Callable[..., Any]) -> Callable[..., Any]:
            def call(*args: Any, **kwargs: Any) -> Any:
                given = [*args[path_at : path_at + 1], kwargs.get("f"), kwargs.get("filename")]
                path = next((each for each in given if isinstance(each, (str, os.PathLike))), None)
                return save(*args, **kwargs) if path is None else end(_wrote(path))

            return call

        return make

    for module, function in (("torch", "save"), ("torch.jit", "save"), ("safetensors.torch", "save_file"),
                             ("safetensors.torch", "save_model"), ("safetensors.numpy", "save_file")):  # fmt: skip
        if hasattr(sys.modules.get(module), function):
            live.replace(sys.modules[module], function, saving(1))
    live.replace(torch, "set_num_threads", lambda _: lambda *_: None)


def _alone(end: End) -> None:
    """The program's other threads and processes are not here: what waits for them would wait for ever."""
    from torch.utils.data.dataloader import _MultiProcessingDataLoaderIter

    live = Live(forked=True)

    def alone() -> bool:
        return threading.active_count() == 1

    def waiting(wait: Callable[..., Any]) -> Callable[..., Any]:
        def call(condition: Any, timeout: float | None = None) -> Any:
            if timeout is None and alone():
                end("it waits for another thread")
            return wait(condition, timeout)

        return call

    def put(old: Callable[..., Any]) -> Callable[..., Any]:
        def call(full: Any, *args: Any, **kwargs: Any) -> Any:
            # What is for a thread that writes a log, such as TensorBoard's, is thrown away.
            return None if 0 < full.maxsize <= full.qsize() and alone() else old(full, *args, **kwargs)

        return call

    live.replace(threading.Condition, "wait", waiting)
    live.replace(queue.Queue, "put", put)
    live.replace(queue.Queue, "join", lambda old: lambda full: None if alone() else old(full))
    for method in ("__init__", "_next_data", "_reset"):
        live.replace(
            _MultiProcessingDataLoaderIter,
            method,
            lambda _: lambda *_, **__: end("its batches come from other processes"),
        )
