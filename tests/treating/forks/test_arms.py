"""What-if forks: the arms go on as the program would, the program goes on as if there were none."""

from __future__ import annotations

import math
import os
import random
import resource
import signal
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from fitwell.experiment import Change
from fitwell.treating.forks import arms as arms_module
from fitwell.treating.forks.arms import Arms, Asked, Comparison, Trace, ask, compare, refusal
from fitwell.watching import fork

pytestmark = pytest.mark.skipif(refusal() is not None, reason=f"no forks here: {refusal()}")

FORKS = int(os.environ.get("FITWELL_FORKS", "6"))
SLOWER, FASTER = [Change("rate", {"factor": 0.01})], [Change("rate", {"factor": 10.0})]
DIVERGING = [Change("rate", {"factor": 1e30})]


def children_of(pid: int) -> list[int]:
    """The processes that a process has now."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def is_gone(pid: int, wait: float = 5.0) -> bool:
    """Whether a process ends within so many seconds; a zombie that waits for somebody else has ended."""
    until = time.monotonic() + wait
    while time.monotonic() < until:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except (FileNotFoundError, ProcessLookupError):
            return True
        time.sleep(0.01)
    return False


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    """No process, no file, no thread is left by a test."""
    files, threads = len(os.listdir("/proc/self/fd")), torch.get_num_threads()
    before = children_of(os.getpid())
    yield
    assert children_of(os.getpid()) == before
    assert len(os.listdir("/proc/self/fd")) == files
    assert torch.get_num_threads() == threads


def test_the_control_takes_the_programs_own_next_steps(training: type[Any]) -> None:
    mine = training(each_step=lambda: (random.random(), np.random.rand()))
    before = mine.model, [p.clone() for p in mine.model.parameters()]
    found = mine.asked([SLOWER], at=4, steps=8)
    assert found.control == Trace(tuple(mine.losses[4:12]), found.control.accuracies, None)
    assert len(found.control.accuracies) == 8
    assert all(0 <= a <= 1 for a in found.control.accuracies if a is not None)
    assert not torch.equal(before[1][0], next(iter(before[0].parameters())))
    assert found.seconds > 0


def test_python_and_numpy_draw_the_same_numbers(training: type[Any]) -> None:
    def noisy() -> None:
        for group in mine.optimizer.param_groups:
            group["lr"] = 0.1 * random.random() * float(np.random.rand())

    mine = training(each_step=noisy)
    random.seed(3)
    np.random.seed(3)
    assert mine.asked(at=4, steps=8).control.losses == tuple(mine.losses[4:12])


def test_the_program_goes_on_as_without_a_fork(training: type[Any]) -> None:
    alone, asking = training(), training()
    alone.train(12)
    states = torch.get_rng_state(), random.getstate()
    asking = training()
    random.setstate(states[1])
    asking.asked([SLOWER, DIVERGING])
    assert asking.losses == alone.losses
    assert all(
        torch.equal(a, b) for a, b in zip(asking.model.parameters(), alone.model.parameters(), strict=True)
    )
    assert torch.equal(torch.get_rng_state(), states[0])
    assert random.getstate() == states[1]


def test_each_arm_has_its_change(training: type[Any]) -> None:
    found = training().asked([SLOWER, FASTER, DIVERGING], steps=20, total=23)
    first = {trace.losses[0] for trace in (found.control, *found.arms)}
    assert len(first) == 1, "all begin from the same state"
    assert len({trace.losses[-1] for trace in (found.control, *found.arms)}) == 4
    assert found.arms[2].losses[-1] is None
    slower, _, diverging = compare(found, comparable=True)
    assert slower.difference is not None
    assert slower.difference.mean > 0
    assert diverging.difference is not None
    assert diverging.difference.low == math.inf
    (_, _, wrong) = compare(found, comparable=False)
    assert wrong.measure == "error"
    assert wrong.difference is not None
    assert wrong.difference.mean > 0


def test_a_loader_in_flight_goes_on(program: Any, training: type[Any]) -> None:
    mine, losses = training(), []
    x = torch.randn(48, 8)
    loader = DataLoader(TensorDataset(x, (x[:, 0] > 0).long()), batch_size=8, shuffle=True)
    with program(mine.optimizer, [SLOWER], at=3, steps=7) as asked:
        for _ in range(3):
            for inputs, targets in loader:
                mine.optimizer.zero_grad()
                loss = F.cross_entropy(mine.model(inputs), targets)
                loss.backward()
                mine.optimizer.step()
                losses.append(loss.item())
        found = asked[0].result(wait=60)
    assert found.control.losses == tuple(losses[3:10])


def test_a_second_fork_can_be_asked_for_when_the_first_is_done(training: type[Any]) -> None:
    mine = training()
    first = mine.asked([SLOWER], total=10)
    assert mine.asked([SLOWER], total=10).control.losses == tuple(mine.losses[13:19])
    assert first.control.losses == tuple(mine.losses[3:9])


def test_what_two_threads_did_before_does_not_stop_it(training: type[Any]) -> None:
    torch.set_num_threads(2)
    try:
        wide = torch.randn(300, 300)
        (wide @ wide).exp().sum()
        found = training(each_step=lambda: (wide @ wide).relu().sum()).asked([SLOWER])
    finally:
        torch.set_num_threads(1)
    assert found.control.stopped is None
    assert len(found.arms[0].losses) == 6


def test_an_arm_that_takes_too_long_sends_what_it_has(training: type[Any]) -> None:
    mine = training(in_arm=lambda: time.sleep(0.2))
    found = mine.asked([SLOWER], steps=30, total=40, seconds=2.0)
    assert found.control.stopped == found.arms[0].stopped == "its time was over"
    assert 1 < len(found.control.losses) < 10


def test_what_two_processes_share_stays_as_it_is(training: type[Any]) -> None:
    mine, alone = training(), training()
    for each in (mine, alone):
        each.model.share_memory()
    torch.manual_seed(1)
    alone.train(12)
    torch.manual_seed(1)
    found = mine.asked([DIVERGING])
    assert mine.losses == alone.losses
    assert found.arms[0].losses[-1] is None


def test_all_its_processes_go_with_it(training: type[Any], program: Any) -> None:
    mine = training(in_arm=lambda: time.sleep(60))
    with program(mine.optimizer, steps=30) as found:
        mine.train(5)
        assert found[0].result() is None
        (consultant,) = children_of(os.getpid())
        while not children_of(consultant):
            time.sleep(0.01)
        arm = children_of(consultant)[0]
        found[0].stop()
        assert found[0].done
        assert found[0].result() is None
        assert is_gone(consultant)
        assert is_gone(arm, wait=0.1), "the consultant has ended it and waited for it"


def test_a_program_that_dies_takes_them_along(training: type[Any], program: Any) -> None:
    reading, writing = os.pipe()
    pid = os.fork()
    if not pid:
        mine = training(in_arm=lambda: time.sleep(60))
        with program(mine.optimizer, steps=30):
            mine.train(5)
            (consultant,) = children_of(os.getpid())
            while not children_of(consultant):
                time.sleep(0.01)
            os.write(writing, f"{consultant} {children_of(consultant)[0]}".encode())
            os.kill(os.getpid(), signal.SIGKILL)
    os.close(writing)
    pids = [int(each) for each in os.read(reading, 100).split()]
    os.close(reading)
    os.waitpid(pid, 0)
    assert len(pids) == 2
    assert all(is_gone(each) for each in pids)


def test_ctrl_c_ends_them_silently(
    training: type[Any], program: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    mine = training(in_arm=lambda: time.sleep(60))
    with program(mine.optimizer, steps=30) as found:
        mine.train(5)
        (consultant,) = children_of(os.getpid())
        while not children_of(consultant):
            time.sleep(0.01)
        for pid in (*children_of(consultant), consultant):  # the terminal sends it to the group
            os.kill(pid, signal.SIGINT)
        assert found[0].result(wait=20) is None
        assert found[0].done
    assert capfd.readouterr() == ("", "")


def test_ctrl_c_during_the_fork(training: type[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    plain = fork._fork

    def interrupted() -> int:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.1)  # another thread may take it, which has to get a turn for that
        return plain()

    mine = training()
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    monkeypatch.setattr(fork, "_fork", interrupted)
    try:
        with pytest.raises(KeyboardInterrupt):  # noqa: PT012
            ask([SLOWER], steps=3, seconds=5.0, optimizer=mine.optimizer)
            time.sleep(5.0)  # it may come late, through another thread, and must not come after this
    finally:
        signal.signal(signal.SIGINT, before)


def test_refusals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arms_module, "available", lambda: 1e6)
    assert "memory" in str(refusal())
    monkeypatch.undo()
    data = TensorDataset(torch.zeros(8, 1))
    batches = iter(DataLoader(data, batch_size=1, num_workers=1))
    assert "workers" in str(refusal())
    assert len(list(batches)) == 8
    del batches
    assert refusal() is None
    monkeypatch.setattr(arms_module, "MOST_SHARED", 10)
    shared = torch.zeros(1000).share_memory_()
    assert "shares much memory" in str(refusal())
    del shared


def _steps(control: list[float | None], arm: list[float | None], **more: Any) -> Arms:
    return Arms(Trace(tuple(control), (), None), (Trace(tuple(arm), (), more.get("stopped")),), 0.1)


def test_what_depends_on_each_other_is_not_counted_twice() -> None:
    draw = random.Random(0)
    wrong = 0
    for _ in range(400):
        noise, differences = 0.0, []
        for _ in range(60):
            noise = 0.5 * noise + draw.gauss(0, 1)
            differences.append(noise)
        (found,) = compare(_steps([1.0] * 60, [1 + d for d in differences]), comparable=True)
        assert found.difference is not None
        wrong += not found.difference.low <= 0 <= found.difference.high
    assert wrong / 400 < 0.09, "about 5% by its name"


@pytest.mark.parametrize(
    ("control", "arm", "mean"),
    [
        ([1.0] * 20, [1.0] * 10 + [None] * 10, math.inf),
        ([1.0] * 10 + [None] * 10, [1.0] * 20, -math.inf),
        ([None] * 20, [None] * 20, None),
        ([1.0] * 20, [1.0] * 5, None),
        ([1.0] * 3, [1.0] * 3, None),
        ([2.0] * 20, [1.5] * 20, -0.5),
        ([2.0] * 20, [1.5] * 15, -0.5),
        ([], [], None),
    ],
)
def test_what_is_not_finite_loses(
    control: list[float | None], arm: list[float | None], mean: float | None
) -> None:
    (found,) = compare(_steps(control, arm), comparable=True)
    assert (None if found.difference is None else found.difference.mean) == mean
    assert (found.because is None) == (mean is not None)


def test_an_accuracy_that_some_steps_lack() -> None:
    control = Trace((1.0,) * 20, (None, *(0.5,) * 19), None)
    arm = Trace((9.0,) * 20, (None, *(0.75,) * 19), None)
    (found,) = compare(Arms(control, (arm,), 0.1), comparable=False)
    assert found == Comparison("error", 0.5, 0.25, found.difference)
    assert found.difference is not None
    assert found.difference.mean == -0.25
    (found,) = compare(_steps([1.0] * 20, [1.0] * 20), comparable=False)
    assert found.because is not None


def _timed(act: Callable[[], Asked | None]) -> tuple[Asked, float]:
    begin = time.perf_counter()
    asked = act()
    assert asked is not None
    return asked, 1000 * (time.perf_counter() - begin)


@pytest.mark.timeout(0 if FORKS > 50 else 300)
def test_soak(training: type[Any], program: Any, tmp_path: Path) -> None:
    """``FITWELL_FORKS`` forks of one training: none hangs, and the training ends as without any."""
    alone, mine = training(rate=0.01), training(rate=0.01)
    torch.manual_seed(5)
    alone.train(4 * FORKS)
    torch.manual_seed(5)
    paid: list[float] = []
    took: list[float] = []
    files = os.listdir("/proc/self/fd")
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for number in range(FORKS):
        with program(
            mine.optimizer, at=10**9
        ):  # nothing is asked for by a hook: an arm ends as a program does
            mine.train(2)
            asked, milliseconds = _timed(
                lambda: ask([SLOWER], steps=30, seconds=60.0, optimizer=mine.optimizer) or _rest(mine)
            )
            mine.train(2)
            found = asked.result(wait=120)
        assert found is not None, number
        assert [len(t.losses) for t in (found.control, *found.arms)] == [30, 30], (number, found)
        assert list(found.control.losses[:2]) == mine.losses[-2:], number
        paid.append(milliseconds)
        took.append(found.seconds / 2)
    assert mine.losses == alone.losses
    assert os.listdir("/proc/self/fd") == files
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory
    sys.stdout.write(
        f"{FORKS} forks: paid {statistics.median(paid):.1f} ms (median), {max(paid):.1f} ms (most); "
        f"an arm of 30 steps {statistics.median(took):.3f} s of processor; memory grew by {grown} kB\n"
    )


def _rest(mine: Any) -> None:
    """An arm returns from ``ask`` into the program's loop."""
    mine.train(40)
