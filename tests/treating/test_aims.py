"""Of models that take turns to minimise losses of their own none tells by its loss how good the training is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fitwell.run import Run, create_run
from fitwell.run.files import write_json
from fitwell.treating.aims import has_rivals
from fitwell.treating.reruns.rerun import outcome

ALTERNATING = ["loss/train", "thread/G/loss/train"] * 6
ONE_AFTER_THE_OTHER = ["loss/train"] * 6 + ["thread/G/loss/train"] * 6


@pytest.mark.parametrize(
    ("order", "aims", "rivals"),
    [(ALTERNATING, 2, True), (ALTERNATING, 1, False), (ONE_AFTER_THE_OTHER, 2, False)],
)
def test_rivals(tmp_path: Path, order: list[str], aims: int, rivals: bool) -> None:
    run = recorded(tmp_path, order, aims)
    assert has_rivals(run) is rivals
    assert ("train/loss" in outcome(run, 0).metrics) is not rivals
    assert "val/loss" in outcome(run, 0).metrics


def test_one_model_has_none(tmp_path: Path) -> None:
    run = create_run(None, "train.py", tmp_path)
    write_json(run.path / "facts.json", {})
    assert not has_rivals(run)


def recorded(folder: Path, order: list[str], aims: int) -> Run:
    """A run of two models, of which so many have a loss of their own."""
    run = create_run(None, "train.py", folder)
    threads = [{"name": "D", "prefix": "", "steps": 6}, {"name": "G", "prefix": "thread/G/", "steps": 6}]
    objective = {name: {"places": [{}] * (place < aims)} for place, name in enumerate(["D", "G"])}
    write_json(run.path / "facts.json", {"threads": threads, "signals": {"objective": objective}})
    events = [{"step": 1, "epoch": 0.0, "time": 0.0, "signals": {name: 1.0}} for name in order]
    (run.path / "events.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events))
    run.update(state="done", result={"metrics": {"train/loss": 1.0, "val/loss": 1.0}, "findings": []})
    return run
