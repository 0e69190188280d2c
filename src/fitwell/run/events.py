"""The event log: one JSON line per recorded step; what is appended stays, whatever kills the process.

    {"step": 400, "epoch": 1.25, "time": 1790000000.0, "signals": {"loss/val": 0.31, "lr": 0.003}}

A line is complete or it is not there: a torn last line, left by a crash, is ignored when reading and cut off
when appending goes on.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, SupportsFloat

from fitwell.run.files import storage

FLUSH_SECONDS = 1.0  # what a crash may lose


class EventLog:
    """Appends events to a file; at most a second of them waits in memory.

    Args:
        path: the log file.
        size: keep only so many bytes of what is there (resuming from a checkpoint); None keeps every
            complete line.
    """

    def __init__(self, path: Path, size: int | None = None) -> None:
        self.path = path
        self._waiting: list[tuple[int, float, float, Mapping[str, SupportsFloat]]] = []
        self._flushed = time.monotonic()
        with storage(path):
            path.touch()
            content = path.read_bytes()
            keep = content.rfind(b"\n") + 1 if size is None else min(size, len(content))
            with open(path, "r+b") as file:
                file.truncate(keep)

    def append(self, step: int, epoch: float, signals: Mapping[str, SupportsFloat]) -> None:
        """Record the values of signals at a step; non-finite values are kept as null.

        A value may be a tensor: it is read when the events are written, so that no step waits for the device.
        """
        self._waiting.append((step, epoch, time.time(), signals))
        if time.monotonic() - self._flushed > FLUSH_SECONDS:
            self.flush()

    def flush(self) -> int:
        """Write what waits; return the size of the file in bytes."""
        with storage(self.path), open(self.path, "ab") as file:
            file.write("".join(_line(*event) for event in self._waiting).encode())
            size = file.tell()
        self._waiting.clear()
        self._flushed = time.monotonic()
        return size


def _line(step: int, epoch: float, when: float, signals: Mapping[str, SupportsFloat]) -> str:
    values = {name: float(value) for name, value in signals.items()}
    finite = {name: value if math.isfinite(value) else None for name, value in values.items()}
    event = {"step": step, "epoch": round(epoch, 6), "time": round(when, 3), "signals": finite}
    return json.dumps(event) + "\n"


def read_events(path: Path) -> Iterator[dict[str, Any]]:
    """The events of a log, oldest first; a torn or damaged line is left out."""
    if not path.exists():
        return
    with open(path, "rb") as file:
        for line in file:
            try:
                event = json.loads(line)
            except (json.JSONDecodeError, UnicodeDecodeError):
                continue
            if isinstance(event, dict) and isinstance(event.get("signals"), dict):
                yield event
