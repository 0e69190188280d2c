"""The event log: torn tails heal, whatever byte the crash came at."""

import math
import os
import random
import signal
import subprocess
import sys
from array import array
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fitwell.errors import StorageError
from fitwell.run import events
from fitwell.run.events import Column, EventLog, read_events

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
        file.write(b'\xff\xfe\n[1, 2]\n{"signals": 3}\n{"signals": {}}\n\n')
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


DYING = """
import os, signal, sys
from pathlib import Path
from fitwell.run.events import EventLog
log = EventLog(Path(sys.argv[1]), wait=0)
for step in range(3):
    log.append(step, 0.0, {"a": step})
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no SIGKILL")
def test_a_log_that_does_not_wait_survives_a_kill_to_its_last_event(tmp_path: Path) -> None:
    path = tmp_path / "log"
    done = subprocess.run([sys.executable, "-c", DYING, str(path)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert read(path) == [{"a": 0.0}, {"a": 1.0}, {"a": 2.0}]


class Counted:
    """Numbers that tell how often they were transferred."""

    def __init__(self, numbers: list[float]) -> None:
        self.numbers, self.transfers = numbers, 0

    def __len__(self) -> int:
        return len(self.numbers)

    def tolist(self) -> list[float]:
        self.transfers += 1
        return self.numbers


def test_a_column_is_read_when_it_is_written_and_once(tmp_path: Path) -> None:
    log = EventLog(tmp_path / "log")
    values = Counted([1.0, math.inf])
    log.append(1, 0.5, {"lr": 0.1}, [Column(("a", "b"), values), Column(("c",), array("d", [3.0]))])
    assert values.transfers == 0
    log.flush()
    assert values.transfers == 1
    assert read(log.path) == [{"lr": 0.1, "a": 1.0, "b": None, "c": 3.0}]


def test_a_tensor_is_a_column_or_a_value(tmp_path: Path) -> None:
    log = EventLog(tmp_path / "log")
    log.append(1, 0.5, {"lr": torch.tensor(0.5)}, [Column(("a", "b"), torch.tensor([2.0, math.nan]))])
    log.flush()
    assert read(log.path) == [{"lr": 0.5, "a": 2.0, "b": None}]


@pytest.mark.parametrize("names", [(), ("a",), ("a", "b", "c")])
def test_a_column_needs_a_name_for_every_value(names: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match=f"{len(names)} names and 2 values"):
        Column(names, torch.zeros(2))


LIMIT = 300_000


def test_a_run_of_hours_stays_below_its_limit_and_keeps_its_extremes(tmp_path: Path) -> None:
    """Ten million steps, every 500th or so is recorded: 20 times the limit."""
    log = EventLog(tmp_path / "log", limit=LIMIT, wait=math.inf)
    draw, step, largest = random.Random(0), 0, 0
    names = [f"layer/{i}/update_ratio" for i in range(6)]
    seen: dict[str, list[float]] = {name: [] for name in [*names, "loss/val"]}
    for number in range(20_000):
        step += draw.randint(1, 1000)
        signals = {name: draw.gauss(0, 1) for name in names} | (
            {"loss/val": step} if number % 200 == 0 else {}
        )
        for name, value in signals.items():
            seen[name].append(value)
        log.append(step, step / 1e6, signals)
        if number % 20 == 0:
            largest = max(largest, log.flush())
    log.flush()
    assert largest <= LIMIT
    assert log.path.stat().st_size > LIMIT / 5
    events = list(read_events(log.path))
    for name, values in seen.items():
        left = [event["signals"][name] for event in events if name in event["signals"]]
        assert (left[0], left[-1], min(left), max(left)) == (values[0], values[-1], min(values), max(values))
    steps = [event["step"] for event in events]
    assert steps == sorted(steps)
    assert all(sum(s * 10 // (step + 1) == tenth for s in steps) > 20 for tenth in range(10)), "seen evenly"
    assert [it["signals"]["loss/val"] for it in events if "loss/val" in it["signals"]] == seen["loss/val"]
    assert os.listdir(tmp_path) == ["log"]


def test_the_newest_quarter_is_not_thinned(tmp_path: Path) -> None:
    log = EventLog(tmp_path / "log", wait=math.inf)
    for step in range(4000):
        log.append(step, 0.0, {"a": 1.0})
    size = log.flush()
    whole = log.path.read_bytes()
    log = EventLog(log.path, limit=size)
    log.append(4000, 0.0, {"a": 1.0})
    assert log.flush() < size * 0.6
    left = log.path.read_bytes()
    assert whole[-(size // 4) + 100 :] in left
    assert [event["step"] for event in read_events(log.path)][-1] == 4000


def test_a_log_that_can_not_be_made_small_is_not_thinned_at_every_flush(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries = []
    monkeypatch.setattr(events, "thinnings", lambda it: tries.append(len(list(it))) or [])
    log = EventLog(tmp_path / "log", limit=1000, wait=0)
    for step in range(200):
        log.append(step, 0.0, {"a": 1.0})
    assert len(read(log.path)) == 200
    assert len(tries) <= 15


def test_a_failed_thinning_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise StorageError("can't write", "space", "make some")

    log = EventLog(tmp_path / "log", limit=1000, wait=math.inf)
    for step in range(200):
        log.append(step, 0.0, {"a": 1.0})
    with monkeypatch.context() as patch:
        patch.setattr(events, "write_atomic", fail)
        with pytest.raises(StorageError, match="can't write"):
            log.flush()
        assert len(read(log.path)) == 200
        log.append(200, 0.0, {"a": 1.0})
        log.flush()
    assert len(read(log.path)) == 201, "nothing is written twice"
