"""What every benchmark shares: the machine line, workers, interleaving, the table of medians.

A worker is a process of its own that makes one contestant ready and then runs it whenever it is told to, so
that contestants take turns (a busy moment of the machine hits all of them) and none pays or gains by what
another one has imported.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

Measurement = dict[str, float]
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def arguments(description: str | None, repetitions: int) -> argparse.ArgumentParser:
    """A parser with the options that all benchmarks have."""
    parser = argparse.ArgumentParser(description=(description or "").splitlines()[0])
    parser.add_argument("--threads", type=int, default=1, help="threads of the CPU for everybody (1)")
    parser.add_argument("--repetitions", type=int, default=repetitions, help=f"({repetitions})")
    parser.add_argument("--only", help="contestants whose name contains one of these, comma-separated")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    return parser


def processor() -> str:
    """The name of the processor, as far as the system tells."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def heading(title: str, threads: int) -> None:
    """Print the title and the circumstances without which no figure means anything."""
    load = f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    print(f"\n{title}")
    print(
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {processor()}, {os.cpu_count()} cores{load}, "
        f"{threads} thread(s), {platform.system()}, Python {platform.python_version()}"
    )


def environment(threads: int) -> dict[str, str]:
    """The environment in which contestants run."""
    settings = dict.fromkeys(THREAD_VARIABLES, str(threads))
    return os.environ | settings | {"KERAS_BACKEND": "torch", "NO_COLOR": "1", "CUDA_VISIBLE_DEVICES": ""}


class Worker:
    """A process that runs one contestant on demand.

    Args:
        script: the benchmark, which calls ``serve`` when started with ``--worker NAME``.
        name: the contestant.
        threads: of the CPU.
    """

    def __init__(self, script: str, name: str, threads: int) -> None:
        self.complaints = tempfile.TemporaryFile("w+")  # noqa: SIM115 - lives as long as the worker
        command = [sys.executable, script, "--worker", name, "--threads", str(threads)]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.complaints, text=True,
            env=environment(threads),
        )  # fmt: skip
        self.failure = str(self._answer().get("failure", ""))

    def _answer(self) -> dict[str, object]:
        assert self.process.stdout
        line = self.process.stdout.readline()
        if line:
            return dict(json.loads(line))
        self.complaints.seek(0)
        return {"failure": (self.complaints.read().strip().splitlines() or ["ended without a word"])[-1]}

    def run(self, amount: int) -> Measurement:
        """Let the contestant work; {} (and ``failure``) when it can't."""
        if self.failure:
            return {}
        assert self.process.stdin
        self.process.stdin.write(f"{amount}\n")
        self.process.stdin.flush()
        answer = self._answer()
        self.failure = str(answer.pop("failure", ""))
        return {name: float(str(value)) for name, value in answer.items()}

    def close(self) -> None:
        """End the process."""
        if self.process.stdin:
            self.process.stdin.close()
        self.process.wait()


def serve(make: Callable[[], Callable[[int], Measurement | None]]) -> None:
    """Be a worker: make the contestant, then run it for every number that is read.

    Everything that contestants print goes to nowhere: only the answers reach the old standard output.
    """
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    try:
        contestant = make()
        answers.write("{}\n")
        for line in sys.stdin:
            wall, cpu = time.perf_counter(), time.process_time()
            extra = contestant(int(line)) or {}
            spent = {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}
            answers.write(json.dumps(spent | extra) + "\n")
    except ModuleNotFoundError as error:
        answers.write(json.dumps({"failure": f"not installed ({error.name})"}) + "\n")
    except Exception as error:
        # A contestant that fails is named in the table, not dropped.
        first = (str(error).splitlines() or [""])[0]
        answers.write(json.dumps({"failure": f"failed: {type(error).__name__}: {first}"[:110]}) + "\n")


def chosen(names: Sequence[str], only: str | None) -> list[str]:
    """The contestants to run; the first, to which the others are compared, always is."""
    wanted = only.split(",") if only else [""]
    return [name for name in names if name == names[0] or any(part in name for part in wanted)]


def interleave(
    contestants: Mapping[str, Callable[[], Measurement]], repetitions: int
) -> dict[str, list[Measurement]]:
    """Run each contestant once, then each once more, and so on."""
    results: dict[str, list[Measurement]] = {name: [] for name in contestants}
    for _ in range(repetitions):
        for name, measure in contestants.items():
            measured = measure()
            if measured:
                results[name].append(measured)
    return results


def median(measurements: Sequence[Measurement], name: str) -> float:
    """The median of one figure."""
    return statistics.median(measurement[name] for measurement in measurements)


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows of text under their columns, numbers to the right."""
    widths = [max(len(row[i]) for row in [columns, *rows]) for i in range(len(columns))]
    for row in [columns, ["-" * width for width in widths], *rows]:
        cells = [
            row[0].ljust(widths[0]),
            *(cell.rjust(w) for cell, w in zip(row[1:], widths[1:], strict=True)),
        ]
        print("  ".join(cells).rstrip())
