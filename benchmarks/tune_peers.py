"""What a population is measured against in ``tune.py``: loops written by hand, Optuna, Ray Tune, scikit-learn.

Each function makes its peer ready and returns what a worker runs; figures in microseconds are of one step of one
model. ``ceiling`` is no peer: it measures what the machine can do.
"""

from __future__ import annotations

import os
import tempfile
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from common import Measurement
from tune_nets import BATCH, HIGHEST, LOWEST, NETS, Net, data_of, network, rates, tensors_of

Contestant = Callable[[int], Measurement]
SIZE = 1024  # of the large matrix product
TRIES = 20


def loop(net_name: str) -> Contestant:
    """One configuration after another by hand, for speed: permute once an epoch, slice, fused Adam. Nothing else."""
    import torch
    from torch.nn.functional import cross_entropy

    net = NETS[net_name]
    (x_NF, y), _ = tensors_of(net)
    count = len(x_NF)

    def train_one(lr: float) -> None:
        model = network(net)
        optimizer = torch.optim.Adam(model.parameters(), lr=lr, fused=True)
        for _ in range(net.epochs):
            order = torch.randperm(count)
            x_epoch, y_epoch = x_NF[order], y[order]
            for start in range(0, count, BATCH):
                optimizer.zero_grad()
                loss = cross_entropy(model(x_epoch[start : start + BATCH]), y_epoch[start : start + BATCH])
                loss.backward()
                optimizer.step()

    def train(configurations: int) -> Measurement:
        torch.manual_seed(0)
        start = time.perf_counter()
        for lr in rates(configurations):
            train_one(lr)
        seconds = time.perf_counter() - start
        return {"step": seconds / (configurations * net.epochs * count // BATCH) * 1e6}

    return train


def optuna_loop(net_name: str) -> Contestant:
    """Trials of Optuna, random sampler, no pruner; each is the tutorial's loop with a DataLoader and evaluation."""
    import optuna
    import torch

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    net = NETS[net_name]
    train_one = loader_training(net)
    steps = len(data_of(net).train) // BATCH * net.epochs

    def train(configurations: int) -> Measurement:
        torch.manual_seed(0)
        start = time.perf_counter()
        sampler, pruner = optuna.samplers.RandomSampler(seed=0), optuna.pruners.NopPruner()
        study = optuna.create_study(sampler=sampler, pruner=pruner)
        for lr in rates(configurations):
            study.enqueue_trial({"lr": lr})
        study.optimize(
            lambda trial: train_one(trial.suggest_float("lr", LOWEST, HIGHEST, log=True)), configurations
        )
        return {"step": (time.perf_counter() - start) / (configurations * steps) * 1e6}

    return train


def loader_training(net: Net) -> Callable[[float], float]:
    """The loop of PyTorch's tutorials: a training with a learning rate, and the validation loss of its end."""
    import torch
    from torch.nn.functional import cross_entropy
    from torch.utils.data import DataLoader, TensorDataset

    training, validation = (TensorDataset(*part) for part in tensors_of(net))
    loader = DataLoader(training, batch_size=BATCH, shuffle=True)
    evaluation = DataLoader(validation, batch_size=1024)

    def train(lr: float) -> float:
        model = network(net)
        optimizer = torch.optim.Adam(model.parameters(), lr=lr)
        total = 0.0
        for _ in range(net.epochs):
            for x_BF, y in loader:
                optimizer.zero_grad()
                cross_entropy(model(x_BF), y).backward()
                optimizer.step()
            with torch.no_grad():
                total = sum(cross_entropy(model(x), y, reduction="sum").item() for x, y in evaluation)
        return total / net.validation

    return train


def ceiling(net_name: str, members: str, threads: str) -> Contestant:
    """What the machine can do at best, in operations and bytes a second.

    Operations: the large matrix product, by threads of OpenMP or by one product in each thread of Python, whichever
    is faster. Bytes: adding two vectors into a third, in each thread of Python, of as many bytes in all as weights,
    gradients and two moments of the population have.
    """
    import torch

    count = int(threads)
    elements = 16 * NETS[net_name].parameters * int(members) // 12 // count
    a, b = torch.randn(SIZE, SIZE), torch.randn(SIZE, SIZE)
    products = [torch.empty(SIZE, SIZE) for _ in range(count)]
    vectors = [tuple(torch.zeros(elements) for _ in range(3)) for _ in range(count)]

    def product(number: int) -> None:
        torch.mm(a, b, out=products[number])

    def addition(number: int) -> None:
        x, y, out = vectors[number]
        for _ in range(8):
            torch.add(x, y, out=out)

    def measure(_amount: int) -> Measurement:
        torch.set_num_threads(count)
        together = shortest(lambda: product(0))
        torch.set_num_threads(1)
        with ThreadPoolExecutor(count) as pool:
            apart = shortest(lambda: list(pool.map(product, range(count)))) / count
            added = shortest(lambda: list(pool.map(addition, range(count))))
        operations = 2 * SIZE**3 / min(together, apart)
        return {"operations": operations, "bytes": 8 * 12 * elements * count / added}

    return measure


def shortest(work: Callable[[], object]) -> float:
    """Seconds of the fastest of some tries."""
    taken = []
    for _ in range(TRIES):
        start = time.perf_counter()
        work()
        taken.append(time.perf_counter() - start)
    return min(taken)


def halving_search(threads: str) -> Contestant:
    """scikit-learn's HalvingRandomSearchCV with its defaults over MLPClassifier on digits, in so many processes."""
    from scipy.stats import loguniform
    from sklearn.experimental import enable_halving_search_cv  # noqa: F401 - importing it is what enables it
    from sklearn.model_selection import HalvingRandomSearchCV
    from sklearn.neural_network import MLPClassifier
    from tune_population import DIGITS_SPACE, digits_parts

    warnings.simplefilter("ignore")
    os.environ["PYTHONWARNINGS"] = "ignore"  # of the processes, too
    (x_NF, y), (x_test, y_test) = digits_parts()
    space = {
        "learning_rate_init": loguniform(*DIGITS_SPACE["lr"]),
        "hidden_layer_sizes": [(units,) for units in DIGITS_SPACE["hidden"]],
        "alpha": loguniform(*DIGITS_SPACE["weight_decay"]),
    }

    def search(configurations: int) -> Measurement:
        start = time.perf_counter()
        found = HalvingRandomSearchCV(
            MLPClassifier(random_state=0),
            space,
            n_candidates=configurations,
            n_jobs=int(threads),
            random_state=0,
        ).fit(x_NF, y)
        seconds = time.perf_counter() - start
        return {"seconds": seconds, "accuracy": float(np.mean(found.predict(x_test) == y_test))}

    return search


def ray_trials(threads: str) -> Contestant:
    """Ray Tune on functions that return at once. Starting Ray is a figure of its own."""
    os.environ |= {
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_AIR_NEW_OUTPUT": "0",
        "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    }
    start = time.perf_counter()
    import ray
    from ray import tune

    ray.init(num_cpus=int(threads), include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    started = time.perf_counter() - start

    def trivial(settings: dict[str, float]) -> dict[str, float]:
        return {"loss": settings["lr"]}

    def run(trials: int) -> Measurement:
        with tempfile.TemporaryDirectory() as folder:
            options = tune.TuneConfig(num_samples=trials, metric="loss", mode="min")
            place = tune.RunConfig(storage_path=folder, verbose=0)
            tuner = tune.Tuner(
                trivial,
                param_space={"lr": tune.loguniform(LOWEST, HIGHEST)},
                tune_config=options,
                run_config=place,
            )
            start = time.perf_counter()
            results = tuner.fit()
            seconds = time.perf_counter() - start
        if len(results) != trials or results.errors:
            raise RuntimeError(f"{len(results)} of {trials} trials, {len(results.errors)} errors")
        return {"seconds": seconds, "start": started}

    return run


def optuna_trials() -> Contestant:
    """Optuna (its defaults: TPE, in memory) on functions that return at once."""
    start = time.perf_counter()
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    started = time.perf_counter() - start

    def run(trials: int) -> Measurement:
        start = time.perf_counter()
        study = optuna.create_study()
        study.optimize(lambda trial: trial.suggest_float("lr", LOWEST, HIGHEST, log=True), trials)
        return {"seconds": time.perf_counter() - start, "start": started}

    return run


PEERS: dict[str, Callable[..., Contestant]] = {
    "loop": loop,
    "optuna-loop": optuna_loop,
    "ceiling": ceiling,
    "halving": halving_search,
    "ray": ray_trials,
    "optuna": optuna_trials,
}
