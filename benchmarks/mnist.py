"""Seconds to 97 % test accuracy on MNIST: ``fitwell train mnist`` against the loop of PyTorch's tutorials.

    FITWELL_DATA=... python benchmarks/mnist.py [--repetitions 3] [--accuracies]

Every contestant is a command, started afresh: "wall" is all of it (starting Python, importing, reading,
writing a report), "inside" from reading the data on, as each reports it. Seeds differ between repetitions.
The tutorial stops by looking at the test part after each epoch, which is to its advantage; fitwell never
looks there before the end: its whole plan is counted, and its accuracy is shown.
``--accuracies`` adds what fitwell's defaults reach without any option, which takes longer.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from functools import partial
from itertools import count
from pathlib import Path

from common import Measurement, arguments, chosen, environment, heading, interleave, median, table

TUTORIAL = str(Path(__file__).with_name("tutorial.py"))
FITWELL = str(Path(sys.executable).with_name("fitwell"))

TO_97: dict[str, list[str]] = {
    "tutorial 784-128-10, images": [sys.executable, TUTORIAL, "linear", "images"],
    "tutorial 784-128-10, tensors": [sys.executable, TUTORIAL, "linear", "tensors"],
    "tutorial 784-512-512-10, images": [sys.executable, TUTORIAL, "quickstart", "images"],
    "tutorial 784-512-512-10, tensors": [sys.executable, TUTORIAL, "quickstart", "tensors"],
    **{
        f"fitwell train mnist --model mlp --epochs {epochs}": [
            FITWELL, "train", "mnist", "--model", "mlp", "--epochs", epochs, "--json",
        ]
        for epochs in ("1", "2")
    },
}  # fmt: skip
DEFAULTS: dict[str, tuple[list[str], float]] = {
    "mnist, mlp": ([FITWELL, "train", "mnist", "--model", "mlp", "--json"], 0.983),
    "mnist, cnn": ([FITWELL, "train", "mnist", "--model", "cnn", "--json"], 0.993),
    "digits": ([FITWELL, "train", "digits", "--json"], 0.975),
}


def run(command: list[str], threads: int, seed: int, failures: dict[str, str], name: str) -> Measurement:
    """One training as a command; its JSON, from the last line that it prints."""
    ours = [*command, "--seed", str(seed)] if command[0] == FITWELL else command
    with tempfile.TemporaryDirectory() as folder:
        env = environment(threads) | {"FITWELL_RUNS": folder, "SEED": str(seed)}
        start = time.perf_counter()
        try:
            done = subprocess.run(ours, capture_output=True, text=True, check=False, env=env)
        except FileNotFoundError:
            failures[name] = "not installed"
            return {}
        wall = time.perf_counter() - start
    if done.returncode:
        failures[name] = "failed: " + (done.stderr.strip().splitlines() or ["silently"])[-1][:90]
        return {}
    answer = json.loads(done.stdout[done.stdout.rindex("\n{") + 1 :] if "\n{" in done.stdout else done.stdout)
    reached = answer["accuracy"] if "accuracy" in answer else answer["metrics"]["test/accuracy"]
    return {"wall": wall, "inside": answer["seconds"], "epochs": answer["epochs"], "accuracy": reached}


def time_to_97(names: list[str], threads: int, repetitions: int) -> None:
    """Print the race."""
    failures: dict[str, str] = {}
    seeds = {name: count() for name in names}
    race = {
        name: (lambda n=name: run(TO_97[n], threads, next(seeds[n]), failures, n))  # type: ignore[misc]
        for name in names
    }
    measured = interleave(race, repetitions)
    first = measured[names[0]]
    rows = []
    for name, results in measured.items():
        if not results:
            rows.append([name, failures[name], *[""] * 5])
            continue
        figures = [median(results, figure) for figure in ("wall", "inside", "epochs")]
        least = min(result["accuracy"] for result in results)
        shares = [f"{median(results, c) / median(first, c):.2f}" if first else "" for c in ("wall", "inside")]
        rows.append([name, *(f"{figure:.1f}" for figure in figures), f"{least:.2%}", *shares])
    table(["to 97 %", "wall s", "inside s", "epochs", "least accuracy", "x wall", "x inside"], rows)


def default_accuracies(threads: int) -> None:
    """Print what fitwell reaches when nothing is chosen."""
    failures: dict[str, str] = {}
    runs = {name: partial(run, c, threads, 0, failures, name) for name, (c, _) in DEFAULTS.items()}
    rows = []
    for name, results in interleave(runs, 1).items():
        goal = f">= {DEFAULTS[name][1]:.1%}"
        if results:
            rows.append([name, f"{results[0]['accuracy']:.2%}", goal, f"{results[0]['wall']:.1f}"])
        else:
            rows.append([name, failures[name], goal, ""])
    table(["defaults", "test accuracy", "goal", "wall s"], rows)


def main() -> None:
    """Measure and print."""
    parser = arguments(__doc__, repetitions=3)
    parser.add_argument("--accuracies", action="store_true", help="also what the defaults reach")
    options = parser.parse_args()
    if not Path(os.environ.get("FITWELL_DATA", "data"), "mnist").is_dir():
        sys.exit("MNIST is not there: name the folder that holds mnist/ by FITWELL_DATA")
    heading("MNIST: time to 97 % test accuracy", options.threads)
    time_to_97(chosen(list(TO_97), options.only), options.threads, options.repetitions)
    if options.accuracies:
        print()
        default_accuracies(options.threads)


if __name__ == "__main__":
    main()
