"""How long it takes to diagnose a finished run: 10,000 events of 50 signals each.

    python benchmarks/diagnosis_speed.py                 # prints the median of seven, in seconds

The run is read from disk each time, as ``fitwell diagnose`` does, and is made up: losses fall, and layers have noise.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import tempfile
import time
from pathlib import Path

from fitwell.diagnosing import diagnose
from fitwell.run import Run

LAYERS = 14
OF_LAYERS = ("gradient_norm", "weight_norm", "update_ratio")
ALONE = (
    "loss/batch",
    "loss/window",
    "loss/train",
    "loss/val",
    "gradient/norm",
    "gradient/cosine",
    "update/ratio",
    "lr",
)


def write(folder: Path, events: int) -> None:
    """Make up a watched run."""
    draw = random.Random(0)
    thread = {"name": "model", "prefix": "", "steps": events, "epochs": 100, "parameters": 10_000}
    (folder / "facts.json").write_text(json.dumps({"threads": [thread], "signals": {}}))
    (folder / "run.json").write_text(json.dumps({"schema": 1, "state": "finished", "program": "train.py"}))
    layers = [f"layer/{number}/{signal}" for number in range(LAYERS) for signal in OF_LAYERS]
    with open(folder / "events.jsonl", "w") as log:
        for step in range(1, events + 1):
            signals = {name: draw.uniform(0.9, 1.1) * (1 + 100 / step) for name in (*ALONE, *layers)}
            event = {"step": step, "epoch": step / 100, "time": 1.8e9 + step, "signals": signals}
            log.write(json.dumps(event) + "\n")


def main() -> None:
    """Print the median."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--events", type=int, default=10_000)
    parser.add_argument("--times", type=int, default=7)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder), chosen.events)
        diagnose(Run(folder))  # loads the rules
        seconds, worked = [], []
        for _ in range(chosen.times):
            started, at_work = time.perf_counter(), time.process_time()
            diagnose(Run(folder))
            seconds.append(time.perf_counter() - started)
            worked.append(time.process_time() - at_work)
    print(
        f"{chosen.events} events of {len(ALONE) + LAYERS * len(OF_LAYERS)} signals: median "
        f"{statistics.median(seconds):.3f} s, of the processor {statistics.median(worked):.3f} s"
    )


if __name__ == "__main__":
    main()
