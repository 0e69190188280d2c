"""Peak memory of ``fitwell.fit`` against the number of epochs: one copy of the data, whatever the epochs.

    python benchmarks/memory.py

Each training has a process of its own, which holds the data as an array before it begins. "Above" is what
fit added at its highest, beside the libraries it imported; the goal is one copy of the data plus a batch,
the same in every row.
"""

from __future__ import annotations

import resource
import sys
import tempfile
from functools import partial
from pathlib import Path

from common import Measurement, Worker, arguments, heading, interleave, median, serve, table

EPOCHS = (1, 5, 20)
SAMPLES, FEATURES, BATCH = 400_000, 64, 4096
MEGABYTE = 2**20
WARM_UP = 1000


def peak() -> float:
    """The most memory that the process has held, in MB, since ``forget_peak`` where the system can forget."""
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return float(line.split()[1]) / 1024
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return used / MEGABYTE if sys.platform == "darwin" else used / 1024


def forget_peak() -> None:
    """Let the highest mark be what is held now (Linux)."""
    clear = Path("/proc/self/clear_refs")
    if clear.exists():
        clear.write_text("5")


def fit_in_memory() -> object:
    """What a worker serves: fit for so many epochs; how far memory rose."""
    import numpy as np

    import fitwell

    rng = np.random.default_rng(0)
    x_NF = rng.standard_normal((SAMPLES, FEATURES), dtype=np.float32)
    y = (x_NF[:, 0] > 0).astype(np.int64)

    def fit(samples: int, epochs: int) -> None:
        plan = fitwell.Plan(data=(x_NF[:samples], y[:samples]), model="mlp").change(
            hidden=(64,), batch_size=BATCH, lr=1e-3, threads=1, epochs=epochs, patience=epochs
        )
        with tempfile.TemporaryDirectory() as folder:
            fitwell.fit(plan, runs=folder)

    fit(WARM_UP, 1)  # imports everything, so that the libraries' own memory is not counted

    def measure(epochs: int) -> Measurement:
        forget_peak()
        before = peak()
        fit(SAMPLES, epochs)
        return {"above": peak() - before, "before": before}

    return measure


def measure_once(epochs: int, threads: int, failures: dict[str, str]) -> Measurement:
    """One training in a fresh process."""
    worker = Worker(__file__, "fit", threads)
    measured = worker.run(epochs)
    failures[str(epochs)] = worker.failure
    worker.close()
    return measured


def main() -> None:
    """Measure and print."""
    options = arguments(__doc__, repetitions=1).parse_args()
    if options.worker:
        serve(fit_in_memory)  # type: ignore[arg-type]
        return
    size = SAMPLES * (FEATURES * 4 + 8) / MEGABYTE
    heading(f"Memory: fit on {SAMPLES:,} x {FEATURES} float32, {size:.0f} MB", options.threads)
    failures: dict[str, str] = {}
    runs = {str(n): partial(measure_once, n, options.threads, failures) for n in EPOCHS}
    rows = []
    for epochs, results in interleave(runs, options.repetitions).items():
        if results:
            above = median(results, "above")
            rows.append([epochs, f"{median(results, 'before'):.0f}", f"{above:.0f}", f"{above / size:.2f}"])
        else:
            rows.append([epochs, failures[epochs], "", ""])
    table(["epochs", "MB before", "MB above", "copies of the data"], rows)


if __name__ == "__main__":
    main()
