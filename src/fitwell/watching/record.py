"""What a watched training leaves in its run directory: events.jsonl and facts.json."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fitwell.errors import StorageError
from fitwell.run.events import Column, EventLog
from fitwell.run.files import write_json
from fitwell.watching.threads import Thread

LOG_LIMIT = 40 << 20  # bytes
FACTS_SECONDS = 5.0  # between two savings of the facts, and at least ...
FACTS_SHARE = 200  # ... so many times what the last one took


class Record:
    """Writes events at once, so that no SIGKILL loses them, and facts now and then.

    Args:
        folder: of the run.
        log: its event log, if somebody else writes into it, too.
    """

    def __init__(self, folder: Path, log: EventLog | None) -> None:
        self.folder = folder
        self.log = log or EventLog(folder / "events.jsonl", limit=LOG_LIMIT, wait=0.0)
        self.lost: str | None = None  # why nothing is recorded any more
        self._saved, self._took = time.perf_counter(), 0.0

    def event(
        self, thread: Thread, at: tuple[float, int], signals: Mapping[str, Any], columns: Sequence[Column]
    ) -> None:
        """Record signals of a thread at this epoch and step."""
        if thread.prefix:
            signals = {thread.prefix + name: value for name, value in signals.items()}
            columns = [Column(tuple(thread.prefix + name for name in c.names), c.values) for c in columns]
        epoch, step = at
        if self.lost is None:
            try:
                self.log.append(step, epoch, signals, columns)
            except StorageError as error:  # the program goes on, and its looks end as they should
                self.lost = error.happened

    @property
    def facts_are_due(self) -> bool:
        """Whether so much time has passed that the facts may be saved again."""
        return time.perf_counter() - self._saved > max(FACTS_SECONDS, FACTS_SHARE * self._took)

    def facts(self, facts: Mapping[str, Any]) -> None:
        """Save what is known beyond the numbers of steps."""
        begin = time.perf_counter()
        write_json(self.folder / "facts.json", facts)
        self._saved = time.perf_counter()
        self._took = self._saved - begin
