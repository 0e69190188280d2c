"""A small training that forks at one of its steps; what is tried in a fork, and programs that are run in one."""

from __future__ import annotations

import atexit
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.optim.optimizer import register_optimizer_step_post_hook

from fitwell.experiment import Change
from fitwell.treating.changing.live import Live
from fitwell.treating.forks.arms import Arms, Asked, ask
from fitwell.treating.reruns.rerun import Rerun, forked_rerun
from fitwell.treatment import Outcome


@contextmanager
def as_a_program() -> Iterator[None]:
    """An arm must not go on into the tests: it ends as Python ends a program."""
    process = os.getpid()
    try:
        yield
    except BaseException as error:
        if os.getpid() == process:
            raise
        if not isinstance(error, SystemExit):
            sys.excepthook(type(error), error, error.__traceback__)
    finally:
        if os.getpid() != process:
            atexit._run_exitfuncs()
            os._exit(0)


@contextmanager
def asking(
    optimizer: torch.optim.Optimizer,
    changes: Sequence[Sequence[Change]] = (),
    *,
    at: int = 3,
    steps: int = 6,
    seconds: float = 30.0,
) -> Iterator[list[Asked]]:
    """Ask at a step of an optimizer, as a hook that stays in place."""
    found: list[Asked] = []
    count = 0

    def stepped(which: torch.optim.Optimizer, *_: Any) -> None:
        nonlocal count
        count += which is optimizer
        if count == at and which is optimizer:
            asked = ask(changes, steps=steps, seconds=seconds, optimizer=optimizer)
            if asked is not None:
                found.append(asked)

    handle = register_optimizer_step_post_hook(stepped)
    try:
        with as_a_program():
            yield found
    finally:
        handle.remove()
        for each in found:
            each.stop()


@dataclass
class Training:
    """A classifier with dropout on random batches; ``in_arm`` is called at each step of an arm."""

    in_arm: Callable[[], Any] = lambda: None
    each_step: Callable[[], Any] = lambda: None
    rate: float = 0.1
    losses: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        torch.manual_seed(0)
        self.model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Dropout(0.2), nn.Linear(16, 3))
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=self.rate, momentum=0.9)
        self._process = os.getpid()

    def train(self, steps: int) -> None:
        """Some steps; the losses are kept."""
        for _ in range(steps):
            x = torch.randn(16, 8)
            loss = F.cross_entropy(self.model(x), (x[:, 0] > 0).long())
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            self.losses.append(loss.item())
            self.each_step()
            if os.getpid() != self._process:
                self.in_arm()

    def asked(self, changes: Sequence[Sequence[Change]] = (), total: int = 12, **more: Any) -> Arms:
        """Train and ask on the way."""
        with asking(self.optimizer, changes, **more) as found:
            with as_a_program():
                self.train(total)
            arms = found[0].result(wait=60)
        assert arms is not None
        return arms


@pytest.fixture
def training() -> type[Training]:
    """The class of trainings."""
    return Training


@pytest.fixture
def program() -> Callable[..., Any]:
    """``with program(optimizer, changes) as asked:`` a loop of its own."""
    return asking


@pytest.fixture
def live() -> Iterator[Live]:
    """A live training whose changes are undone after the test."""
    live = Live()
    yield live
    live.undo()


@pytest.fixture
def in_fork() -> Callable[[Callable[[], Any]], Any]:
    """What a function gives, as JSON, in a fork of the tests: there it may change what it likes."""

    def result(act: Callable[[], Any]) -> Any:
        reading, writing = os.pipe()
        pid = os.fork()
        if not pid:
            try:
                os.write(writing, json.dumps(act()).encode())
            finally:
                os._exit(0)
        os.close(writing)
        with os.fdopen(reading, "rb") as pipe:
            sent = pipe.read()
        os.waitpid(pid, 0)
        return json.loads(sent)

    return result


@pytest.fixture
def what(tmp_path: Path) -> Rerun:
    """A rerun of ``train.py``, beside a run called ``parent``."""
    return Rerun("train.py", (), False, str(tmp_path), str(tmp_path / "runs"), "parent")


@pytest.fixture
def ran(what: Rerun, tmp_path: Path) -> Callable[..., tuple[Outcome, str]]:
    """``ran(text of train.py, seed=1)``: how it ends in a fork, and what it prints."""

    def run(source: str, seconds: float | None = None, **other: Any) -> tuple[Outcome, str]:
        (tmp_path / "train.py").write_text(source)
        done = forked_rerun(replace(what, **other), seconds)
        return done, (Path(done.run) / "stdout.log").read_text()

    return run
