"""The event log: torn tails heal, whatever byte the crash came at."""

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fitwell.errors import StorageError
from fitwell.run import events
from fitwell.run.events import EventLog, read_events

SIGNALS = st.dictionaries(st.text(min_size=1, max_size=8), st.floats(), max_size=3)


def write(path: Path, recorded: list[dict[str, float]], size: int | None = None) -> EventLog:
    log = EventLog(path, size)
    for step, signals in enumerate(recorded):
        log.append(step, step / 2, signals)
    log.flush()
    return log


def read(path: Path) -> list[dict[str, float | None]]:
    return [event["signals"] for event in read_events(path)]


def kept(recorded: list[dict[str, float]]) -> list[dict[str, float | None]]:
    return [{k: v if math.isfinite(v) else None for k, v in signals.items()} for signals in recorded]


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("events") / "events.jsonl"


@given(st.lists(SIGNALS, max_size=5))
def test_what_was_recorded_is_read_and_the_non_finite_as_null(path: Path, recorded: list) -> None:
    path.unlink(missing_ok=True)
    log = write(path, recorded)
    assert read(path) == kept(recorded)
    assert log.flush() == path.stat().st_size, "flushing tells the size"


@given(st.lists(SIGNALS, min_size=1, max_size=4), st.floats(0, 1), SIGNALS)
def test_a_log_cut_at_any_byte_heals(path: Path, recorded: list, cut: float, later: dict) -> None:
    path.unlink(missing_ok=True)
    write(path, recorded)
    whole = path.read_bytes()
    content = whole[: round(cut * len(whole))]
    path.write_bytes(content)
    seen = read(path)
    assert seen == kept(recorded)[: len(seen)], "a reader sees a beginning of what was recorded"
    assert len(seen) >= content.count(b"\n")
    write(path, [later])
    assert read(path) == kept([*recorded[: content.count(b"\n")], later])


def test_every_byte_of_a_small_log(path: Path) -> None:
    recorded = [{"loss": 0.5}, {"größe": 2.0}]
    path.unlink(missing_ok=True)
    write(path, recorded)
    whole = path.read_bytes()
    for cut in range(len(whole) + 1):
        path.write_bytes(whole[:cut])
        EventLog(path)
        assert path.read_bytes() == whole[: whole[:cut].rfind(b"\n") + 1]


def test_resuming_cuts_the_log_back_to_its_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "log"
    size = write(path, [{"a": 1.0}]).flush()
    write(path, [{"a": 2.0}, {"a": 3.0}])
    write(path, [{"a": 4.0}], size=size)
    assert read(path) == [{"a": 1.0}, {"a": 4.0}]
    EventLog(path, size=10**9)
    assert read(path) == [{"a": 1.0}, {"a": 4.0}], "a size beyond the end adds nothing"


def test_rubbish_between_lines_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "log"
    write(path, [{"a": 1.0}])
    with open(path, "ab") as file:
        file.write(b'\xff\xfe\n[1, 2]\n{"signals": 3}\n\n')
    write(path, [{"a": 2.0}])
    assert read(path) == [{"a": 1.0}, {"a": 2.0}]
    assert read(tmp_path / "none") == []


def test_an_event_waits_no_longer_than_a_second(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(events.time, "monotonic", lambda: now[0])
    log = EventLog(tmp_path / "log")
    log.append(1, 0.5, {"a": 1.0})
    assert read(log.path) == []
    now[0] += events.FLUSH_SECONDS + 0.1
    log.append(2, 1.0, {"a": 2.0})
    assert read(log.path) == [{"a": 1.0}, {"a": 2.0}]
    first = next(iter(read_events(log.path)))
    assert (first["step"], first["epoch"]) == (1, 0.5)


def test_a_log_that_can_not_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"missing/events\.jsonl: there is no such folder"):
        EventLog(tmp_path / "missing" / "events.jsonl")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_disk_loses_no_event_that_waits(tmp_path: Path) -> None:
    log = EventLog(tmp_path / "log")
    log.append(1, 1.0, {"a": 1.0})
    log.path, path = Path("/dev/full"), log.path
    with pytest.raises(StorageError, match="the disk is full"):
        log.flush()
    log.path = path
    log.flush()
    assert read(path) == [{"a": 1.0}]
