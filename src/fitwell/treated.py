"""treat(): find the cause by experiment, mend it, and prove the cure."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fitwell.errors import PlanError, RunError
from fitwell.run import Run, find_run
from fitwell.run.files import read_json

if TYPE_CHECKING:
    from fitwell.treatment import Treatment
    from fitwell.watching.launch import Program

LEAST_SEEDS = 2  # one difference has no interval

Say = Callable[[str], None]


def treat(  # noqa: PLR0913 - what people may ask for
    what: str | Path | Run,
    *,
    arguments: Sequence[str] = (),
    module: bool = False,
    remedy: str | None = None,
    seeds: int = 3,
    runs: str | Path | None = None,
    seconds: float | None = None,
    data: Any = None,
    say: Say = lambda _: None,
) -> Treatment:
    """Find what mends a training, and prove it: nothing is recommended that was not tried beside a control.

        treatment = fitwell.treat("train.py", arguments=["--epochs", "5"])
        treatment.answer; treatment.cure; treatment.diff

    A script runs as it is, then with remedies for what was found, first once each, then the best on fresh seeds. It
    runs in processes of its own; files that it writes are as one ordinary run leaves them. What came of it lies in
    the folder of the run as ``treatment.json``, the trainings below ``trials/`` there.

    Args:
        what: a script, or a run: of fitwell's own, or one that ``fitwell watch`` made.
        arguments: of the script.
        module: ``what`` is the name of a module, as in ``python -m``.
        remedy: the only one to try.
        seeds: pairs of trainings that verify the best remedy, at least.
        runs: the folder of runs.
        seconds: that all may take.
        data: that a run of fitwell's own was trained on, if it lived in memory.
        say: is told of every training.

    Raises:
        PlanError: there is no such script or remedy, or there are too few seeds.
        RunError: there is no such run, or it can't be run again.
        DataError: the data of a run is not there any more.
        StorageError: the folder of runs can't be written.
    """
    from fitwell.treating.candidates import known_remedy

    if seeds < LEAST_SEEDS:
        raise PlanError(f"seeds is {seeds}", f"{LEAST_SEEDS} or more", "3 is usual")
    wanted = None if remedy is None else known_remedy(remedy)
    settings: dict[str, Any] = {"remedy": wanted, "seeds": seeds, "seconds": seconds, "say": say}
    run = what if isinstance(what, Run) else None if module else run_meant(what, runs)
    if run is not None and not run.watched:
        from fitwell.fitting import fit
        from fitwell.treating.plans import treat_plan

        return treat_plan(run, fit=fit, data=data, **settings)
    from fitwell.treating.script import treat_script
    from fitwell.watching.launch import Program

    if run is not None:
        program, folder = watched_program(run)
        return treat_script(program, run=run, folder=folder, runs=run.path.parent, **settings)
    assert not isinstance(what, Run)  # noqa: S101 - that is a run
    program = Program(os.fspath(what), tuple(arguments), module)
    program.check()
    return treat_script(program, runs=runs, **settings)


def run_meant(what: str | Path, runs: str | Path | None = None) -> Run | None:
    """The run of this path or name; None if it is a script, which is a file that exists, or a folder with a program.

    Raises:
        PlanError: there is neither.
    """
    path = Path(what)
    if (path / "run.json").is_file():
        return Run(path)
    if path.is_file() or (path / "__main__.py").is_file():
        return None
    try:
        return find_run(os.fspath(what), runs)
    except RunError as error:
        text = f"there is no file {os.fspath(what)}, and {error.happened}"
        if path.is_dir():
            text = f"{os.fspath(what)} is a folder without a run or a __main__.py"
        raise PlanError(text, "a Python script or a run", "check the path, or see `fitwell runs`") from None


def watched_program(run: Run) -> tuple[Program, str]:
    """What ``fitwell watch`` ran, and in which folder.

    Raises:
        RunError: it can't be run again as it was.
    """
    from fitwell.watching.launch import Program

    told: Mapping[str, Any] = run.info.get("program") or {}
    fix = "`fitwell treat SCRIPT` runs it anew"
    if run.state == "running":
        raise RunError(f"run {run.name} has not ended", "a run that has ended", "wait for it, or stop it")
    if "folder" not in told:
        raise RunError(f"run {run.name} does not tell how it was started", "a run of `fitwell watch`", fix)
    name, *arguments = told["argv"]
    script = Path(told["folder"], name)
    if not told["module"] and not script.exists():
        raise RunError(
            f"{script}, of run {run.name}, is not there any more", "the script that was watched", fix
        )
    if not told["module"] and script.stat().st_mtime > float(run.info["started"]):
        raise RunError(f"{script} was changed since run {run.name}", "the script that was watched", fix)
    return Program(name, arguments, bool(told["module"])), str(told["folder"])


def write_cure(run: Run) -> list[Path]:
    """Write the text with the cure into the files of a program that was treated.

    Returns:
        The files.

    Raises:
        RunError: there is no text with a cure, or a file was changed since.
        StorageError: a file can't be written.
    """
    from fitwell.treating.reruns.changed import write
    from fitwell.treating.script import SOURCES

    path = run.path / SOURCES
    if not path.is_file():
        what = f"the treatment of run {run.name} gave no patch"
        raise RunError(what, "a cure that changes the text of a script", f"see `fitwell show {run.name}`")
    files = read_json(path)
    write(files)
    return [Path(file["path"]) for file in files]
