"""How much validation loss the learning-rate finder gives away, against a grid of rates.

    FITWELL_DATA=... python benchmarks/learning_rate.py [--threads 1] [--repetitions 3]

Each task is trained for 15 epochs at each of 13 rates, with every other default; the regret is the best
validation loss at the suggested rate (interpolated between its neighbours in log rate), over the best of the
grid, less one. Losses under 0.02 count as 0.02: there every rate is good. The rule was chosen on the
calibration tasks, so only the others tell how good it is.
"""

from __future__ import annotations

import math
import os
from pathlib import Path

import numpy as np
from common import arguments, heading, table

RATES = np.logspace(-4, 0, 13)
EPOCHS = 15
PERFECT = 0.02
CALIBRATION = ("digits, mlp", "digits, cnn", "wine", "breast_cancer", "diabetes", "titanic", "abalone")


def tasks() -> dict[str, object]:
    """Plans by name; the tables only where FITWELL_DATA has them."""
    from fitwell import Plan

    plans = {
        "digits, mlp": Plan(data="digits", model="mlp"),
        "digits, cnn": Plan(data="digits", model="cnn"),
        "wine": Plan(data="wine"),
        "breast_cancer": Plan(data="breast_cancer"),
        "diabetes": Plan(data="diabetes"),
        "digits, autoencoder": Plan(data="digits", model="autoencoder"),
        "digits, sgd": Plan(data="digits", model="mlp", optimizer="sgd"),
    }
    folder = Path(os.environ.get("FITWELL_DATA", "")) / "tabular"
    tables = {
        "titanic": ("titanic.csv.gz", "Survived"),
        "abalone": ("abalone.csv.gz", None),
        "wine quality": ("winequality-white.csv.gz", None),
        "california": ("california_housing.csv.gz", "median_house_value"),
        "churn": ("telco_churn.csv.gz", "Churn"),
        "german credit": ("german_credit.csv.gz", None),
        "higgs": ("higgs_7500_train.tsv.gz", "column1"),
    }
    for name, (file, target) in tables.items():
        if (folder / file).exists():
            plans[name] = Plan(data=folder / file).change(target=target)
    return dict(plans)


def regret(name: str, plan: object, seeds: int, threads: int) -> list[str]:
    """A row: task, suggested rates, best rate of the grid, mean regret."""
    from fitwell.errors import DivergedError
    from fitwell.training.learning_rate import find_learning_rate
    from fitwell.training.loop import Silent, train
    from fitwell.training.prepare import load, make_job, prepare

    plan = plan.change(epochs=EPOCHS, patience=None, monitor="loss", threads=threads, lr=1e-3)  # type: ignore[attr-defined]
    data = load(plan)
    losses = []
    for rate in RATES:
        job = make_job(prepare(plan, data)[0].plan.change(lr=float(rate)), data)
        try:
            train(job, Silent())
            losses.append(max(job.best_score, PERFECT))
        except DivergedError:
            losses.append(math.inf)
    found = [find_learning_rate(prepare(plan.change(seed=s), data)[0]).suggestion for s in range(seeds)]
    logs = np.log(np.minimum(losses, 1e3))
    regrets = [math.exp(np.interp(math.log(r), np.log(RATES), logs) - min(logs)) - 1 for r in found]
    return [
        name,
        "calibration" if name in CALIBRATION else "",
        ", ".join(f"{rate:.2g}" for rate in found),
        f"{RATES[int(np.argmin(losses))]:.2g}",
        f"{100 * np.mean(regrets):.1f} %",
    ]


def main() -> None:
    """Measure and print."""
    options = arguments(__doc__, repetitions=3).parse_args()
    heading(f"Regret of the learning-rate finder, {EPOCHS} epochs", options.threads)
    rows = [regret(name, plan, options.repetitions, options.threads) for name, plan in tasks().items()]
    table(["task", "", "suggested", "best of grid", "regret"], rows)
    others = [float(row[-1].split()[0]) for row in rows if not row[1]]
    print(f"median regret of the tasks not calibrated on: {np.median(others):.1f} %")


if __name__ == "__main__":
    main()
