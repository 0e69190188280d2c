"""The number of threads is measured, limited by who set a limit, and put back."""

from __future__ import annotations

import os

import pytest
import torch

from fitwell.training import threads as module
from fitwell.training.threads import available, fastest, threads


def test_the_number_comes_back() -> None:
    before = torch.get_num_threads()

    def use() -> None:
        with threads(before + 1):
            assert torch.get_num_threads() == before + 1
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        use()
    assert torch.get_num_threads() == before


@pytest.mark.parametrize(
    ("setting", "expected"),
    [("1", 1), ("3", 3), ("64", 8), ("0", 8), ("", 8), ("many", 8), ("-2", 8), (None, 8)],
)
def test_a_limit_that_was_set_is_kept(
    setting: str | None, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _process: set(range(8)), raising=False)
    if setting is None:
        monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    else:
        monkeypatch.setenv("OMP_NUM_THREADS", setting)
    assert available() == expected


def test_without_affinity_the_cores_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    assert available() == 6
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert available() == 1


class Clock:
    """Time that passes by the number of threads in use; now and then a hiccup."""

    def __init__(self, costs: dict[int, float], hiccups: tuple[int, ...] = ()) -> None:
        self.costs, self.hiccups, self.now, self.calls = costs, hiccups, 0.0, 0

    def step(self) -> None:
        self.calls += 1
        self.now += self.costs[torch.get_num_threads()] + (10.0 if self.calls in self.hiccups else 0.0)


CASES = [
    pytest.param({1: 1.0, 2: 0.6, 4: 0.4}, 4, id="more is faster"),
    pytest.param({1: 1.0, 2: 10.0, 4: 20.0}, 1, id="more is slower"),
    pytest.param({1: 1.0, 2: 0.5, 4: 0.8}, 2, id="two is best"),
    pytest.param({1: 1.0, 2: 0.95, 4: 0.92}, 1, id="a little is not worth it"),
    pytest.param({1: 1.0, 2: 0.95, 4: 0.85}, 4, id="a tenth is"),
]


@pytest.mark.parametrize("hiccups", [(), (1, 2, 3), (4, 9), (5, 6)])
@pytest.mark.parametrize(("costs", "best"), CASES)
def test_the_fastest_is_taken(
    costs: dict[int, float], best: int, hiccups: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, before = Clock(costs, hiccups), torch.get_num_threads()
    monkeypatch.setattr(module.time, "perf_counter", lambda: clock.now)
    count, seconds = fastest(clock.step, 4)
    assert count == best
    assert seconds == pytest.approx(costs)
    assert torch.get_num_threads() == before


def test_all_of_an_odd_number_of_cores_are_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock({1: 1.0, 2: 1.0, 4: 1.0, 6: 0.1})
    monkeypatch.setattr(module.time, "perf_counter", lambda: clock.now)
    assert fastest(clock.step, 6)[0] == 6


def test_a_single_core_needs_no_measurement() -> None:
    def fail() -> None:
        raise AssertionError

    assert fastest(fail, 1)[0] == 1
