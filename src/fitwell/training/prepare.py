"""From a plan and its data to a job that is ready for its first step."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from fitwell import data as datasets
from fitwell.data.contract import Data
from fitwell.models import family
from fitwell.plan import Plan
from fitwell.training import threads
from fitwell.training.artifact import build
from fitwell.training.defaults import decide
from fitwell.training.distributed import ALONE, Alone
from fitwell.training.ema import Ema
from fitwell.training.forecast import Iterations
from fitwell.training.job import Job
from fitwell.training.learning_rate import FALLBACK, find_learning_rate
from fitwell.training.loop import precision, vary
from fitwell.training.optimizers import make_optimizer
from fitwell.training.schedules import Schedule

Say = Callable[[str], None]


def load(plan: Plan) -> Data:
    """The data of a plan, with a target only where its family needs one."""
    supervised = plan.model.family == "auto" or family(plan.model.family).supervised
    return datasets.load(plan.data, plan.seed, supervised)


def prepare(
    plan: Plan, data: Data, say: Say = lambda _text: None, group: Alone = ALONE
) -> tuple[Job, dict[str, str]]:
    """Decide what the plan leaves open, measure threads and learning rate, and make the job.

    Args:
        plan: what the training is to be.
        data: its data.
        say: is told what is being measured.
        group: the processes that train it. Each measures, under the load of the others; the first one's figures hold.

    Returns:
        The job, whose plan is decided throughout, and the reasons by path.

    Raises:
        PlanError: the plan does not suit the data.
    """
    plan, reasons = decide(group.placed(_at_home(plan)), data)
    data = dataclasses.replace(data, notes=data.notes + group.noticed(plan, data))
    data = datasets.to_device(data, torch.device(plan.device))
    if plan.data.target is None and data.target_name and data.shape.target.kind != "none":
        plan = plan.change(target=data.target_name)
    if plan.threads == "auto":
        say("measuring how many threads are fastest")
        plan, reasons["threads"] = _choose_threads(plan, data)
        plan = plan.change(threads=group.same(plan.threads))
    torch.set_num_threads(int(plan.threads))
    if plan.optimizer.lr == "auto":
        say("looking for a learning rate")
        found = find_learning_rate(make_job(plan, data))
        plan, reasons["optimizer.lr"] = plan.change(lr=group.same(found.suggestion)), "; ".join(found.reasons)
    job = make_job(plan, data)
    job.group = group
    return job, reasons


def _at_home(plan: Plan) -> Plan:
    """The plan with a path that holds wherever the run is resumed."""
    source = plan.data.source
    local = isinstance(source, str) and source not in datasets.NAMES and Path(source).exists()
    return plan.change(source=str(Path(source).resolve())) if local else plan


def make_job(plan: Plan, data: Data) -> Job:
    """A job at its beginning: weights drawn from the plan's seed, nothing trained yet."""
    device = torch.device(plan.device)
    torch.manual_seed(plan.seed)
    model = build(plan, data.shape, class_counts(data)).to(device)
    rate = FALLBACK if plan.optimizer.lr == "auto" else plan.optimizer.lr
    optimizer = make_optimizer(plan.change(lr=rate).optimizer, model, device)
    epochs = int(plan.stopping.epochs)
    steps = Iterations.of(len(data.train), int(plan.batch_size), epochs, plan.accumulate).steps
    patience = plan.stopping.patience
    return Job(
        plan=plan, family=family(plan.model.family), model=model, data=data, optimizer=optimizer,
        schedule=Schedule(plan.schedule, optimizer, steps), device=device, epochs=epochs,
        patience=None if patience in (None, "auto") or data.validation is None else int(patience),
        ema=Ema(model, plan.regularization.ema) if plan.regularization.ema else None,
    )  # fmt: skip


def class_counts(data: Data) -> Tensor | None:
    """Training samples of each class, (number of classes,); None without classes."""
    target = data.shape.target
    if target.kind not in ("classes", "binary"):
        return None
    y = data.train.fields["y"].index_select(0, data.train.index).long().view(-1)
    return torch.bincount(y, minlength=len(target.names)).cpu()


def _choose_threads(plan: Plan, data: Data) -> tuple[Plan, str]:
    if plan.device != "cpu" or threads.available() == 1:
        return plan.change(threads=1), "one core is enough, or all there is"
    job = make_job(plan, data)

    def step() -> None:
        job.optimizer.zero_grad()
        with precision(job):
            loss = job.family.loss(
                job.model, vary(job, data.train.take(data.train.index[: int(plan.batch_size)]))
            )
        loss.backward()
        job.optimizer.step()

    best, seconds = threads.fastest(step, threads.available())
    measured = ", ".join(f"{count}: {taken * 1e3:.2f} ms" for count, taken in seconds.items())
    return plan.change(threads=best), f"a step took, by threads, {measured}"
