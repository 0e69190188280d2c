"""What-if forks: the training as it is beside the same training with one thing changed, both from where it is now.

The program forks once, at a step. This child, the consultant, forks one arm after another from the same state: the
control, then one for each change. An arm returns into the program's own loop, which goes on in it for some steps; the
program itself hears of nothing, and later reads what came of it.
"""

from __future__ import annotations

import json
import math
import os
import select
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean
from typing import Any, Literal

import torch

from fitwell.experiment import Change, Paired, paired
from fitwell.treating.forks.arm import begin
from fitwell.treating.forks.memory import available, resident
from fitwell.watching import fork
from fitwell.watching.isolated import shared_memory

MOST_SHARED = 1 << 28  # bytes of shared memory, which are copied
GRACE = 1.0  # seconds for the consultant to end itself
FEWEST = 4  # steps that are compared
BLOCKS = 5  # of steps: their means depend less on each other than the steps do


@dataclass(frozen=True)
class Trace:
    """What one arm saw.

    Args:
        losses: the objective of each step (the sum of what ``backward`` was called on); None is not finite.
        accuracies: of the batches of each step, as far as there are any; empty if nothing is classified.
        stopped: why it ended early, such as ``it wrote to a file: best.pt``.
    """

    losses: tuple[float | None, ...]
    accuracies: tuple[float | None, ...]
    stopped: str | None


@dataclass(frozen=True)
class Arms:
    """What came of a fork.

    Args:
        control: the training as it is.
        arms: one for each change that was asked for.
        seconds: processor time of all children.
    """

    control: Trace
    arms: tuple[Trace, ...]
    seconds: float


class Asked:
    """A fork at work, seen from the program."""

    def __init__(self, child: fork.Child) -> None:
        self._child = child

    @property
    def done(self) -> bool:
        """Whether the result is there, or there will be none; ``result`` and ``stop`` find out."""
        return self._child.done

    def result(self, wait: float = 0.0) -> Arms | None:
        """What came of it; None as long as it is at work, and for ever if it failed.

        Args:
            wait: at most so many seconds for it.
        """
        sent = self._child.result(wait)
        if sent is None or "traces" not in sent:
            return None
        control, *arms = (Trace(**{k: _tuple(v) for k, v in trace.items()}) for trace in sent["traces"])
        return Arms(control, tuple(arms), sent["seconds"])

    def stop(self) -> None:
        """Wait no longer: all its processes are gone afterwards."""
        self._child.stop(GRACE)


def refusal() -> str | None:
    """Why nothing can be tried in a fork of this process now; None if it can be."""
    why = fork.refusal()
    if why is not None:
        return why
    processes = sys.modules.get("multiprocessing.process")
    if getattr(processes, "_children", None):
        return "other processes work for the program, such as the workers of a DataLoader"
    if resident() > available():
        return "a second one of it would not fit into memory"
    if shared_memory() > MOST_SHARED:
        return "it shares much memory with other processes"
    return None


def ask(
    changes: Sequence[Sequence[Change]], *, steps: int, seconds: float, optimizer: torch.optim.Optimizer
) -> Asked | None:
    """Fork: try some changes for some steps; ask ``refusal`` before.

    To be called from the last hook after a step of an optimizer. In the program this returns what is asked; in an
    arm it returns None, and the caller must return to the training loop.

    Args:
        changes: one entry for each arm beside the control.
        steps: of the optimizer, that each arm takes.
        seconds: wall time for all of them; each arm gets its share of what is left.
        optimizer: whose steps count.

    Raises:
        OSError: there is no memory or no process left.
    """
    child = fork.split(seconds + GRACE)
    if not isinstance(child, int):
        return Asked(child)
    try:
        pipe, chosen, room = _consult(child, [(), *changes], time.monotonic() + seconds)
    except BaseException:
        os._exit(1)
    begin(pipe, chosen, steps, optimizer, room)
    return None


def _consult(
    report: int, changes: Sequence[Sequence[Change]], end: float
) -> tuple[int, Sequence[Change], float]:
    """Fork the arms and report on them; this returns in an arm alone."""
    room = available() / 2
    traces = []
    for number, chosen in enumerate(changes):
        share = max(0.01, (end - time.monotonic()) / (len(changes) - number))
        arm = fork.split(share)
        if isinstance(arm, int):
            return arm, chosen, room
        _listen(arm, report)
        traces.append(_trace(arm))
    os.write(report, json.dumps({"traces": traces, "seconds": sum(os.times()[:4])}).encode())
    os._exit(0)


def _listen(arm: fork.Child, report: int) -> None:
    """Wait for the end of an arm; if nobody waits for the report, end it, and this process."""
    reader = select.poll()
    reader.register(report, 0)
    while not arm.done:
        arm.read(wait=0.05)
        if reader.poll(0):
            arm.stop()
            os._exit(0)


def _trace(arm: fork.Child) -> dict[str, Any]:
    """As JSON what an arm sent until it ended, however that was."""
    lines = [json.loads(line) for line in arm.sent.split(b"\n")[:-1]]
    ended = next((line for line in lines if "stopped" in line), None)
    steps = [line for line in lines if "loss" in line]
    accuracies = [step["accuracy"] for step in steps]
    return {
        "losses": [step["loss"] for step in steps],
        "accuracies": accuracies if any(each is not None for each in accuracies) else [],
        "stopped": ended["stopped"] if ended else _end_of(arm.status),
    }


def _end_of(status: int | None) -> str:
    """How a process ended that did not say so."""
    code = os.waitstatus_to_exitcode(status) if status is not None else 0
    if code >= 0:
        return "the program ended"
    said = {signal.SIGALRM: "its time was over", signal.SIGXFSZ: "it wrote to a file"}
    return said.get(signal.Signals(-code), f"it was ended by {signal.Signals(-code).name}")


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


@dataclass(frozen=True)
class Comparison:
    """An arm beside the control: the lower, the better.

    Args:
        measure: the ``loss``; or the ``error``, the share of wrong answers.
        control: its mean over the steps that are compared; None if it was not finite.
        treated: the same of the arm.
        difference: treated minus control; infinite if one of them was not finite; None if there is nothing to compare.
        because: why there is not.
    """

    measure: Literal["loss", "error"]
    control: float | None = None
    treated: float | None = None
    difference: Paired | None = None
    because: str | None = None


def compare(arms: Arms, comparable: bool) -> tuple[Comparison, ...]:
    """Each arm beside the control over the second half of their steps, when a change has had time to show.

    The differences of the same steps are averaged in blocks, and the interval is that of the blocks' means: what
    follows each other in a training depends on each other (batch means: Schmeiser 1982, Operations Research 30:556).

    Args:
        arms: all of them.
        comparable: whether the loss means the same in every arm; else the accuracy is compared.
    """
    return tuple(_compared(arms.control, arm, comparable) for arm in arms.arms)


def _compared(control: Trace, arm: Trace, comparable: bool) -> Comparison:
    if comparable:
        return _paired("loss", control.losses, arm.losses, control.stopped or arm.stopped)
    if not control.accuracies or not arm.accuracies:
        return Comparison("error", because="its loss can't be compared, and nothing is classified")
    before, after = ([None if a is None else 1 - a for a in each.accuracies] for each in (control, arm))
    return _paired("error", before, after, control.stopped or arm.stopped)


def _paired(
    measure: Literal["loss", "error"],
    control: Sequence[float | None],
    arm: Sequence[float | None],
    stopped: str | None,
) -> Comparison:
    steps = min(len(control), len(arm))
    first = max(len(control), len(arm)) // 2
    if steps - first < FEWEST:
        return Comparison(
            measure, because=f"too few steps to compare: {stopped}" if stopped else "too few steps"
        )
    pairs = list(zip(control, arm, strict=False))[first:]
    before, after = (_mean([pair[which] for pair in pairs]) for which in (0, 1))
    if before is None and after is None:
        return Comparison(measure, because=f"the {measure} is not finite in either")
    if before is None or after is None:
        worst = math.inf if after is None else -math.inf
        return Comparison(measure, before, after, Paired(worst, worst, worst, len(pairs)))
    differences = [b - a for a, b in pairs if a is not None and b is not None]
    return Comparison(measure, before, after, paired(_blocks(differences)))


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if len(known) == len(values) else None


def _blocks(differences: Sequence[float]) -> list[float]:
    """The means of as many blocks of neighbours, of nearly one size."""
    count = min(BLOCKS, len(differences) // 2)
    cuts = [len(differences) * number // count for number in range(count + 1)]
    return [fmean(differences[low:high]) for low, high in pairwise(cuts)]
