"""Microseconds a training step costs in fitwell, in its peers and in a loop written by hand.

    python benchmarks/loop.py [--threads 1] [--repetitions 5] [--only fitwell,skorch]

The time of a step is the difference between a training of FEW and one of MANY epochs, divided by the steps
between them: what a library does once (set-up, splitting, a learning-rate search, the final report) is left
out, what it does every epoch (validation, checkpoints, progress) is in. Read the ratio; wall and processor
time differ where the machine was busy with something else.
"""

from __future__ import annotations

from functools import partial

from common import Measurement, Worker, arguments, chosen, heading, interleave, median, serve, table
from peers import BATCH, PEERS, STEPS

FEW, MANY = 1, 6


def contestant(name: str, threads: int) -> object:
    """What a worker serves: train so many epochs."""
    try:
        import torch

        torch.set_num_threads(threads)
    except ModuleNotFoundError:
        pass  # scikit-learn alone does not need it
    return PEERS[name]()


def step_time(worker: Worker) -> Measurement:
    """Microseconds a step, by wall clock and by processor; {} when the contestant fails."""
    few, many = worker.run(FEW), worker.run(MANY)
    steps = (MANY - FEW) * STEPS
    return {clock: (many[clock] - few[clock]) / steps * 1e6 for clock in many} if few and many else {}


def main() -> None:
    """Measure and print."""
    options = arguments(__doc__, repetitions=5).parse_args()
    if options.worker:
        serve(partial(contestant, options.worker, options.threads))  # type: ignore[arg-type]
        return
    heading(f"A training step: MLP 32-64-64-2, batch {BATCH}, Adam, {STEPS} steps an epoch", options.threads)
    workers = {name: Worker(__file__, name, options.threads) for name in chosen(list(PEERS), options.only)}
    for worker in workers.values():
        worker.run(FEW)  # first calls are slower
    measured = interleave({n: partial(step_time, w) for n, w in workers.items()}, options.repetitions)
    raw = median(measured[next(iter(PEERS))], "wall")
    rows = []
    for name, results in measured.items():
        if not results:
            rows.append([name, workers[name].failure, "", "", ""])
            continue
        wall, cpu = median(results, "wall"), median(results, "cpu")
        spread = max(r["wall"] for r in results) - min(r["wall"] for r in results)
        rows.append([name, f"{wall:.0f}", f"± {spread / 2:.0f}", f"{cpu:.0f}", f"{wall / raw:.2f}"])
    table(["loop", "µs a step", "spread", "µs of processor", "x raw"], rows)
    for worker in workers.values():
        worker.close()


if __name__ == "__main__":
    main()
