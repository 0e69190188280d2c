"""What is written into the run directory, and when."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from fitwell.errors import StorageError
from fitwell.run.events import Column, read_events
from fitwell.watching import record
from fitwell.watching.record import Record
from fitwell.watching.threads import Thread


def test_the_first_thread_has_plain_names_and_others_have_their_own(tmp_path: Path) -> None:
    written = Record(tmp_path, None)
    for number, name in enumerate(("G", "D")):
        columns = [Column(("layer/0/weight_norm",), torch.tensor([2.0]))]
        written.event(Thread(name, number, []), (1.5, 3), {"lr": 0.1}, columns)
    first, second = (event["signals"] for event in read_events(tmp_path / "events.jsonl"))
    assert first == {"lr": 0.1, "layer/0/weight_norm": 2.0}
    assert second == {"thread/D/lr": 0.1, "thread/D/layer/0/weight_norm": 2.0}


def test_facts_are_saved_again_when_their_time_has_come(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = Record(tmp_path, None)
    written.facts({"schema": 1})
    assert json.loads((tmp_path / "facts.json").read_text()) == {"schema": 1}
    assert not written.facts_are_due
    later = record.time.perf_counter() + 1e3
    monkeypatch.setattr(record.time, "perf_counter", lambda: later)
    assert written.facts_are_due


def test_a_full_disk_ends_the_recording_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written, thread = Record(tmp_path, None), Thread("net", 0, [])

    def full(*_: object) -> None:
        raise StorageError("the disk is full", "room", "make some")

    monkeypatch.setattr(written.log, "append", full)
    written.event(thread, (0.0, 1), {"lr": 0.1}, [])
    assert written.lost == "the disk is full"
    monkeypatch.undo()
    written.event(thread, (0.0, 2), {"lr": 0.1}, [])
    assert list(read_events(tmp_path / "events.jsonl")) == []
