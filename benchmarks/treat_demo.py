"""Broken scripts of different kinds, each treated as a user would, written down in docs/treated-scripts.md.

python benchmarks/treat_demo.py                      # all of them: about a minute each
python benchmarks/treat_demo.py --only softmax       # print those whose fault contains this, write nothing
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests" / "lab"))

from common import processor  # noqa: E402
from parts import Case, cases, templates  # noqa: E402

from fitwell.patch import diff  # noqa: E402

PAGE = ROOT / "docs" / "treated-scripts.md"
SCRIPTS = (  # of the lab's calibration part: the template and the fault
    ("digits-mlp", "gradients-not-cleared"),
    ("digits-mlp", "softmax-before-cross-entropy"),
    ("digits-mlp", "learning-rate-too-high"),
    ("digits-mlp", "optimizer-never-steps"),
    ("digits-mlp", "loss-detached"),
    ("digits-mlp", "vanishing-gradients"),
    ("digits-mlp", "data-not-shuffled"),
    ("digits-mlp", "shape-mismatch"),
    ("digits-mlp", "dtype-mismatch"),
    ("digits-mlp", "learning-rate-too-low"),
    ("digits-mlp", "symmetric-initialization"),
    ("digits-mlp", "weight-decay-too-strong"),
    ("regression", "loss-broadcasts"),
    ("tabular-binary", "sigmoid-before-bce-with-logits"),
)


def case_of(template: str, fault: str) -> Case:
    """The first program of a template with a fault."""
    named = (c for c in cases("calibration") if c.program.name.startswith(f"{template}-"))
    return next(c for c in named if c.program.fault and c.program.fault.name == fault)


def told(case: Case) -> str:
    """A section: what is wrong with the script, the command, what it printed."""
    healthy = next(t for t in templates("calibration") if case.program.name.startswith(f"{t.name}-")).source
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "train.py").write_text(case.program.source)
        began = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-m", "fitwell", "treat", "train.py"],
            cwd=folder, capture_output=True, text=True, check=False,
            env=os.environ | {"NO_COLOR": "1", "COLUMNS": "100", "OMP_NUM_THREADS": "1", "FITWELL_RUNS": "runs"},
        )  # fmt: skip
        seconds = time.perf_counter() - began
    lines = (text.rstrip() for text in done.stdout.replace(f"{folder}/", "").splitlines())
    printed = "\n".join(lines).rstrip()
    wrong = diff(healthy, case.program.source, "train.py")
    return "\n".join([
        f"## {case.expected}", "",
        "What was done to a script that learns:", "", "```diff", *wrong.splitlines()[2:], "```", "",
        f"`fitwell treat train.py` took {seconds:.0f} s, ended with code {done.returncode} and printed:", "",
        "```text", printed, "```", "",
    ])  # fmt: skip


def main() -> None:
    """Treat the scripts and write the page."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", help="faults whose name contains this")
    asked = parser.parse_args()
    wanted = [case_of(*each) for each in SCRIPTS if not asked.only or asked.only in each[1]]
    with ThreadPoolExecutor(2) as pool:
        sections = list(pool.map(told, wanted))
    if asked.only:
        print("\n".join(sections))
        return
    head = [
        "# Treated scripts", "",
        f"{len(sections)} scripts, each broken in one way, and what `fitwell treat` made of them. This page is written "
        "by `benchmarks/treat_demo.py`: nothing in it is chosen; only the path of the folder is left out. "
        f"({datetime.now(UTC):%Y-%m-%d}, {processor()}, one thread, two scripts at a time.)", "",
    ]  # fmt: skip
    PAGE.write_text("\n".join([*head, *sections]))


if __name__ == "__main__":
    main()
