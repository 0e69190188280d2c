"""fitwell's side of ``tune.py``: populations in threads of Python, folds, memory, and ``fitwell.tune``.

Each function makes its contestant ready and returns what a worker runs. The members are shared out among threads of
Python with one OpenMP thread each, or are one population with all cores, whichever a study would measure to be faster.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from common import Measurement
from memory import MEGABYTE, forget_peak, peak
from tune_nets import BATCH, NETS, Net, data_of, plan_of, rates

Contestant = Callable[[int], Measurement]
FOLDS = 5
DIGITS_TEST = 360  # samples of digits that no search sees
DIGITS_SPACE: dict[str, Any] = {"lr": (1e-4, 1e-1), "hidden": (32, 64, 128), "weight_decay": (1e-5, 1e-1)}
TABLES = {"digits": ("digits", None), "telco": ("tabular/telco_churn.csv.gz", "Churn")}  # source, target


class Sides:
    """One population in each thread of Python, which train side by side.

    Args:
        members: that are dealt out like cards.
        threads: of Python.
        pool: that has them.
    """

    def __init__(self, members: Sequence[Any], threads: int, pool: ThreadPoolExecutor) -> None:
        from fitwell.tuning.population import Population

        self.pool = pool
        self.populations = [
            Population(part) for part in (members[i::threads] for i in range(threads)) if part
        ]

    def epochs(self, count: int) -> None:
        """Train and measure each member, so many epochs."""

        def some(population: Any) -> None:
            for _ in range(count):
                population.epoch()

        self._each(some)

    def _each(self, some: Callable[[Any], None]) -> None:
        """In threads of Python; a single population in this one, which knows how many cores OpenMP may take."""
        if len(self.populations) == 1:
            some(self.populations[0])
        else:
            list(self.pool.map(some, self.populations))

    def steps(self, count: int) -> None:
        """The bare steps of so many epochs: nothing is measured, nothing remembered."""

        def some(population: Any) -> None:
            for _ in range(count):
                population._train()
                for job in population.jobs:
                    job.epoch += 1  # the next one has another order

        self._each(some)


@contextmanager
def side_by_side(members: Sequence[Any], threads: int) -> Iterator[Sides]:
    """Populations of these members; all must have a form in common."""
    with ThreadPoolExecutor(threads) as pool:
        yield Sides(members, threads, pool)


def members_of(net: Net, count: int) -> list[Any]:
    """So many members, which differ in their learning rates."""
    from fitwell.tuning.members import member

    plan = plan_of(net)
    return [member(plan.change(lr=lr), data_of(net)) for lr in rates(count)]


def population(net_name: str, threads: str) -> Contestant:
    """Configurations as populations: bare steps, and the whole from plans to the figures of the last epoch."""
    import torch

    from fitwell.tuning.members import member
    from fitwell.tuning.packing import faster_one_by_one

    torch.set_num_threads(1)
    net, cores = NETS[net_name], int(threads)
    steps = len(data_of(net).train) // BATCH * net.epochs

    def train(configurations: int) -> Measurement:
        scale = 1e6 / (configurations * steps)
        start = time.perf_counter()
        # As a study decides it: one population with all cores, or one on each.
        whole = cores > 1 and faster_one_by_one(
            lambda: member(plan_of(net), data_of(net)), configurations, cores
        )
        torch.set_num_threads(cores if whole else 1)
        with side_by_side(members_of(net, configurations), 1 if whole else cores) as sides:
            made = time.perf_counter()
            sides.epochs(net.epochs)
            measured = time.perf_counter()
            sides.steps(net.epochs)
            end = time.perf_counter()
        return {
            "step": (end - measured) * scale,
            "epoch": (measured - made) * scale,
            "whole": (measured - start) * scale,
        }

    return train


def source_of(name: str) -> tuple[str, str | None]:
    """Source and target of a data set that is cross-validated."""
    source, target = TABLES[name]
    return (
        (source, target)
        if target is None
        else (str(Path(os.environ.get("FITWELL_DATA", "data"), source)), target)
    )


def fold_plans(name: str) -> tuple[float, list[tuple[Any, Any]]]:
    """Seconds of reading and dividing, then plan and data of each fold: fitwell's defaults, at a fixed rate."""
    from fitwell.data.folds import folds
    from fitwell.plan import DataPlan, Plan
    from fitwell.training.defaults import decide

    source, target = source_of(name)
    start = time.perf_counter()
    made = folds(DataPlan(source=source, target=target), FOLDS, seed=0)
    seconds = time.perf_counter() - start
    plan = Plan(data=source).change(target=target, model="mlp", lr=3e-3, threads=1, device="cpu")
    return seconds, [(decide(plan, data)[0], data) for data in made]


def one_fold(name: str) -> Contestant:
    """The first fold's training alone, by the loop that ``fit`` uses; ``read`` is reading without folds."""
    from fitwell import data as datasets
    from fitwell.plan import DataPlan
    from fitwell.training.loop import Silent, train
    from fitwell.training.prepare import make_job

    source, target = source_of(name)
    start = time.perf_counter()
    datasets.load(DataPlan(source=source, target=target))
    read = time.perf_counter() - start
    plan, data = fold_plans(name)[1][0]

    def fit(_amount: int) -> Measurement:
        start = time.perf_counter()
        job = make_job(plan, data)
        train(job, Silent())
        return {
            "seconds": time.perf_counter() - start,
            "read": read,
            "score": job.best_score,
            "epochs": job.epoch,
        }

    return fit


def all_folds(name: str, threads: str) -> Contestant:
    """All folds as members of populations."""
    import torch

    from fitwell.tuning.members import member

    torch.set_num_threads(1)
    read, pairs = fold_plans(name)
    epochs = int(pairs[0][0].stopping.epochs)

    def fit(_amount: int) -> Measurement:
        start = time.perf_counter()
        members = [member(plan, data) for plan, data in pairs]
        with side_by_side(members, int(threads)) as sides:
            sides.epochs(epochs)
        seconds = time.perf_counter() - start
        job = members[0].job
        return {"seconds": seconds, "read": read, "score": job.best_score, "epochs": job.epoch}

    return fit


def memory(net_name: str, threads: str) -> Contestant:
    """How far memory rises with so many members, once the data was read and a small population has trained."""
    import torch

    torch.set_num_threads(1)
    with side_by_side(members_of(NETS["digits"], 2), int(threads)) as sides:  # imports everything
        sides.epochs(1)
    net = NETS[net_name]

    def measure(count: int) -> Measurement:
        size = sum(values.nbytes for values in data_of(net).train.fields.values()) / MEGABYTE
        forget_peak()
        before = held()
        members = members_of(net, count)
        with side_by_side(members, int(threads)) as sides:
            sides.epochs(1)
        copies = {values.data_ptr() for one in members for values in one.job.data.train.fields.values()}
        fields = len(data_of(net).train.fields)
        return {"above": peak() - before, "data": size, "copies": len(copies) / fields}

    return measure


def held() -> float:
    """MB that the process holds now (Linux; elsewhere the most that it has held)."""
    status = Path("/proc/self/status")
    if not status.exists():
        return peak()
    line = next(line for line in status.read_text().splitlines() if line.startswith("VmRSS"))
    return float(line.split()[1]) / 1024


def digits_plan() -> Any:
    """The plan that is tuned: digits, with a test part that no search sees."""
    from fitwell.plan import Plan

    return Plan(data="digits").change(model="mlp", test=DIGITS_TEST)


def digits_parts() -> tuple[tuple[Any, Any], tuple[Any, Any]]:
    """The same division as arrays: all that a search may use, and the test part."""
    from fitwell import data as datasets

    data = datasets.load(digits_plan().data)
    x_NF = data.train.fields["x"].flatten(1).float().numpy() / 16
    y = data.train.fields["y"].long().numpy()
    test = data.test.index.numpy() if data.test else np.arange(0)
    rest = np.setdiff1d(np.arange(len(y)), test)
    return (x_NF[rest], y[rest]), (x_NF[test], y[test])


def tune_digits() -> Contestant:
    """``fitwell.tune``, random search, beside scikit-learn's."""
    from fitwell.space import Choice, LogUniform
    from fitwell.tuned import tune

    space = {
        "lr": LogUniform(*DIGITS_SPACE["lr"]),
        "hidden": Choice(DIGITS_SPACE["hidden"]),
        "weight_decay": LogUniform(*DIGITS_SPACE["weight_decay"]),
    }

    def search(configurations: int) -> Measurement:
        with tempfile.TemporaryDirectory() as folder:
            start = time.perf_counter()
            study = tune(digits_plan(), space, trials=configurations, method="random", runs=folder)
            seconds = time.perf_counter() - start
            evaluation = json.loads((study.path / "evaluation.json").read_text())
        if evaluation["part"] != "test":
            raise RuntimeError("the test part was not measured")
        confusion = np.array(evaluation["confusion"])
        return {"seconds": seconds, "accuracy": confusion.trace() / confusion.sum()}

    return search


def tune_trials() -> Contestant:
    """``fitwell.tune`` on trainings of one epoch of a tiny net on iris, each with its run directory."""
    start = time.perf_counter()
    from fitwell.plan import Plan
    from fitwell.space import LogUniform
    from fitwell.tuned import tune

    plan = Plan(data="iris").change(model="mlp", hidden=(4,), epochs=1, threads=1)
    started = time.perf_counter() - start

    def run(trials: int) -> Measurement:
        with tempfile.TemporaryDirectory() as folder:
            start = time.perf_counter()
            space = {"lr": LogUniform(1e-4, 1e-2)}
            tune(plan, space, trials=trials, method="random", runs=folder)
            return {"seconds": time.perf_counter() - start, "start": started}

    return run


OURS: dict[str, Callable[..., Contestant]] = {
    "population": population,
    "one-fold": one_fold,
    "all-folds": all_folds,
    "memory": memory,
    "tune-digits": tune_digits,
    "tune": tune_trials,
}
