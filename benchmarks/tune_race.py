"""The race of ``tune.py --race``: Optuna searches on MNIST for some minutes; how long until fitwell.tune is as good?

Both train the same nets on the same parts of the data: AdamW, batch 128, one-cycle, ten epochs. Optuna (TPE, with a
pruner) trains one at a time by a loop that is written by hand for speed, with the number of OpenMP threads that is
fastest. The score is the best accuracy on the validation part after any epoch of any trial. fitwell's time runs from
the call of ``tune`` to the epoch in which some trial was as good, as its event log tells.
"""

from __future__ import annotations

import json
import math
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any

from common import Measurement, Worker, heading, table
from tune_nets import NETS, tensors_of

VALIDATION = NETS["mnist"].validation
EPOCHS, RACE_BATCH = 10, 128
HIDDEN = ((64,), (128,), (256,), (64, 64), (128, 128), (256, 256))
LR, DROPOUT, WEIGHT_DECAY = (1e-4, 1e-1), (0.0, 0.5), (1e-5, 1e-1)
PRUNERS = ("MedianPruner", "HyperbandPruner")
GOAL = 120  # seconds
POLL = 1.0
SOME = 20 * RACE_BATCH  # samples on which threads are tried


def optuna_race(pruner: str) -> Callable[[int], Measurement]:
    """Optuna's TPE with one of its pruners, for so many seconds."""
    import optuna
    import torch

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    parts = tensors_of(NETS["mnist"])
    threads = best_threads(parts)
    torch.set_num_threads(threads)

    def search(seconds: int) -> Measurement:
        sampler = optuna.samplers.TPESampler(seed=0)
        study = optuna.create_study(
            direction="maximize", sampler=sampler, pruner=getattr(optuna.pruners, pruner)()
        )
        start = time.monotonic()
        study.optimize(lambda trial: train_trial(trial, parts, start + seconds), timeout=seconds)
        took = time.monotonic() - start
        best = max(max(trial.intermediate_values.values(), default=0.0) for trial in study.trials)
        pruned = sum(trial.state == optuna.trial.TrialState.PRUNED for trial in study.trials)
        told = {"best": best, "trials": len(study.trials), "pruned": pruned}
        return told | {"seconds": took, "threads": threads}

    return search


def best_threads(parts: Any) -> int:
    """The number of OpenMP threads with which a net of middle size trains fastest."""
    from fitwell.training.threads import available, fastest

    training, validation = parts
    some = tuple(values[:SOME] for values in training)
    return fastest(
        lambda: next(accuracies(network((128,), 0.2), (1e-3, 0.01), some, validation)), available()
    )[0]


def train_trial(trial: Any, parts: Any, until: float) -> float:
    """A trial of Optuna, which its pruner may end after any epoch; the end of the time ends it, too."""
    import optuna
    import torch

    torch.manual_seed(trial.number)
    widths = HIDDEN[trial.suggest_categorical("hidden", list(range(len(HIDDEN))))]
    model = network(widths, trial.suggest_float("dropout", *DROPOUT))
    lr, decay = (
        trial.suggest_float("lr", *LR, log=True),
        trial.suggest_float("decay", *WEIGHT_DECAY, log=True),
    )
    best = 0.0
    for epoch, accuracy in enumerate(accuracies(model, (lr, decay), *parts)):
        best = max(best, accuracy)
        trial.report(accuracy, epoch)
        if time.monotonic() > until:
            trial.study.stop()
            break
        if trial.should_prune():
            raise optuna.TrialPruned
    return best


def network(widths: tuple[int, ...], dropout: float) -> Any:
    """A perceptron with dropout after each hidden layer."""
    from torch import nn

    pairs = pairwise((784, *widths))
    layers = [layer for i, o in pairs for layer in (nn.Linear(i, o), nn.ReLU(), nn.Dropout(dropout))]
    return nn.Sequential(*layers, nn.Linear(widths[-1], 10))


def accuracies(model: Any, rates: tuple[float, float], training: Any, validation: Any) -> Iterator[float]:
    """Train for speed: permute once an epoch, slice, fused AdamW; the accuracy after each epoch.

    Args:
        model: to train.
        rates: learning rate and weight decay.
        training: samples and classes.
        validation: samples and classes.
    """
    import torch
    from torch.nn.functional import cross_entropy

    (x_NF, y), (x_val, y_val), (lr, decay) = training, validation, rates
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr, weight_decay=decay, fused=True)
    steps = EPOCHS * -(-len(y) // RACE_BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, lr, steps, cycle_momentum=False)
    for _ in range(EPOCHS):
        order = torch.randperm(len(y))
        x_epoch, y_epoch = x_NF[order], y[order]
        model.train()
        for start in range(0, len(y), RACE_BATCH):
            optimizer.zero_grad()
            batch = slice(start, start + RACE_BATCH)
            cross_entropy(model(x_epoch[batch]), y_epoch[batch]).backward()
            optimizer.step()
            schedule.step()
        model.eval()
        with torch.no_grad():
            yield (model(x_val).argmax(1) == y_val).float().mean().item()


def tune_race(folder: str) -> Callable[[int], Measurement]:
    """``fitwell.tune`` over the same space, for at most so many seconds."""
    import torch  # noqa: F401 - as in the other contestant, importing is not counted

    import fitwell
    from fitwell.space import Choice, LogUniform, Uniform
    from fitwell.tuned import tune

    plan = fitwell.Plan(data="mnist").change(
        model="mlp", validation=VALIDATION, test=0, batch_size=RACE_BATCH, epochs=EPOCHS, norm="none"
    )
    space = {
        "lr": LogUniform(*LR),
        "hidden": Choice(HIDDEN),
        "dropout": Uniform(*DROPOUT),
        "weight_decay": LogUniform(*WEIGHT_DECAY),
    }

    def search(seconds: int) -> Measurement:
        Path(folder, "began").write_text(str(time.time()))
        tune(plan, space, seconds=seconds, runs=folder)
        return {}

    return search


RACERS: dict[str, Callable[..., Callable[[int], Measurement]]] = {
    "race-optuna": optuna_race,
    "race-tune": tune_race,
}


def history(folder: Path) -> list[tuple[float, float]]:
    """Seconds and validation accuracy of each epoch of each trial so far, from the event logs."""
    began = folder / "began"
    if not began.exists() or not began.read_text():
        return []
    start = float(began.read_text())
    found = []
    for path in folder.glob("*/trials/*/events.jsonl"):
        for line in path.read_text().split("\n")[:-1]:  # what follows the last line end is not complete
            event = json.loads(line)
            if "accuracy/val" in event["signals"]:
                found.append((event["time"] - start, event["signals"]["accuracy/val"] or 0.0))
    return sorted(found)


def reached(epochs: list[tuple[float, float]], goal: float) -> float:
    """Seconds until an epoch was as good; infinite if none is yet."""
    return next((seconds for seconds, accuracy in epochs if accuracy >= goal), math.inf)


def follow(script: str, goal: float, seconds: int) -> tuple[list[tuple[float, float]], str]:
    """Let fitwell tune until a goal is reached or the time is over; its epochs, and why it failed."""
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(1) as pool:
        worker = Worker(script, f"race-tune {folder}", 2)
        running: Future[Measurement] = pool.submit(worker.run, seconds)
        epochs: list[tuple[float, float]] = []
        while not running.done() and math.isinf(reached(epochs, goal)):
            time.sleep(POLL)
            epochs = history(Path(folder))
        stopped = not running.done()
        if stopped:
            worker.process.kill()
        running.result()
        worker.close()
        return history(Path(folder)), "" if stopped else worker.failure


def race(script: str, minutes: float, threads: int) -> None:
    """Print the race."""
    heading(f"MNIST race: {minutes:g} minutes of Optuna each, then fitwell.tune until it is as good", threads)
    seconds = round(minutes * 60)
    found: dict[str, Measurement] = {}
    failures: dict[str, str] = {}
    for pruner in PRUNERS:
        worker = Worker(script, f"race-optuna {pruner}", threads)
        found[pruner] = worker.run(seconds)
        failures[pruner] = worker.failure
        worker.close()
    goal = max((measured["best"] for measured in found.values() if measured), default=0.0)
    epochs, failure = follow(script, goal, seconds) if goal else ([], "there is nothing to reach")
    rows = []
    for pruner, measured in found.items():
        name = f"Optuna TPE, {pruner}"
        if not measured:
            rows.append([name, failures[pruner], "", "", "", ""])
            continue
        took = reached(epochs, measured["best"])
        told = "not reached" if math.isinf(took) else f"{took:.0f}"
        trials = f"{measured['trials']:.0f} ({measured['pruned']:.0f} pruned)"
        name += f", {measured['threads']:.0f} OpenMP thread(s)"
        row = [name, f"{measured['best']:.2%}", trials, f"{measured['seconds']:.0f}", told, f"<= {GOAL}"]
        rows.append(row)
    best = f"{max(accuracy for _, accuracy in epochs):.2%}" if epochs else failure or "no epoch ended"
    rows.append(["fitwell.tune", best, "", f"{epochs[-1][0]:.0f}" if epochs else "", "", ""])
    table(["search", "best accuracy", "trials", "seconds", "fitwell as good after s", "goal"], rows)
    if failure and epochs:
        print(f"fitwell.tune: {failure}")
