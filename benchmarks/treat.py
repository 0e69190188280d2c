"""How well faults are mended: faulty programs of the lab, treated, beside random search with as many trainings.

    python benchmarks/treat.py --keep /tmp/treat --part calibration --every 5
    python benchmarks/treat.py --keep /tmp/treat --part reporting --every 4      # goes on where it was stopped
    python benchmarks/treat.py --again /tmp/treat --part reporting --details     # print the figures again

What counts is the last number that a program prints, which fitwell does not read: the share of the gain that the
program without the fault has over the one with it, on the same three seeds. A confirmed cure is tried on five more.
Random search draws one to three changes of the training at a time and keeps the best by the metric that fitwell
chooses by. Every program runs in a forked process on one thread.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import os
import random
import re
import resource
import shutil
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import replace
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests" / "lab"))

from parts import WRITTEN, Case, cases, templates  # noqa: E402
from treat_figures import Mended, details, report  # noqa: E402

from fitwell.experiment import Change  # noqa: E402
from fitwell.treating.reruns.rerun import Rerun, forked_rerun  # noqa: E402
from fitwell.treatment import Outcome, Treatment  # noqa: E402

SEEDS = (1, 2, 3)
FRESH = (11, 12, 13, 14, 15)
SECONDS = 120  # that a training may take
LEAST_BUDGET = 12  # trainings of random search, if the treatment took fewer
LAST_NUMBER = re.compile(r"-?\d+\.?\d*(?:e[-+]?\d+)?|\bnan\b|-?\binf\b")
SPACE: dict[str, dict[str, list[float] | list[str]]] = {  # of random search: interventions and their settings
    "rate": {"factor": [10 ** (k / 2) for k in range(-6, 7) if k]},
    "weight_decay": {"factor": [0.0, 0.1, 10.0]},
    "momentum": {"value": [0.0, 0.5, 0.9]},
    "clip": {"percentile": [50, 90]},
    "activation": {"name": ["relu", "leaky_relu", "gelu", "elu"]},
    "initialize": {"scheme": ["kaiming", "xavier"]},
    "standardize": {},
    "batch_norm": {},
    "dropout": {"p": [0.1, 0.2, 0.3, 0.5]},
    "label_smoothing": {"share": [0.05, 0.1]},
    "class_weights": {},
    "batch_size": {"factor": [0.25, 0.5, 2, 4, 16]},
    "shuffle": {},
    "clear_gradients": {},
    "modes": {},
}


class Bench:
    """Runs one program in many ways, below a folder, and remembers what each run was."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.known: dict[str, Rerun] = {}
        self.count = 0

    def what(self, script: Path, seed: int, changes: tuple[Change, ...] = ()) -> Rerun:
        """A run of a script in a folder of its own."""
        work = self.folder / "work"
        work.mkdir(exist_ok=True)
        return Rerun(str(script), (), False, str(work), str(self.folder / "runs"), "lab", seed, changes)

    def start(self, what: Rerun, seconds: float | None = None) -> Outcome:
        """Run it in a forked process."""
        self.count += 1
        ended = forked_rerun(replace(what, kept=""), min(seconds or SECONDS, SECONDS))
        self.known[ended.run] = what
        return ended

    def number(self, ended: Outcome) -> float | None:
        """The last number that it printed; None if it failed or that is not finite."""
        return None if ended.failed else printed(ended.run)

    def numbers(self, what: Rerun, seeds: tuple[int, ...]) -> list[float | None]:
        """The same on some seeds."""
        return [self.number(self.start(replace(what, seed=seed))) for seed in seeds]


def printed(run: str) -> float | None:
    """The last number that a run printed, if it is finite."""
    log = Path(run) / "stdout.log"
    found = LAST_NUMBER.findall(log.read_text(errors="replace")) if log.exists() else []
    value = float(found[-1]) if found else math.nan
    return value if math.isfinite(value) else None


def mend(case: Case, keep: Path) -> str:
    """Treat a program, look for a cure by chance, compare both with the program that has no fault."""
    folder = keep / case.part / case.program.name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    script, healthy = folder / "train.py", folder / "healthy.py"
    script.write_text(case.program.source)
    healthy.write_text(_template(case))
    bench = Bench(folder)
    began = time.perf_counter()
    found = {
        "healthy": bench.numbers(bench.what(healthy, 0), SEEDS),
        "faulty": bench.numbers(bench.what(script, 0), SEEDS),
    }
    bench.count = 0
    treatment = _treated(bench, script)
    found |= {"treatment": treatment.plain(), "trainings": bench.count}
    found |= _cured(bench, script, treatment)
    found |= _by_chance(bench, script, max(bench.count, LEAST_BUDGET), case.program.name)
    found["seconds"] = time.perf_counter() - began
    shutil.rmtree(folder / "runs", ignore_errors=True)
    (folder / "mended.json").write_text(json.dumps(found, indent=1))
    return case.program.name


def _template(case: Case) -> str:
    return next(t.source for t in templates(case.part) if case.program.name.startswith(f"{t.name}-"))


def _treated(bench: Bench, script: Path) -> Treatment:
    from fitwell.treating.script import treat_script
    from fitwell.watching.launch import Program

    os.chdir(bench.what(script, 0).folder)
    return treat_script(Program(str(script), ()), runs=bench.folder / "runs", start=bench.start)


def _cured(bench: Bench, script: Path, treatment: Treatment) -> dict[str, object]:
    """The numbers that the cure leads to, on the seeds that it was verified with and on fresh ones."""
    cure = treatment.cure
    if cure is None or cure.trial is None:
        return {"cured": None, "fresh": None}
    what = next(w for run in reversed(cure.trial.runs) if (w := bench.known[run]).changes or w.sources)
    count = bench.count
    fresh = {
        "control": bench.numbers(bench.what(script, 0), FRESH),
        "treated": bench.numbers(what, FRESH),
    }
    cured = bench.numbers(what, SEEDS)
    bench.count = count
    return {"cured": cured, "fresh": fresh}


def _by_chance(bench: Bench, script: Path, budget: int, name: str) -> dict[str, object]:
    """The best of so many trainings with changes that are drawn at random."""
    from fitwell.treating.verify import choose_metric

    draw = random.Random(name)
    control = bench.start(bench.what(script, 0))
    tried: list[tuple[Outcome, tuple[Change, ...]]] = []
    for _ in range(budget - 1 - len(SEEDS)):
        changes = tuple(drawn(name, draw) for name in draw.sample(sorted(SPACE), draw.randint(1, 3)))
        tried.append((bench.start(bench.what(script, 0, changes)), changes))
    alive = [each for each in tried if not each[0].failed]
    metric, higher = choose_metric([each[0] for each in alive] or [control]) or ("", True)
    scored = [(ended.metrics.get(metric, math.nan), changes) for ended, changes in alive]
    finite = [(value if higher else -value, changes) for value, changes in scored if math.isfinite(value)]
    if not finite:
        return {"chance": None, "chance_changes": []}
    best = max(finite, key=lambda each: each[0])[1]
    numbers = bench.numbers(bench.what(script, 0, best), SEEDS)
    return {"chance": numbers, "chance_changes": [change.plain() for change in best]}


def drawn(name: str, draw: random.Random) -> Change:
    """An intervention with settings drawn at random."""
    return Change(name, {setting: draw.choice(values) for setting, values in SPACE[name].items()})


def limit() -> None:
    """Let nothing run forever."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def chosen(asked: argparse.Namespace) -> list[Case]:
    """The faulty programs that are asked for: each so many of every template."""
    only = asked.only.split(",") if asked.only else [""]
    parts = WRITTEN if asked.part == "all" else (asked.part,)
    faulty = [case for part in parts for case in cases(part) if case.program.fault]
    found = [case for case in faulty if any(text in case.program.name for text in only)]
    return found[asked.offset :: asked.every]


def arguments() -> argparse.Namespace:
    """What is asked for on the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--keep", type=Path, default=Path("/tmp/fitwell-treat"), help="folder for what is found"
    )
    parser.add_argument(
        "--again", type=Path, metavar="FOLDER", help="print the figures of a folder, run nothing"
    )
    parser.add_argument("--part", choices=(*WRITTEN, "all"), default="reporting")
    parser.add_argument("--every", type=int, default=4, help="take each so many of the faulty programs (4)")
    parser.add_argument("--offset", type=int, default=1, help="begin with this one (1)")
    parser.add_argument("--only", help="programs whose name contains one of these, comma-separated")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--details", action="store_true", help="list every program")
    return parser.parse_args()


def mend_all(wanted: list[Case], keep: Path, workers: int) -> None:
    """Mend programs, some at a time."""
    import running  # noqa: F401 - torch is imported once, before the workers fork

    began = time.perf_counter()
    with ProcessPoolExecutor(workers, multiprocessing.get_context("fork"), limit) as pool:
        works = {pool.submit(mend, case, keep): case.program.name for case in wanted}
        for number, work in enumerate(as_completed(works), start=1):
            error = work.exception()
            told = f"failed: {error!r}" if error else ""
            spent = f"{time.perf_counter() - began:.0f} s"
            print(f"{number}/{len(wanted)} {spent} {works[work]} {told}", file=sys.stderr, flush=True)


def main() -> None:
    """Treat, compare, report."""
    asked = arguments()
    wanted = chosen(asked)
    with tempfile.TemporaryDirectory(prefix="treat-") as temporary:
        keep = (asked.again or asked.keep or Path(temporary)).resolve()
        found = {case: keep / case.part / case.program.name / "mended.json" for case in wanted}
        if not asked.again:
            mend_all([case for case, path in found.items() if not path.exists()], keep, asked.workers)
        results = [mended for case, path in found.items() if (mended := Mended.read(path, case))]
    print(report(results))
    if asked.details:
        print(details(results))


if __name__ == "__main__":
    main()
