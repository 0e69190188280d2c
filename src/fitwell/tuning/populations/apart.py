"""A worker: a forked process that trains members, because threads of Python wait for each other at every operation.

It begins with everything as it is here and trains on a copy. After each epoch it tells the figures, which is all that
most decisions need; weights, moments and streams come over when they are asked for, as a checkpoint's content.
"""

from __future__ import annotations

import gc
import multiprocessing
import signal
import sys
import traceback
import warnings
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

import torch
from safetensors.torch import load as from_bytes

from fitwell.errors import FitwellError
from fitwell.training import checkpoint
from fitwell.tuning.populations.members import Member
from fitwell.tuning.populations.packing import Say, Trainer
from fitwell.tuning.populations.streams import drawing_from
from fitwell.tuning.trials import Row

EPOCH, BRING = "epoch", "bring"  # what a worker is asked for
TENSORS = 3  # groups of them in a checkpoint: weights, others, best


Make = Callable[[Say], Trainer]


@dataclass(frozen=True)
class Told:
    """What the decisions about a member need after an epoch."""

    row: Row
    failed: str | None
    epoch: int
    step: int
    best_score: float
    best_epoch: int


def possible() -> bool:
    """Whether this process may be forked to train.

    Only Linux forks safely what has torch in it. A device can't be shared with a forked process; where there is one,
    autograd has a thread for it, and refuses to go back in a forked process.
    """
    return (
        sys.platform == "linux"
        and not torch.cuda.is_available()
        and not torch.xpu.is_available()
        and not multiprocessing.current_process().daemon  # such a one may have no children
    )


class Worker:
    """A forked process that trains members, on one core.

    Args:
        make: makes what trains the members, in the forked process.
        members: as they are now.

    Raises:
        OSError: there is no memory or no process left.
    """

    def __init__(self, make: Make, members: Sequence[Member]) -> None:
        self.members = list(members)
        fork = multiprocessing.get_context("fork")
        self.pipe, theirs = fork.Pipe()
        self.process = fork.Process(target=_work, args=(theirs, self.pipe, make, self.members), daemon=True)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of Python 3.12, if there are other threads
            try:
                self.process.start()
            except OSError:
                self.pipe.close()
                raise
            finally:
                theirs.close()
        self._end = weakref.finalize(self, _end, self.process, self.pipe)

    def begin_epoch(self) -> None:
        """Let it train for one epoch."""
        self._ask(EPOCH)

    def end_epoch(self, say: Say) -> list[Row]:
        """Wait for the epoch's end; the figures of the members, which know them then.

        Args:
            say: is told why members can't be stacked.

        Raises:
            FitwellError: the process was ended from outside.
        """
        told, said = self._answer()
        for text in said:
            say(text)
        for member, one in zip(self.members, told, strict=True):
            _tell(member, one)
        return [one.row for one in told]

    def bring(self) -> None:
        """Let the members be as they are there, with weights and all.

        Raises:
            FitwellError: the process was ended from outside.
        """
        self._ask(BRING)
        for member in self.members:  # one after another: all at once would take as much memory again
            state = self._answer()
            tensors = [from_bytes(self._heard(self.pipe.recv_bytes)) for _ in range(TENSORS)]
            with drawing_from(member.stream):
                checkpoint.put_back(member.job, checkpoint.Snapshot(state, *tensors))

    def end(self) -> None:
        """End the process, as it ends with this object and with this process."""
        self._end()

    def _ask(self, what: str) -> None:
        try:
            self.pipe.send(what)
        except OSError:
            raise self._gone() from None

    def _answer(self) -> Any:
        answer = self._heard(self.pipe.recv)
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def _heard(self, receive: Callable[[], Any]) -> Any:
        try:
            return receive()
        except (EOFError, OSError):
            raise self._gone() from None

    def _gone(self) -> FitwellError:
        self.process.join()
        return FitwellError(
            f"a process that trained {len(self.members)} models was ended from outside (exit code "
            f"{self.process.exitcode}), perhaps because the memory was full",
            "a process that goes on until it is told to end",
            "`fitwell resume` goes on from the last checkpoints; with OMP_NUM_THREADS=1 less is trained at once",
        )


def _end(process: Any, pipe: Connection) -> None:
    process.kill()
    process.join()
    process.close()
    pipe.close()


def _work(pipe: Connection, parents: Connection, make: Make, members: Sequence[Member]) -> None:
    """In the worker: do what is asked for, until the other side is gone."""
    parents.close()  # else nobody would see that the other side is gone
    for number in (signal.SIGINT, signal.SIGTERM):  # Ctrl-C reaches all processes: the other side decides
        signal.signal(number, signal.SIG_IGN)
    torch.set_num_threads(1)  # the threads of the other side's pool are not here
    gc.freeze()  # a collection would touch, and so copy, all that is shared with the other side
    said: list[str] = []
    try:
        trainer = make(said.append)
        while (asked := _next(pipe)) is not None:
            if asked == EPOCH:
                rows = dict(zip(map(id, trainer.members), trainer.epoch(), strict=True))
                pipe.send(([_told(one, rows[id(one)]) for one in members], said))
                said.clear()
            else:
                for one in members:
                    _send(pipe, one)
    except BaseException as error:
        _send_error(pipe, error)


def _next(pipe: Connection) -> str | None:
    """What is asked for; None when the other side is gone."""
    try:
        return str(pipe.recv())
    except (EOFError, OSError):
        return None


def _send_error(pipe: Connection, error: BaseException) -> None:
    """Let an error be raised on the other side, with the trace of this one."""
    trace = traceback.format_exc()
    error.add_note(trace)
    try:
        pipe.send(error)
    except OSError:
        return
    except Exception:  # not every error can be sent
        pipe.send(RuntimeError(trace))


def _told(member: Member, row: Row) -> Told:
    job = member.job
    return Told(row, member.failed, job.epoch, job.step, job.best_score, job.best_epoch)


def _tell(member: Member, told: Told) -> None:
    job = member.job
    job.epoch, job.step, job.best_score, job.best_epoch = (
        told.epoch, told.step, told.best_score, told.best_epoch,
    )  # fmt: skip
    member.failed = told.failed
    if not told.failed:
        member.add(told.row)


def _send(pipe: Connection, member: Member) -> None:
    """Send what a checkpoint of a member would hold."""
    with drawing_from(member.stream):
        snapshot = checkpoint.taken(member.job)
    pipe.send(snapshot.state)
    for tensors in (snapshot.weights, snapshot.others, snapshot.best):
        pipe.send_bytes(checkpoint.to_bytes(tensors))
