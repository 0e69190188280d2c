"""What tests of the watcher share."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch

from fitwell.run.events import read_events
from fitwell.watching.watcher import Watcher


@dataclass
class Record:
    """What a watcher wrote."""

    events: list[dict[str, Any]] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)

    def curve(self, signal: str) -> list[tuple[int, float]]:
        """The values of a signal by step."""
        return [(e["step"], e["signals"][signal]) for e in self.events if signal in e["signals"]]

    def values(self, signal: str) -> list[float]:
        """The values of a signal."""
        return [value for _, value in self.curve(signal)]


Watched = Callable[..., AbstractContextManager[Record]]


@pytest.fixture
def watched(tmp_path: Path) -> Watched:
    """``with watched() as record: train()``; afterwards the record is filled."""

    @contextmanager
    def watching(share: float = 1.0) -> Iterator[Record]:
        watcher, record = Watcher(tmp_path, share), Record()
        watcher.attach()
        try:
            yield record
        finally:
            watcher.detach()
            record.events = list(read_events(tmp_path / "events.jsonl"))
            record.facts = json.loads((tmp_path / "facts.json").read_text())
            assert not record.facts["unseen"], record.facts["unseen"]

    return watching


@pytest.fixture(autouse=True)
def seeded() -> None:
    """The same numbers in every test."""
    torch.manual_seed(0)
