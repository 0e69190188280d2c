"""The folder of runs: make one, find one, list them."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import shutil
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from fitwell.errors import FitwellError, RunError
from fitwell.run.files import storage, write_atomic, write_json
from fitwell.run.run import SCHEMA, Run

if TYPE_CHECKING:
    from fitwell.plan import Plan


def runs_folder(folder: str | Path | None = None) -> Path:
    """The folder given, else FITWELL_RUNS, else ``runs`` here."""
    return Path(folder or os.environ.get("FITWELL_RUNS") or "runs")


def create_run(
    plan: Plan | None, slug: str, folder: str | Path | None = None, parent: str | None = None
) -> Run:
    """A new run directory with its plan, in state ``running``; a foreign training that is watched has no plan.

    Raises:
        StorageError: the folder can't be written.
    """
    base = runs_folder(folder)
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
    name = f"{stamp}-{_slug(slug)}"
    with storage(base):
        base.mkdir(parents=True, exist_ok=True)
        path = _make_unique(base, name)
    found = environment()
    info = {
        "schema": SCHEMA,
        "state": "running",
        "started": time.time(),
        "versions": found["packages"],
        "seed": None if plan is None else plan.seed,
        "parent": parent,
        "data": slug,
    }
    try:
        if plan is not None:
            write_atomic(path / "plan.json", plan.to_json().encode())
        write_json(path / "env.json", found)
        write_json(path / "run.json", info)
    except BaseException:
        shutil.rmtree(path, ignore_errors=True)  # without run.json nobody would know what it is
        raise
    return Run(path)


def _make_unique(base: Path, name: str) -> Path:
    for number in range(1, 1000):
        path = base / (name if number == 1 else f"{name}-{number}")
        try:
            path.mkdir()
        except FileExistsError:
            continue
        return path
    raise RunError(f"{base / name} exists a thousand times", "a new name", "remove old runs")


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", Path(text).stem.lower()).strip("-")[:40] or "run"


def environment() -> dict[str, dict[str, str]]:
    """The machine and the versions that a run was made with."""
    packages = {}
    for package in ("fitwell", "torch", "numpy", "pandas", "scikit-learn"):
        try:
            packages[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    machine = {
        "python": platform.python_version(),
        "system": platform.platform(),
        "processor": platform.processor() or platform.machine(),
        "cores": str(os.cpu_count()),
    }
    settings = {k: os.environ[k] for k in ("OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES") if k in os.environ}
    return {"machine": machine, "packages": packages, "environment": settings}


def list_runs(folder: str | Path | None = None) -> list[Run]:
    """Every readable run, oldest first; a damaged one is left out."""
    base = runs_folder(folder)
    found: list[tuple[float, str, Run]] = []
    for path in base.iterdir() if base.is_dir() else []:
        if (path / "run.json").is_file():
            with suppress(FitwellError):
                run = Run(path)
                found.append((float(run.info.get("started", 0)), run.name, run))
    # Names tell seconds only: of two runs in one second, the later one may come first in the alphabet.
    return [run for _, _, run in sorted(found, key=lambda item: item[:2])]


def find_run(name: str, folder: str | Path | None = None) -> Run:
    """A run by path, by name, by a unique part of its name, or ``last``.

    Raises:
        RunError: none or several match.
    """
    if (Path(name) / "run.json").is_file():
        return Run(name)
    runs = list_runs(folder)
    if name == "last" and runs:
        return runs[-1]
    exact = [run for run in runs if run.name == name]
    found = exact or [run for run in runs if name in run.name]
    if len(found) != 1:
        names = ", ".join(run.name for run in found[-3:])
        what = (
            f"{len(found)} runs match {name!r}, such as {names}"
            if found
            else f"no run {name!r} in {runs_folder(folder)}"
        )
        raise RunError(what, "the name of one run, or `last`", "see `fitwell runs`")
    return found[0]
