"""What a forked process shares with its parent, and how it gets its own: open files, shared memory, signal handlers."""

from __future__ import annotations

import ctypes
import fcntl
import os
import signal
import stat
from collections.abc import Iterator
from contextlib import suppress

NICE = 10  # the program's own work comes first
_DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG
_READ_WRITE = 1 | 2  # PROT_READ | PROT_WRITE
_PRIVATE_THERE = 0x02 | 0x10 | 0x20  # MAP_PRIVATE | MAP_FIXED | MAP_ANONYMOUS
_SIZE, _POINTER, _OFFSET = ctypes.c_size_t, ctypes.c_void_p, ctypes.c_long
PLAIN_HANDLERS = (signal.SIG_DFL, signal.SIG_IGN, None)


def isolate(parent: int, pipe: int, seconds: float, libc: ctypes.CDLL) -> None:
    """Be a process of one's own, as far as a forked one can: nothing that is done is seen outside.

    Only what is opened, started or sent from now on would be.

    Args:
        parent: this process ends with it.
        pipe: the one file that stays shared.
        seconds: after which a timer of the kernel ends the process.
        libc: the functions of C.
    """
    libc.prctl(_DIE_WITH_PARENT, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)
    _forget_handlers(seconds)
    with suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:
        file.write("1000")  # where memory ends, this process is the one to go
    own_files(pipe)
    _own_memory(libc)
    os.nice(max(0, NICE - os.nice(0)))


def own_files(keep: int) -> None:
    """Give each open file of the parent's a private stand-in of the same number.

    A file that is read is opened again at the same place, so that a dataset which keeps its file open can be read on.
    Everything else becomes /dev/null: what a logger still has in its buffer goes there, and no number is free for a
    new file that an old one's owner would write to.

    Args:
        keep: the file that stays.
    """
    nothing = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    for name in os.listdir("/proc/self/fd"):
        number = int(name)
        if number in (keep, nothing):
            continue
        with suppress(OSError):  # that of the folder itself is closed by now
            _own_file(number, nothing)
    os.close(nothing)


def shared_memory() -> int:
    """Bytes of memory that this process and others can both write."""
    return sum(length for _, length in _shared())


def _forget_handlers(seconds: float) -> None:
    """No signal handler of the program runs here; the timer ends the process, as it would any."""
    signal.set_wakeup_fd(-1)
    for number in signal.valid_signals():
        if signal.getsignal(number) not in PLAIN_HANDLERS:
            signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _own_file(number: int, nothing: int) -> None:
    kind = os.fstat(number).st_mode
    flags = fcntl.fcntl(number, fcntl.F_GETFL) & os.O_ACCMODE
    if number > 2 and stat.S_ISCHR(kind) and flags == os.O_RDONLY and not os.isatty(number):
        return  # such as /dev/urandom
    if number > 2 and stat.S_ISREG(kind) and flags == os.O_RDONLY:
        with suppress(OSError):
            again = os.open(f"/proc/self/fd/{number}", os.O_RDONLY | os.O_CLOEXEC)
            os.lseek(again, os.lseek(number, 0, os.SEEK_CUR), os.SEEK_SET)
            os.dup2(again, number, inheritable=False)
            os.close(again)
            return
    os.dup2(nothing, number, inheritable=False)


def _own_memory(libc: ctypes.CDLL) -> None:
    """Copy what is shared: weights that other processes train, too, semaphores, files that are written as arrays."""
    libc.mmap.argtypes = (_POINTER, _SIZE, ctypes.c_int, ctypes.c_int, ctypes.c_int, _OFFSET)
    libc.mmap.restype = _POINTER
    for start, length in list(_shared()):
        content = ctypes.string_at(start, length)
        if libc.mmap(start, length, _READ_WRITE, _PRIVATE_THERE, -1, 0) != start:
            os._exit(1)
        ctypes.memmove(start, content, length)


def _shared() -> Iterator[tuple[int, int]]:
    """Address and length of each piece of memory that is shared and may be written."""
    with open("/proc/self/maps", encoding="utf-8", errors="replace") as maps:
        for line in maps:
            place, permissions, _ = line.split(" ", 2)
            if permissions[1] == "w" and permissions[3] == "s":
                start, end = (int(address, 16) for address in place.split("-"))
                yield start, end - start
