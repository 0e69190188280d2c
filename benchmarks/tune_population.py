"""fitwell's side of ``tune.py``: populations in processes of their own, folds, memory, and ``fitwell.tune``.

Each function makes its contestant ready and returns what a worker runs. The members are shared out among forked
processes with one OpenMP thread each, as a study does it.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from common import Measurement
from memory import MEGABYTE
from tune_nets import BATCH, NETS, Net, data_of, plan_of, rates

Contestant = Callable[[int], Measurement]
FOLDS = 5
LOOK = 0.05  # seconds between two looks at the memory
DIGITS_TEST = 360  # samples of digits that no search sees
DIGITS_SPACE: dict[str, Any] = {"lr": (1e-4, 1e-1), "hidden": (32, 64, 128), "weight_decay": (1e-5, 1e-1)}
TABLES = {"digits": ("digits", None), "telco": ("tabular/telco_churn.csv.gz", "Churn")}  # source, target


class Bare:
    """The bare steps of members, for ``Worker``: nothing is measured, nothing remembered.

    Args:
        groups: each a population.
        say: as for ``Here``.
    """

    def __init__(self, groups: Any, say: Any) -> None:
        from fitwell.tuning.populations.packing import trainers

        self.populations = [population for group in groups for population in trainers(group, say)]
        self.members = [member for population in self.populations for member in population.members]

    def epoch(self) -> list[dict[str, float]]:
        """The steps of an epoch; the figures are none."""
        for population in self.populations:
            population._train()
        for member in self.members:
            member.job.epoch += 1  # the next one has another order
        return [{"objective/train": 0.0}] * len(self.members)


@contextmanager
def team_of(members: Sequence[Any], cores: int, bare: bool = False) -> Iterator[Any]:
    """A team of these members on so many cores, ready to train.

    Args:
        members: all of one form.
        cores: processes that share them.
        bare: whether it takes bare steps.
    """
    from fitwell.tuning.populations import team

    with patch.object(team, "Here", Bare if bare else team.Here):
        made = team.team(members, -(-len(members) // cores), cores, lambda _text: None)
    made.bring()  # they have begun
    yield made
    made.dismiss()


def members_of(net: Net, count: int) -> list[Any]:
    """So many members, which differ in their learning rates."""
    from fitwell.tuning.populations.members import member

    plan = plan_of(net)
    return [member(plan.change(lr=lr), data_of(net)) for lr in rates(count)]


def population(net_name: str, cores: str) -> Contestant:
    """Configurations as populations: bare steps, and the whole from plans to the figures of the last epoch."""
    import torch

    torch.set_num_threads(1)
    net = NETS[net_name]
    steps = len(data_of(net).train) // BATCH * net.epochs

    def train(configurations: int) -> Measurement:
        scale = 1e6 / (configurations * steps)
        start = time.perf_counter()
        with team_of(members_of(net, configurations), int(cores)) as team:
            made = time.perf_counter()
            for _ in range(net.epochs):
                team.epoch()
            measured = time.perf_counter()
            team.bring()
            whole = time.perf_counter() - start
        with team_of(members_of(net, configurations), int(cores), bare=True) as team:
            begun = time.perf_counter()
            for _ in range(net.epochs):
                team.epoch()
            bare = time.perf_counter() - begun
        return {"step": bare * scale, "epoch": (measured - made) * scale, "whole": whole * scale}

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


def all_folds(name: str, cores: str) -> Contestant:
    """All folds as members of populations."""
    import torch

    from fitwell.tuning.populations.members import member

    torch.set_num_threads(1)
    read, pairs = fold_plans(name)
    epochs = int(pairs[0][0].stopping.epochs)

    def fit(_amount: int) -> Measurement:
        start = time.perf_counter()
        members = [member(plan, data) for plan, data in pairs]
        with team_of(members, int(cores)) as team:
            for _ in range(epochs):
                team.epoch()
            team.bring()
        seconds = time.perf_counter() - start
        job = members[0].job
        return {"seconds": seconds, "read": read, "score": job.best_score, "epochs": job.epoch}

    return fit


def memory(net_name: str, cores: str) -> Contestant:
    """How far memory rises with so many members, once the data was read and a small population has trained."""
    import torch

    torch.set_num_threads(1)
    with team_of(members_of(NETS["digits"], 2), int(cores)) as team:  # imports everything
        team.epoch()
    net = NETS[net_name]

    def measure(count: int) -> Measurement:
        size = sum(values.nbytes for values in data_of(net).train.fields.values()) / MEGABYTE
        before = held()
        with ThreadPoolExecutor(1) as watching:
            members = members_of(net, count)
            with team_of(members, int(cores)) as team:
                epoch = watching.submit(team.epoch)
                most = held()
                while not epoch.done():
                    most = max(most, held())
                    time.sleep(LOOK)
        copies = {values.data_ptr() for one in members for values in one.job.data.train.fields.values()}
        fields = len(data_of(net).train.fields)
        return {"above": most - before, "data": size, "copies": len(copies) / fields}

    return measure


def held() -> float:
    """MB that this process and its children hold: what several share is counted once (Linux)."""
    processes = [os.getpid(), *(child.pid for child in multiprocessing.active_children())]
    total = 0.0
    for process in processes:
        lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
        total += float(next(line for line in lines if line.startswith("Pss:")).split()[1]) / 1024
    return total


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
