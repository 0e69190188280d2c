"""The event log: one JSON line per recorded step; what is appended stays, whatever kills the process.

    {"step": 400, "epoch": 1.25, "time": 1790000000.0, "signals": {"loss/val": 0.31, "lr": 0.003}}

A line is complete or it is not there: a torn last line, left by a crash, is ignored when reading and cut off
when appending goes on.
"""

from __future__ import annotations

import io
import json
import math
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, SupportsFloat

from fitwell.run.files import storage, write_atomic
from fitwell.run.thinning import thinnings

FLUSH_SECONDS = 1.0  # what a crash may lose
THIN_TO = 0.6  # of the limit: thinning at once to less would give up more than is needed
PATIENCE = 1.25  # a log that thinning can't make small grows by this much before it is tried again

_FIELDS = {"step", "epoch", "time", "signals"}


class Numbers(Protocol):
    """Many numbers in a row, such as a tensor of one dimension."""

    def __len__(self) -> int:
        """How many there are."""

    def tolist(self) -> list[float]:
        """All of them, in one transfer."""


@dataclass(frozen=True)
class Column:
    """The values of many signals at once; a tensor of them is read in one transfer.

    Args:
        names: of the signals.
        values: as many numbers; a tensor may be on any device.

    Raises:
        ValueError: there are more names than values, or fewer.
    """

    names: tuple[str, ...]
    values: Numbers

    def __post_init__(self) -> None:
        if len(self.names) != len(self.values):
            raise ValueError(f"a column has {len(self.names)} names and {len(self.values)} values")


_Waiting = tuple[int, float, float, Mapping[str, SupportsFloat], Sequence[Column]]


class EventLog:
    """Appends events to a file; at most a second of them waits in memory.

    Args:
        path: the log file.
        size: keep only so many bytes of what is there (resuming from a checkpoint); None keeps every
            complete line. Thinning moves what lies before a size: a log is cut back or has a limit, not both.
        limit: bytes. When a flush leaves more, all but the newest quarter is thinned (see ``thinnings``), to
            about half the limit in all.
        wait: seconds that an event may wait in memory; 0 writes each at once, so that no SIGKILL loses it.
    """

    def __init__(
        self, path: Path, size: int | None = None, limit: float = math.inf, wait: float = FLUSH_SECONDS
    ) -> None:
        self.path, self.limit, self.wait = path, limit, wait
        self._full = limit
        self._waiting: list[_Waiting] = []
        self._flushed = time.monotonic()
        with storage(path):
            path.touch()
            content = path.read_bytes()
            keep = content.rfind(b"\n") + 1 if size is None else min(size, len(content))
            with open(path, "r+b") as file:
                file.truncate(keep)

    def append(
        self,
        step: int,
        epoch: float,
        signals: Mapping[str, SupportsFloat],
        columns: Sequence[Column] = (),
    ) -> None:
        """Record the values of signals at a step; non-finite values are kept as null.

        A value may be a tensor: it is read when the events are written, so that no step waits for the device.
        """
        self._waiting.append((step, epoch, time.time(), signals, columns))
        if time.monotonic() - self._flushed >= self.wait:
            self.flush()

    def flush(self) -> int:
        """Write what waits; return the size of the file in bytes."""
        with storage(self.path), open(self.path, "ab") as file:
            file.write("".join(_line(*event) for event in self._waiting).encode())
            size = file.tell()
        self._waiting.clear()
        if size > self._full:
            self._full = PATIENCE * size  # should thinning fail, the next flush does not try again
            size = self._thin()
            self._full = max(self.limit, PATIENCE * size)
        self._flushed = time.monotonic()
        return size

    def _thin(self) -> int:
        """Thin the older three quarters of the file until it is small enough; return its size in bytes."""
        content = self.path.read_bytes()
        cut = content.rfind(b"\n", 0, len(content) * 3 // 4) + 1
        old, new = content[:cut], content[cut:]
        del content
        for events in thinnings(_parsed(io.BytesIO(old))):
            old = "".join(map(_dumped, events)).encode()
            if len(old) + len(new) <= THIN_TO * self.limit:
                break
        write_atomic(self.path, old + new)
        return len(old) + len(new)


def _line(
    step: int, epoch: float, when: float, signals: Mapping[str, SupportsFloat], columns: Sequence[Column]
) -> str:
    values = {name: float(value) for name, value in signals.items()}
    for column in columns:
        values.update(zip(column.names, column.values.tolist(), strict=True))
    finite = {name: value if math.isfinite(value) else None for name, value in values.items()}
    return _dumped({"step": step, "epoch": round(epoch, 6), "time": round(when, 3), "signals": finite})


def _dumped(event: Mapping[str, Any]) -> str:
    return json.dumps(event) + "\n"


def read_events(path: Path) -> Iterator[dict[str, Any]]:
    """The events of a log, oldest first; a torn or damaged line is left out."""
    if not path.exists():
        return
    content = path.read_bytes()
    try:
        # All at once takes half the time, for the names of signals are read once.
        yield from filter(_complete, json.loads(b"[" + b",".join(content.splitlines()) + b"]"))
    except (json.JSONDecodeError, UnicodeDecodeError):
        yield from _parsed(io.BytesIO(content))


def _parsed(lines: Iterable[bytes]) -> Iterator[dict[str, Any]]:
    for line in lines:
        try:
            event = json.loads(line)
        except (json.JSONDecodeError, UnicodeDecodeError):
            continue
        if _complete(event):
            yield event


def _complete(event: Any) -> bool:
    return isinstance(event, dict) and event.keys() >= _FIELDS and isinstance(event["signals"], dict)
