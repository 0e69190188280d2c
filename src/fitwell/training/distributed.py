"""One training in several processes, as ``torchrun`` starts them: each takes its share of every batch.

All processes hold the same data and the same weights. The gradient of a batch is the sum of its shares' gradients,
each weighted by its samples, so a step is the step of one process with the whole batch, up to rounding. The first
process (rank 0) alone writes, draws and speaks, and what it measures or decides holds for all.

This is the data parallelism of torch's DistributedDataParallel (Li et al. 2020, "PyTorch Distributed", section 3),
but with one explicit message a step in the place of its wrapper, which does not fit here: it wants the loss to come
from one call of a module, where an RBM minimises a difference of free energies; it waits for every process in every
batch, where a small last batch has no sample for some; and a watcher would see the wrapper for the model. The message
carries the loss of the step, the statistics of batch norm and signals as well, for which the wrapper would need
messages of their own. Given up is that a gradient is sent while others are still computed, which large models on
several GPUs would notice.
"""

from __future__ import annotations

import atexit
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, redirect_stderr, redirect_stdout
from datetime import timedelta
from typing import TYPE_CHECKING, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from fitwell.data.contract import Data
from fitwell.errors import DataError, DivergedError, PlanError, Preempted, RunError
from fitwell.plan import Plan
from fitwell.training.interrupts import Interrupts, noted

if TYPE_CHECKING:
    from fitwell.training.job import Job

PATIENCE = timedelta(minutes=30)  # until a process that is waited for counts as gone
LOOK = 32  # steps between two looks at the signals where a look waits for the device
STATISTICS = ("running_mean", "running_var")  # of batch norm: a batch changes them, not a gradient

Step = list[tuple[Tensor, float]]  # batches: sample indices, and their share of the step
T = TypeVar("T")


class Alone:
    """One process, which has everything to itself: nothing is divided, and nobody has to be asked."""

    rank, count = 0, 1

    @property
    def first(self) -> bool:
        """Whether this process writes, draws and speaks."""
        return self.rank == 0

    def placed(self, plan: Plan) -> Plan:
        """The plan with the device of this process."""
        return plan

    def noticed(self, plan: Plan, data: Data) -> tuple[str, ...]:  # noqa: ARG002 - nothing differs
        """What a person should know about the division of a decided plan; every process must have this data."""
        return ()

    def same(self, value: T) -> T:
        """The value that the first process has, JSON, in every process."""
        return value

    def shares(self, job: Job, steps: Iterable[Step]) -> Iterable[Step]:  # noqa: ARG002 - all of it
        """This process's share of the batches of each step."""
        return steps

    def combine(self, job: Job) -> None:
        """Make the gradients of the shares those of the whole step, in every process."""

    def noted(self) -> AbstractContextManager[Interrupts]:
        """Note signals inside the block: the same in every process, after the same step."""
        return noted()


ALONE = Alone()


class Together(Alone):
    """This process as one of several that train one model.

    Args:
        rank: its number.
        count: how many there are.
        device: where it computes.
    """

    def __init__(self, rank: int, count: int, device: str) -> None:
        self.rank, self.count, self.device = rank, count, device
        self._here, self._everywhere = Interrupts(), Interrupts()
        self._parameters: list[Tensor] = []
        self._statistics: list[Tensor] = []
        self._weight = 0.0  # this process's share of the step
        self._before = torch.zeros(())  # the tally before the step

    def placed(self, plan: Plan) -> Plan:
        """The plan with this process's own GPU, or the CPU."""
        return plan.change(device=self.device)

    def noticed(self, plan: Plan, data: Data) -> tuple[str, ...]:
        """How many processes there are, and what differs from one.

        Raises:
            DataError: this process has read other data than the first one.
        """
        if self.same(data.fingerprint) != data.fingerprint:
            raise DataError(
                f"process {self.rank} has other data than process 0",
                "the same data in every process: fitwell divides each batch among them",
                "give every process all of the data",
            )
        note = f"{self.count} processes, each with its share of a batch's {plan.batch_size} samples"
        if plan.model.norm == "batch":
            note += (
                "; batch norm normalises each share by itself, so the result is not quite that of one process"
            )
        return (note,)

    def same(self, value: T) -> T:
        """The value that the first process has, sent as JSON."""
        text = torch.tensor(list(json.dumps(value).encode()))
        size = torch.tensor(len(text))
        with _answered():
            dist.broadcast(size, 0)
            text = text if self.first else text.new_empty(int(size))
            dist.broadcast(text, 0)
        told: T = json.loads(bytes(text.tolist()))
        return told

    def shares(self, job: Job, steps: Iterable[Step]) -> Iterator[Step]:
        """This process's samples of each batch, and their share of the step; a batch without any is left out.

        The first process draws random numbers as a training in one process does, and its checkpoints keep the
        state of that stream. The others begin a new stream at each step, which a resumed training finds again.
        """
        self._parameters = [p for p in job.model.parameters() if p.requires_grad]
        self._statistics = [s for name, s in job.model.named_buffers() if name.endswith(STATISTICS)]
        for step in steps:
            if not self.first:
                seed = (job.plan.seed * 1_000_003 + job.step) * self.count + self.rank
                _stream(job.device).manual_seed(seed % 2**63)
            self._before = job.tally.clone()
            mine = [(share(index, self.rank, self.count), index, weight) for index, weight in step]
            batches = [(own, weight * len(own) / len(index)) for own, index, weight in mine if len(own)]
            self._weight = sum(weight for _, weight in batches)
            yield batches

    def combine(self, job: Job) -> None:
        """Sum the shares' gradients over the processes, and what else each has to tell, in one message."""
        told = torch.tensor([self._here.received * (r == self.rank) for r in range(self.count)])
        parts = [torch.zeros_like(p) if p.grad is None else p.grad for p in self._parameters]
        parts += [values * self._weight for values in self._statistics]
        parts += [values.to(parts[0]) for values in (job.tallied() - self._before, told)]
        message = torch.cat([part.reshape(-1) for part in parts])
        with _answered():
            dist.all_reduce(message)
        pieces = message.split([part.numel() for part in parts])
        sums = iter([piece.view(part.shape) for piece, part in zip(pieces, parts, strict=True)])
        for parameter in self._parameters:
            parameter.grad = next(sums)
        for values in self._statistics:
            values.copy_(next(sums))
        job.tally = self._before + next(sums)
        if job.device.type == "cpu" or job.step % LOOK == 0:
            self._everywhere.received = int(next(sums).max())

    @contextmanager
    def noted(self) -> Iterator[Interrupts]:
        """Note a signal that any process got, in every process after the same step."""
        with noted() as self._here:
            yield self._everywhere
            number = torch.tensor(self._here.received)  # also one that came after the last step
            with _answered():
                dist.all_reduce(number, dist.ReduceOp.MAX)
            self._everywhere.received = int(number)

    def wait(self) -> None:
        """Wait until every process is here."""
        with _answered():
            dist.all_reduce(torch.zeros(()))


def share(index: Tensor, rank: int, count: int) -> Tensor:
    """The samples of a batch that one of several processes takes; their numbers differ by one at most.

    Of a batch with fewer than two samples for each process, some get none, for one sample has no variance: batch
    norm could not be computed.
    """
    pieces = min(count, max(1, len(index) // 2))
    return torch.tensor_split(index, pieces)[rank] if rank < pieces else index[:0]


def processes() -> int:
    """How many processes ``torchrun`` (or what else sets RANK and WORLD_SIZE) has started for this training."""
    return int(os.environ["WORLD_SIZE"]) if {"RANK", "WORLD_SIZE"} <= os.environ.keys() else 1


@contextmanager
def joined(plan: Plan) -> Iterator[Alone]:
    """This process with the others that were started with it, for as long as the block lasts.

    What all processes do, they end together: when the block is over, and where a signal or a loss that is not
    finite ends it for all of them. Otherwise the one that fails leaves, and the others learn of it as they wait.

    Raises:
        PlanError: several processes can't train on the plan's device.
        RunError: another process is gone.
    """
    if processes() == 1:
        yield ALONE
        return
    group = Together(int(os.environ["RANK"]), processes(), _device(plan))
    _meet()
    try:
        yield group
    except (Preempted, DivergedError):
        group.wait()
        raise
    group.wait()


def _meet() -> None:
    """Make torch's process group, unless there is one; it lasts as long as the process, for none meets twice."""
    if dist.is_initialized():
        return
    with _answered():
        backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
        dist.init_process_group(backend, timeout=PATIENCE)
    atexit.register(_part)


def _part() -> None:
    if dist.is_initialized():
        dist.destroy_process_group()


@contextmanager
def one_voice() -> Iterator[None]:
    """What the block prints is printed by the first process alone."""
    if processes() == 1 or os.environ["RANK"] == "0":
        yield
        return
    with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere), redirect_stderr(nowhere):
        yield


def _device(plan: Plan) -> str:
    kind = plan.device.partition(":")[0]
    if kind == "auto":
        kind = "cuda" if torch.cuda.is_available() else "cpu"
    if kind not in ("cpu", "cuda"):
        raise PlanError(
            f"{processes()} processes on device {plan.device!r}", "cpu or cuda", "change --device"
        )
    if kind == "cpu":
        return kind
    number = int(os.environ.get("LOCAL_RANK", os.environ["RANK"]))
    if number >= torch.cuda.device_count():
        raise PlanError(
            f"process {number} of this machine would need device cuda:{number}",
            f"a GPU for each process; there are {torch.cuda.device_count()}",
            "start fewer processes with --nproc-per-node, or take --device cpu",
        )
    torch.cuda.set_device(number)
    return f"cuda:{number}"


def _stream(device: torch.device) -> torch.Generator:
    """The generator that torch draws from on a device."""
    return torch.cuda.default_generators[device.index] if device.type == "cuda" else torch.default_generator


@contextmanager
def _answered() -> Iterator[None]:
    """Say in plain words that another process did not answer; its own message tells why."""
    try:
        yield
    except (RuntimeError, ValueError) as error:  # ValueError: a variable of torchrun is missing
        raise RunError(
            f"the processes of this training can't reach each other: {error}",
            "all of them at work until the end, with the variables that torchrun sets",
            "see what the one that ended said; then go on with `fitwell resume`, under torchrun again",
        ) from None
