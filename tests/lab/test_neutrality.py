"""Every script of the zoo does the same watched as alone: weights, random streams, output, exit code, traceback."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from running import only_run, run_script, signals_of

pytest.importorskip("fcntl", reason="the scripts are run in forked processes")

HEALTHY = sorted(
    p for p in (Path(__file__).parent / "healthy").glob("*.py") if p.stem not in ("digest", "conftest")
)


def test_the_zoo_is_large() -> None:
    assert len(HEALTHY) >= 40


@pytest.mark.parametrize("script", HEALTHY, ids=lambda path: path.stem)
def test_a_healthy_script_is_the_same_watched(script: Path, tmp_path: Path) -> None:
    alone = run_script(script, tmp_path / "alone")
    watched = run_script(script, tmp_path / "watched", runs=tmp_path / "runs")
    assert alone.code == 0, alone.errors
    assert (
        watched == alone
    )  # the last line of the output is a digest of the weights and of the random streams
    run = only_run(tmp_path / "runs")
    assert run.state == "done"
    assert run.facts["unseen"] == {}
    assert run.result["steps"] > 0
    assert signals_of(run)
