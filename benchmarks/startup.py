"""Milliseconds of ``import fitwell`` (which must leave torch out) and of ``fitwell --help``.

    python benchmarks/startup.py [--repetitions 10]

The import is measured inside a fresh Python, without Python's own start; ``--help`` as a person waits for it.
"""

from __future__ import annotations

import subprocess
import sys
import time
from functools import partial
from pathlib import Path

from common import Measurement, arguments, environment, heading, interleave, median, table

IMPORT = """
import sys, time
start = time.perf_counter()
import fitwell
print((time.perf_counter() - start) * 1e3, int("torch" in sys.modules))
"""
COMMAND = Path(sys.executable).with_name("fitwell")


def import_time(threads: int) -> Measurement:
    """Milliseconds of the import, and whether it brought torch."""
    done = subprocess.run(
        [sys.executable, "-c", IMPORT], capture_output=True, text=True, check=False, env=environment(threads)
    )
    if done.returncode:
        return {}
    milliseconds, torch = map(float, done.stdout.split())
    return {"ms": milliseconds, "torch": torch}


def wall_time(command: list[str], threads: int) -> Measurement:
    """Milliseconds of a whole command."""
    start = time.perf_counter()
    try:
        done = subprocess.run(command, capture_output=True, check=False, env=environment(threads))
    except FileNotFoundError:
        return {}
    return {"ms": (time.perf_counter() - start) * 1e3} if done.returncode == 0 else {}


def main() -> None:
    """Measure and print."""
    options = arguments(__doc__, repetitions=10).parse_args()
    heading("Start-up", options.threads)
    limits = {"import fitwell": "< 50", "fitwell --help": "< 400", "python -c pass": ""}
    measured = interleave(
        {
            "import fitwell": partial(import_time, options.threads),
            "fitwell --help": partial(wall_time, [str(COMMAND), "--help"], options.threads),
            "python -c pass": partial(wall_time, [sys.executable, "-c", "pass"], options.threads),
        },
        options.repetitions,
    )
    rows = [
        [name, f"{median(results, 'ms'):.0f}" if results else "not installed, or failed", limits[name]]
        for name, results in measured.items()
    ]
    table(["what", "ms (median)", "goal"], rows)
    imports = measured["import fitwell"]
    if imports:
        brings = "brings" if any(result["torch"] for result in imports) else "leaves out"
        print(f"`import fitwell` {brings} torch")


if __name__ == "__main__":
    main()
