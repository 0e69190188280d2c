"""Runs: what a training was, as a directory that any program can read."""

from fitwell.run.run import Run
from fitwell.run.store import create_run, find_run, list_runs, runs_folder

__all__ = ["Run", "create_run", "find_run", "list_runs", "runs_folder"]
