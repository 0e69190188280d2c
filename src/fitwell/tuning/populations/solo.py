"""A training by itself, one epoch at a time: for members whose models can't be stacked."""

from __future__ import annotations

from torch import Tensor

from fitwell.errors import DivergedError
from fitwell.training.job import Job
from fitwell.training.loop import train
from fitwell.tuning.populations.measuring import OBJECTIVE, figures_alone
from fitwell.tuning.populations.members import Member
from fitwell.tuning.populations.streams import drawing_from


class Solo:
    """A population of one, trained by the loop that ``fit`` uses.

    Args:
        member: between two epochs.
    """

    def __init__(self, member: Member) -> None:
        self.members = [member]
        _contiguous(member.job)

    def epoch(self) -> list[dict[str, float]]:
        """Train for one epoch, and measure it: see ``Population.epoch``."""
        (member,) = self.members
        job, epochs, kept = member.job, member.job.epochs, _Kept()
        job.epochs = job.epoch + 1
        try:
            with drawing_from(member.stream):
                train(job, kept)
        except DivergedError as error:
            member.failed = error.happened
        finally:
            job.epochs = epochs
        if member.failed:
            job.epoch += 1
            return [{}]
        parts = {"train": job.train_sample, "val": job.data.validation}
        with job.evaluated_weights():
            figures = {part: figures_alone(job, split) for part, split in parts.items() if split is not None}
        row = kept.row | {f"{OBJECTIVE}/{part}": found[OBJECTIVE] for part, found in figures.items()}
        member.add(row)
        return [row]


def _contiguous(job: Job) -> None:
    """Tensors that lie together, which torch's fused optimizers need: those of a padded row do not."""
    for parameter in job.model.parameters():
        parameter.data = parameter.data.contiguous()
    for state in job.optimizer.state.values():
        for name, value in state.items():
            if isinstance(value, Tensor):
                state[name] = value.contiguous()


class _Kept:
    """Remembers the figures of the last epoch."""

    row: dict[str, float]

    def step(self, job: Job) -> None:
        """Nothing."""

    def epoch(self, job: Job, row: dict[str, float]) -> None:  # noqa: ARG002 - the recorder's contract
        """Keep them."""
        self.row = row
