"""``fitwell predict RUN DATA``: what a trained model says of new data."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fitwell.cli.common import JsonOption, RunsOption
from fitwell.errors import RunError

if TYPE_CHECKING:
    from fitwell.fitting import FittedRun
    from fitwell.run import Run
    from fitwell.tuned import EnsembleModel


def command(
    run: Annotated[str, typer.Argument(help="Path or name of a run, or `last`.", metavar="RUN")],
    data: Annotated[str, typer.Argument(help="New data of the kind trained on.", metavar="DATA")],
    out: Annotated[
        Path | None, typer.Option(help="CSV file to write; by default stdout.", metavar="FILE")
    ] = None,
    ensemble: Annotated[
        bool, typer.Option("--ensemble", help="Of a study: the best trials together.")
    ] = False,
    runs: RunsOption = None,
    json_output: JsonOption = False,
) -> None:
    """Predict: a line a sample, with the probability of each class."""
    from fitwell.run import find_run
    from fitwell.run.files import write_atomic

    found = find_run(run, runs)
    _check(found, ensemble)
    table, scores, note = _model(found, ensemble).predictions(data)
    text = table.to_csv(index=False)
    if out:
        write_atomic(out, text.encode())
    if json_output:
        told = {
            "predictions": str(out) if out else table.to_dict(orient="records"),
            "metrics": scores,
            "note": note,
        }
        typer.echo(json.dumps(told))
    elif out:
        figures = "".join(f", {name} {value:.4f}" for name, value in scores.items())
        typer.echo(f"{len(table):,} predictions in {out}{figures}")
        if note:
            typer.echo(note)
    else:
        typer.echo(text, nl=False)


def _model(run: Run, ensemble: bool) -> FittedRun | EnsembleModel:
    if ensemble:
        from fitwell.tuned import ensemble_of

        return ensemble_of(run.path)
    from fitwell.fitting import FittedRun

    return FittedRun(run.path)


def _check(run: Run, ensemble: bool) -> None:
    """Refuse what has ended without a model."""
    if ensemble and not run.study:
        raise RunError(
            f"run {run.name} has one model, no ensemble",
            "a study of `fitwell tune`",
            f"`fitwell predict {run.name} DATA` uses its model",
        )
    if run.watched:
        raise RunError(
            f"run {run.name} was only watched: its model is the script's own, fitwell has none",
            "a run of `fitwell train`",
            "predict with the model that the script saved",
        )
    if run.study and run.state == "done" and not (run.path / "model").exists():
        raise RunError(
            f"study {run.name} keeps no model",
            "a study with one best model: trials on folds, and those that fail, leave none",
            f"train its best settings: `fitwell train DATA --plan PLAN`, see `fitwell show {run.name}`",
        )
