"""What holds for every test: one thread, and no run outside of a temporary folder."""

from __future__ import annotations

import os

import pytest

# Before torch is imported: small models are slower with two threads, and tests run side by side.
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(autouse=True)
def runs_folder(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs that a test does not place itself go to a temporary folder."""
    monkeypatch.setenv("FITWELL_RUNS", str(tmp_path_factory.getbasetemp() / "runs"))
