"""Many models trained as one, beside loops written by hand, Optuna, Ray Tune and scikit-learn, on two cores.

    FITWELL_DATA=... python benchmarks/tune.py [--only a,b] [--repetitions 5] [--threads 2] [--race --minutes 10]

a  32 configurations one after another by a fast hand-written loop, against one population; and the floor.
b  the same configurations as trials of Optuna, each the tutorial's loop with a DataLoader (in a's tables).
c  5-fold cross-validation as one population, against one fit.
d  memory of 32 members above that of one.
e  scikit-learn's HalvingRandomSearchCV on digits, against fitwell.tune with as many configurations.
f  what 100 trivial trials cost in Ray Tune and Optuna, against fitwell.tune with trainings of one epoch on iris.
g  with --race only: how long fitwell.tune takes to reach what Optuna found in ten minutes on MNIST.

Populations use the cores by processes, each with a population of its own and one OpenMP thread; loops are tried with
one and with all OpenMP threads, and the faster one counts. The floor of a step is the multiplications
and additions of forward and backward (without the gradient of the first input) at the speed of the best product of
1024 x 1024 matrices on all cores, plus the 28 bytes a weight that Adam reads and writes at the speed at which
vectors as large are added; both are measured in the same run.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from common import Measurement, Worker, heading, interleave, median, serve, table
from tune_nets import BATCH, CONFIGURATIONS, NETS, Net
from tune_peers import PEERS
from tune_population import FOLDS, OURS, TABLES
from tune_race import RACERS, race

AGAIN = 2.0  # how many times the loop's time Optuna with a DataLoader is to take at least
ADAM_BYTES = 28  # a weight: weight, gradient and two moments are read, all but the gradient are written
# Of a member: weights, gradients, two moments and the best; in the process that began it weights and moments.
COPIES = 8
CV_GOAL = 2.5
TRIALS = 100
FEW = 2  # configurations, or trials, that warm a worker up
TOO_SLOW = 2.0  # times as long as a rival, in a trial run


@dataclass(frozen=True)
class Contestant:
    """A row of a table.

    Args:
        job: what its worker serves: a name and its arguments.
        threads: of OpenMP.
        amount: what it is told to do, as a number.
        warm: the amount of two runs that come first, one to warm up and a trial; 0 is none.
        rivals: a group of which those are left out that were far slower than another one in the trial.
    """

    job: str
    threads: int
    amount: int
    warm: int = 0
    rivals: str = ""


class Results:
    """What contestants measured, by row.

    Args:
        contestants: by row.
        repetitions: of each, in turns.
    """

    def __init__(self, contestants: Mapping[str, Contestant], repetitions: int) -> None:
        self.workers = {name: Worker(__file__, one.job, one.threads) for name, one in contestants.items()}
        tried = {name: self._try(name, one.warm) for name, one in contestants.items() if one.warm}
        slow = dict(too_slow(contestants, tried))
        runs = {
            name: partial(self.workers[name].run, one.amount)
            for name, one in contestants.items()
            if name not in slow
        }
        self.found = interleave(runs, repetitions)
        for worker in self.workers.values():
            worker.close()
        self.failures = {name: worker.failure for name, worker in self.workers.items()} | slow

    def _try(self, name: str, amount: int) -> Measurement:
        self.workers[name].run(amount)
        return self.workers[name].run(amount)

    def all(self, name: str) -> list[Measurement]:
        """The measurements of a row; none where it failed or is not there."""
        return self.found.get(name, [])

    def median(self, name: str, figure: str) -> float | None:
        """The median of a figure; None if there is none."""
        return median(self.all(name), figure) if self.all(name) else None

    def fastest(self, names: Sequence[str], figure: str) -> tuple[str, float] | None:
        """The row with the smallest median, and that."""
        medians = [(name, value) for name in names if (value := self.median(name, figure)) is not None]
        return min(medians, key=lambda pair: pair[1]) if medians else None

    def failed(self, name: str, columns: int) -> list[str]:
        """The row of a contestant that failed."""
        return [name, self.failures[name], *[""] * (columns - 2)]


def too_slow(
    contestants: Mapping[str, Contestant], tried: Mapping[str, Measurement]
) -> Iterator[tuple[str, str]]:
    """The contestants that are left out, and why: measuring them in full would only take long."""
    best: dict[str, float] = {}
    for name, measured in tried.items():
        if measured:
            rivals = contestants[name].rivals
            best[rivals] = min(best.get(rivals, math.inf), measured["wall"])
    for name, measured in tried.items():
        rivals = contestants[name].rivals
        if rivals and measured and measured["wall"] > TOO_SLOW * best[rivals]:
            yield name, f"left out: {measured['wall'] / best[rivals]:.1f} x as long in a trial run"


def by_threads(name: str, threads: int) -> dict[str, int]:
    """Rows of a contestant with one and with all threads of OpenMP."""
    return {f"{name}, {count} OpenMP thread{'s' * (count > 1)}": count for count in sorted({1, threads})}


def speed(options: argparse.Namespace, loops: bool, optuna: bool) -> None:
    """Parts a and b, a table for each net."""
    loop_rows = by_threads("loop by hand", options.threads)
    optuna_rows = by_threads("Optuna, DataLoader loop", options.threads) if optuna else {}
    for key, net in NETS.items():
        heading(f"{net}: {CONFIGURATIONS} configurations, {net.epochs} epoch(s) as a whole", options.threads)
        sizes = net.members if loops else (CONFIGURATIONS,)
        contestants = {
            population_row(n): Contestant(f"population {key} {options.threads}", 1, n, FEW) for n in sizes
        }
        for job, rows in {"loop": loop_rows, "optuna-loop": optuna_rows}.items():
            contestants |= {
                row: Contestant(f"{job} {key}", n, CONFIGURATIONS, 1, job) for row, n in rows.items()
            }
        if loops:
            ceilings = {n: f"ceiling {key} {n} {options.threads}" for n in sizes}
            contestants |= {
                ceiling_row(n): Contestant(job, options.threads, 1, 1) for n, job in ceilings.items()
            }
        results = Results(contestants, options.repetitions)
        speed_table(results, net, sizes, [*loop_rows, *optuna_rows])
        speed_ratios(results, net, list(loop_rows), list(optuna_rows))
        if loops:
            floor_table(results, net, list(loop_rows))


def population_row(count: int) -> str:
    """The name of a population's row."""
    return f"population of {count}"


def ceiling_row(count: int) -> str:
    """The name of what the machine can do at best for so many members."""
    return f"the machine, {count} members"


def speed_table(results: Results, net: Net, sizes: Sequence[int], others: Sequence[str]) -> None:
    """Microseconds a step of one model, and how many times that of the population of all configurations."""
    whole = population_row(CONFIGURATIONS)
    figures = {"bare steps": "step", "epochs with evaluation": "epoch", "whole, from plans on": "whole"}
    rows_of = [
        (f"{population_row(count)}, {told}", population_row(count), figure)
        for count in sizes
        for told, figure in figures.items()
    ]
    rows_of += [(name, name, "step") for name in others]
    rows = []
    for told, name, figure in rows_of:
        value = results.median(name, figure)
        if value is None:
            rows.append([told, *results.failed(name, 5)[1:]])
            continue
        values = [measured[figure] for measured in results.all(name)]
        spread = (max(values) - min(values)) / 2
        shares = [times(value, results.median(whole, unit)) for unit in ("step", "whole")]
        rows.append([told, f"{value:.1f}", f"± {spread:.1f}", *shares])
    table([str(net), "µs a model step", "spread", "x bare steps", "x whole"], rows)


def times(value: float, unit: float | None) -> str:
    """How many times the unit."""
    return f"{value / unit:.2f}" if unit else ""


def speed_ratios(results: Results, net: Net, loop_rows: list[str], optuna_rows: list[str]) -> None:
    """Say how the goals are met."""
    name = population_row(CONFIGURATIONS)
    steps, whole = results.median(name, "step"), results.median(name, "whole")
    loop, optuna = results.fastest(loop_rows, "step"), results.fastest(optuna_rows, "step")
    if loop and steps and whole:
        print(
            f"{loop[0]} takes {loop[1] / steps:.1f} x the bare steps of the {name} (goal: >= {net.goal:g}), "
            f"{loop[1] / whole:.1f} x the whole of it"
        )
    if optuna and whole and loop:
        print(
            f"{optuna[0]} takes {optuna[1] / whole:.1f} x the whole of the {name} (goal: >= {AGAIN * net.goal:g}), "
            f"{optuna[1] / loop[1]:.1f} x the loop by hand (goal: >= {AGAIN:g})"
        )


def floor_table(results: Results, net: Net, loop_rows: list[str]) -> None:
    """How far the bare steps are from the floor, and the loop: no population can be faster than it by more."""
    loop = results.fastest(loop_rows, "step")
    print(
        f"{net.operations / 1e6:.2f} million operations and {net.parameters:,} weights a model step of {BATCH}"
    )
    columns = [
        "floor",
        "GFLOP/s",
        "GB/s",
        "arithmetic µs",
        "Adam's bytes µs",
        "floor µs",
        "bare steps µs",
        "x floor",
        "loop x floor",
    ]
    rows = []
    for count in net.members:
        name = ceiling_row(count)
        operations, moved = results.median(name, "operations"), results.median(name, "bytes")
        if operations is None or moved is None:
            rows.append(results.failed(name, len(columns)))
            continue
        parts = [net.operations / operations * 1e6, ADAM_BYTES * net.parameters / moved * 1e6]
        steps = results.median(population_row(count), "step")
        told = [
            f"{operations / 1e9:.0f}",
            f"{moved / 1e9:.0f}",
            *(f"{one:.2f}" for one in (*parts, sum(parts))),
        ]
        rows.append(
            [
                name,
                *told,
                f"{steps:.1f}" if steps else "",
                times(steps, sum(parts)) if steps else "",
                times(loop[1], sum(parts)) if loop else "",
            ]
        )
    table(columns, rows)


def cross_validation(options: argparse.Namespace) -> None:
    """Part c."""
    heading(
        f"{FOLDS}-fold cross-validation as one population, fitwell's defaults at a fixed rate",
        options.threads,
    )
    columns = [
        "mlp",
        "seconds",
        "reading s",
        "x one fit",
        "with reading",
        "goal",
        "epochs",
        "fold 1's best score",
    ]
    rows = []
    for key in TABLES:
        alone = by_threads(f"{key}: one fold by the usual loop", options.threads)
        together = f"{key}: {FOLDS} folds together"
        contestants = {
            name: Contestant(f"one-fold {key}", count, 1, 1, "alone") for name, count in alone.items()
        }
        contestants[together] = Contestant(f"all-folds {key} {options.threads}", 1, 1, 1)
        results = Results(contestants, options.repetitions)
        fastest = results.fastest(list(alone), "seconds")
        for name in contestants:
            if not results.all(name) or fastest is None:
                rows.append(results.failed(name, len(columns)))
                continue
            rows.append(fold_row(results, name, fastest[0], f"<= {CV_GOAL}" if name == together else ""))
    table(columns, rows)


def fold_row(results: Results, name: str, fastest: str, goal: str) -> list[str]:
    """Figures of a row beside the faster of the fits alone."""
    figures = ("seconds", "read", "score", "epochs")
    seconds, read, score, epochs = (median(results.all(name), figure) for figure in figures)
    unit, unit_read = (median(results.all(fastest), figure) for figure in figures[:2])
    ratios = [f"{seconds / unit:.2f}", f"{(seconds + read) / (unit + unit_read):.2f}"]
    return [name, f"{seconds:.2f}", f"{read:.2f}", *ratios, goal, f"{epochs:.0f}", f"{score:.4f}"]


def memory(options: argparse.Namespace) -> None:
    """Part d; each count has a fresh process."""
    net = NETS["mnist"]
    heading(
        f"Memory of a population: {net}, most that all processes held above what was held once the data was read",
        options.threads,
    )
    counts = (options.threads, CONFIGURATIONS)  # a member for each process, and many
    contestants = {str(count): Contestant(f"memory mnist {options.threads}", 1, count) for count in counts}
    results = Results(contestants, 1)
    rows = []
    for name in contestants:
        if results.all(name):
            figures = [median(results.all(name), figure) for figure in ("above", "data")]
            copies = median(results.all(name), "copies")
            rows.append([name, *(f"{figure:.1f}" for figure in figures), f"{copies:.0f}"])
        else:
            rows.append(results.failed(name, 4))
    table(["members", "MB above", "MB of data", "copies of the data"], rows)
    one, many = (results.median(str(count), "above") for count in counts)
    if one is None or many is None:
        return
    more, megabyte = CONFIGURATIONS - options.threads, 2**20
    weights = more * COPIES * 4 * net.parameters / megabyte
    units = sum(net.sizes[1:])
    activations = (
        more * 2 * 2 * BATCH * units * 4 / megabyte
    )  # before and after the nonlinearity, and gradients
    outputs = more * net.validation * net.sizes[-1] * 4 / megabyte
    print(
        f"{more} more members take {many - one:.1f} MB; parameters x {COPIES} (weights, gradients, two moments and "
        f"the best where they train, weights and moments where they began) are {weights:.1f} MB, activations of a "
        f"step with their gradients {activations:.1f} MB, one copy of what all say of the validation part "
        f"{outputs:.1f} MB"
    )


def searches(options: argparse.Namespace) -> None:
    """Part e."""
    heading(f"Searches on digits: {CONFIGURATIONS} configurations of a perceptron", options.threads)
    contestants = {
        "fitwell.tune, random": Contestant("tune-digits", options.threads, CONFIGURATIONS),
        "HalvingRandomSearchCV, MLPClassifier": Contestant(f"halving {options.threads}", 1, CONFIGURATIONS),
    }
    results = Results(contestants, options.repetitions)
    rows = []
    for name in contestants:
        seconds, accuracy = results.median(name, "seconds"), results.median(name, "accuracy")
        if seconds is None or accuracy is None:
            rows.append(results.failed(name, 4))
            continue
        unit = results.median("fitwell.tune, random", "seconds")
        rows.append([name, f"{seconds:.1f}", times(seconds, unit), f"{accuracy:.2%}"])
    table(["search", "seconds", "x fitwell", "held-out accuracy"], rows)


def overhead(options: argparse.Namespace) -> None:
    """Part f."""
    heading(f"What {TRIALS} trials cost that have next to nothing to do", options.threads)
    contestants = {
        "fitwell.tune: one epoch of iris each": Contestant("tune", options.threads, TRIALS, FEW),
        "Optuna: returns at once": Contestant("optuna", 1, TRIALS, FEW),
        "Ray Tune: returns at once": Contestant(f"ray {options.threads}", 1, TRIALS, FEW),
    }
    results = Results(contestants, options.repetitions)
    rows = []
    for name in contestants:
        seconds, start = results.median(name, "seconds"), results.median(name, "start")
        if seconds is None or start is None:
            rows.append(results.failed(name, 5))
            continue
        unit = results.median("fitwell.tune: one epoch of iris each", "seconds")
        told = [f"{seconds:.2f}", f"{seconds / TRIALS * 1e3:.1f}", times(seconds, unit), f"{start:.1f}"]
        rows.append([name, *told])
    table(["trials", "seconds", "ms a trial", "x fitwell", "starting s"], rows)


def arguments() -> argparse.Namespace:
    """What the command line asks for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--threads", type=int, default=2, help="cores for everybody (2)")
    parser.add_argument("--repetitions", type=int, default=5, help="(5)")
    parser.add_argument("--only", default="a,b,c,d,e,f", help="parts by their letters, comma-separated")
    parser.add_argument("--race", action="store_true", help="part g instead of the others")
    parser.add_argument("--minutes", type=float, default=10, help="of each search of the race (10)")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    """Measure and print."""
    options = arguments()
    if options.worker:
        name, *rest = options.worker.split()
        serve(partial((PEERS | OURS | RACERS)[name], *rest))
        return
    if options.race:
        race(__file__, options.minutes, options.threads)
        return
    parts = set(options.only.split(","))
    if parts & {"a", "b"}:
        speed(options, loops="a" in parts, optuna="b" in parts)
    for letter, part in {"c": cross_validation, "d": memory, "e": searches, "f": overhead}.items():
        if letter in parts:
            part(options)


if __name__ == "__main__":
    main()
