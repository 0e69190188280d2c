"""How well programs are diagnosed: faulty ones and healthy ones of the lab, whose faults are known.

    python benchmarks/diagnosis.py --keep /tmp/lab                    # run everything watched, keep the recordings
    python benchmarks/diagnosis.py --again /tmp/lab --details         # diagnose the recordings again: seconds
    python benchmarks/diagnosis.py --keep /tmp/lab --missing          # run only what is new or changed
    python benchmarks/diagnosis.py --keep /tmp/lab --part calibration --only vae
    python benchmarks/diagnosis.py --again /tmp/lab --calibrate       # write src/fitwell/confidence.json

The parts are ``calibration`` (limits of rules may be set by it), ``reporting`` (only reported) and ``zoo`` (healthy
programs of many kinds). The figures are printed as Markdown. Every program runs in a forked process on one thread.
"""

from __future__ import annotations

import argparse
import importlib
import json
import multiprocessing
import os
import pkgutil
import re
import resource
import shutil
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import partial
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests" / "lab"))

from diagnosis_figures import Named, Result, calibrated, details, report  # noqa: E402
from diagnosis_latency import latency, stopped  # noqa: E402
from parts import PARTS, Case, cases  # noqa: E402

import fitwell.watching  # noqa: E402
from fitwell.diagnosing import diagnose, rules  # noqa: E402
from fitwell.errors import RunError  # noqa: E402
from fitwell.run import Run, list_runs  # noqa: E402
from fitwell.run.files import write_json  # noqa: E402

SECONDS = 120  # of processor time that a program may take
LAST_NUMBER = re.compile(r"-?\d+\.?\d*(?:e[-+]?\d+)?|\bnan\b|-?\binf\b")


def place(keep: Path, case: Case) -> Path:
    """The folder of a recording."""
    return keep / case.part / case.program.name


def recorded(keep: Path, case: Case) -> bool:
    """Whether this very program was run."""
    copy = place(keep, case) / "train.py"
    return (copy.parent / "outcome.json").exists() and copy.read_text() == case.program.source


def record(case: Case, keep: Path) -> str:
    """Run a program watched; gives its name."""
    from running import run_script

    folder = place(keep, case)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    script = folder / "train.py"
    script.write_text(case.program.source)
    started = time.perf_counter()
    outcome = run_script(case.path or script, folder / "work", runs=folder / "runs")
    seen = {"code": outcome.code, "seconds": time.perf_counter() - started, "errors": outcome.errors[-2000:]}
    numbers = LAST_NUMBER.findall(outcome.output)
    (folder / "outcome.json").write_text(json.dumps(seen | {"last_number": numbers[-1] if numbers else None}))
    return case.program.name


def without_forks(run: Run, folder: Path) -> Run:
    """A copy of a run in which nobody asked what-if forks."""
    copy = Run(shutil.copytree(run.path, folder / run.name))
    write_json(
        copy.path / "facts.json", {name: known for name, known in run.facts.items() if name != "what_if"}
    )
    return copy


def examine(case: Case, keep: Path, forks: bool = True) -> Result:
    """Diagnose a recording."""
    folder = place(keep, case)
    seen = json.loads((folder / "outcome.json").read_text())
    about = (case, str(folder), seen["code"], seen["last_number"])
    runs = list_runs(folder / "runs")
    if not runs:
        return Result(*about, verdict="no run was recorded")
    started = time.perf_counter()
    try:
        with tempfile.TemporaryDirectory() as temporary:
            diagnosis = diagnose(runs[0] if forks else without_forks(runs[0], Path(temporary)))
    except Exception as error:
        # It is listed, and does not keep the others from being diagnosed.
        return Result(*about, verdict="failed", unseen=(f"the diagnosis: {error!r}",))
    seconds = time.perf_counter() - started
    named = [
        Named(f.name, f.severity, f.confidence, _line(f.where, case, folder), f.follows_from)
        for f in diagnosis.findings
    ]
    unseen = tuple(runs[0].facts.get("unseen") or ())
    return Result(*about, diagnosis.verdict.name, tuple(named), seconds, _steps(runs[0]), unseen)


def _steps(run: Run) -> int:
    """The number of steps of a run; 0 if it ended without a result."""
    try:
        return int(run.result.get("steps") or 0)
    except RunError:
        return 0


def _line(where, case: Case, folder: Path) -> int | None:
    """The line of the program that a finding names."""
    if not where:
        return None
    its_own = Path(where["file"]).name == (case.path or folder / "train.py").name
    return where["line"] if its_own else None


def limit() -> None:
    """Let the programs that a worker starts not run forever."""
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))


def run_all(wanted: list[Case], keep: Path) -> None:
    """Run programs in two processes at a time."""
    import running  # noqa: F401 - torch is imported once, before the workers fork

    for module in pkgutil.walk_packages(fitwell.watching.__path__, "fitwell.watching."):
        importlib.import_module(module.name)  # so that edits in the meantime do no harm
    started = time.perf_counter()
    context = multiprocessing.get_context("fork")
    # Its processes, unlike those of Pool, may have children.
    with ProcessPoolExecutor(2, context, limit) as pool:
        runs = [pool.submit(record, case, keep) for case in wanted]
        for number, run in enumerate(as_completed(runs), start=1):
            spent = f"{time.perf_counter() - started:.0f} s"
            print(f"\r{number}/{len(wanted)} {spent} {run.result():60}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)


def calibrate(results: list[Result]) -> None:
    """Write the confidence of each rule, from what it found in the parts that may be learned from."""
    proving = {name: rule.proves for name, rule in rules().items()}
    values = calibrated([r for r in results if r.case.part != "reporting"], proving)
    path = ROOT / "src" / "fitwell" / "confidence.json"
    path.write_text(json.dumps({"schema": 1, "confidence": values}, indent=1, sort_keys=True) + "\n")
    print(f"wrote {path}: {len(values)} rules", file=sys.stderr)


def arguments() -> argparse.Namespace:
    """What is asked for on the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--keep", type=Path, help="folder for the recordings (one that is removed)")
    parser.add_argument("--again", type=Path, metavar="FOLDER", help="diagnose recordings, run nothing")
    parser.add_argument("--missing", action="store_true", help="run only programs without a recording")
    parser.add_argument("--part", choices=(*PARTS, "all"), default="all")
    parser.add_argument("--only", help="programs whose name contains one of these, comma-separated")
    parser.add_argument("--details", action="store_true", help="list misses, false alarms and recordings")
    parser.add_argument(
        "--latency", action="store_true", help="tell how soon faults of the loop are named, too"
    )
    parser.add_argument("--without-forks", action="store_true", help="leave out what what-if forks answered")
    parser.add_argument("--calibrate", action="store_true", help="write src/fitwell/confidence.json")
    parser.add_argument("--json", type=Path, help="write all results here, too")
    return parser.parse_args()


def chosen(part: str, only: str | None) -> list[Case]:
    """The programs that are asked for."""
    wanted = only.split(",") if only else [""]
    found = [case for name in (PARTS if part == "all" else (part,)) for case in cases(name)]
    return [case for case in found if any(text in case.program.name for text in wanted)]


def main() -> None:
    """Run, diagnose, report."""
    asked = arguments()
    wanted = chosen(asked.part, asked.only)
    wanted += stopped(wanted) if asked.latency else []
    with tempfile.TemporaryDirectory(prefix="lab-") as temporary:
        keep = (asked.again or asked.keep or Path(temporary)).resolve()
        if not asked.again:
            run_all([c for c in wanted if not (asked.missing and recorded(keep, c))], keep)
        there = [case for case in wanted if recorded(keep, case)]
        if len(there) < len(wanted):
            print(f"{len(wanted) - len(there)} programs have no recording (--missing)", file=sys.stderr)
        with multiprocessing.get_context("fork").Pool(2) as pool:
            results = pool.map(partial(examine, keep=keep, forks=not asked.without_forks), there, chunksize=8)
        full = [result for result in results if result.case.part in PARTS]
        if asked.calibrate:
            calibrate(full)
        print(report(full))
        if asked.latency:
            print("\n" + latency(results))
        if asked.details:
            print(details(full))
        if asked.json:
            asked.json.write_text(json.dumps([result.plain() for result in results], indent=1))


if __name__ == "__main__":
    main()
