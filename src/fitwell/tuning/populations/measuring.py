"""Measure all members of a population on their parts of the data, in evaluation mode."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.func import vmap

from fitwell.data.contract import Data, Split
from fitwell.training.evaluation import measure, metrics, outputs_of
from fitwell.training.job import Job
from fitwell.tuning.objective import Objective, choose_objective

if TYPE_CHECKING:
    from fitwell.tuning.populations.population import Population

AT_ONCE = 8192  # samples of all members together that are evaluated at once: more leave the cache
FEWEST = 64
OBJECTIVE = "objective"  # the name of the figure that trials are compared by, lower is better


def measure_members(population: Population) -> list[dict[str, float]]:
    """The figures of each member, as ``loop.end_epoch`` names them, and ``objective/train``, ``objective/val``."""
    jobs = population.jobs
    rows: list[dict[str, float]] = [{} for _ in jobs]
    for part in ("train", "val"):
        splits = [job.train_sample if part == "train" else job.data.validation for job in jobs]
        if _shared(splits):
            found = _together(population, splits[0]) if splits[0] else [{} for _ in jobs]
        else:
            found = [figures_alone(job, split) for job, split in zip(jobs, splits, strict=True)]
        for row, figures in zip(rows, found, strict=True):
            row |= {f"{name}/{part}": value for name, value in figures.items()}
    return rows


def _shared(splits: list[Split | None]) -> bool:
    """Whether all members have the same samples in this part, or none."""
    first = splits[0]
    if first is None:
        return all(split is None for split in splits)
    return all(
        split is not None
        and split.fields is first.fields
        and (split.index is first.index or torch.equal(split.index, first.index))
        for split in splits
    )


def figures_alone(job: Job, split: Split | None) -> dict[str, float]:
    """The figures of one member on samples of its own."""
    if split is None:
        return {}
    target, chosen = job.data.shape.target, objective_of(job.data)
    if target.kind == "none":
        loss = measure(job.family, job.model, split, target)["loss"]
        return {"loss": loss, OBJECTIVE: loss}
    outputs, y = outputs_of(job.family, job.model, split), split.fields["y"].index_select(0, split.index)
    with torch.inference_mode():
        figures = {"loss": job.family.score(job.model, outputs, {"y": y}).double()}
        figures |= metrics(outputs, y, target) | {OBJECTIVE: chosen.score(outputs, y, target)}
    return dict(zip(figures, torch.stack(list(figures.values())).tolist(), strict=True))


def objective_of(data: Data) -> Objective:
    """What trainings on some data are compared by."""
    return choose_objective(data.shape.target, len(data.validation) if data.validation else 0)


def _together(population: Population, split: Split) -> list[dict[str, float]]:
    """The figures of each member on the same samples."""
    stack, first = population.stack(0, len(population.jobs)), population.jobs[0]
    target, chosen = first.data.shape.target, objective_of(first.data)
    size = max(FEWEST, AT_ONCE // len(population.jobs))
    said_KNO, totals, done = torch.empty(0), list[Tensor](), 0
    stack.module.eval()
    with torch.inference_mode():
        for batch in split.batches(size):
            shown = {name: values[None] for name, values in batch.items()}
            outputs_KBO = stack.outputs(shown)
            totals.append(stack.criterion(outputs_KBO, shown["y"]).double() * len(batch["y"]))
            if not done:  # in one piece: many would leave the memory of the layers in pieces
                said_KNO = outputs_KBO.new_empty(len(outputs_KBO), len(split), *outputs_KBO.shape[2:])
            said_KNO[:, done : done + len(batch["y"])] = outputs_KBO
            done += len(batch["y"])
        y = split.fields["y"].index_select(0, split.index)

        def judged(outputs_NO: Tensor) -> dict[str, Tensor]:
            return metrics(outputs_NO, y, target) | {OBJECTIVE: chosen.score(outputs_NO, y, target)}

        chunk = max(1, AT_ONCE // len(split))  # members: probabilities are held several times, in float64
        figures = {"loss": torch.stack(totals).sum(0) / len(split)}
        figures |= vmap(judged, chunk_size=chunk)(said_KNO)
    columns = torch.stack(list(figures.values())).tolist()  # one transfer from the device for all
    return [dict(zip(figures, row, strict=True)) for row in zip(*columns, strict=True)]
