"""What holds for every test: one thread, and no run outside of a temporary folder."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

# Before torch is imported: small models are slower with two threads, and tests run side by side.
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(autouse=True)
def runs_folder(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs that a test does not place itself go to a temporary folder."""
    monkeypatch.setenv("FITWELL_RUNS", str(tmp_path_factory.getbasetemp() / "runs"))


@pytest.fixture(autouse=True)
def environment_kept() -> Iterator[None]:
    """A test that leaves the environment changed fails."""
    before = dict(os.environ)
    yield
    after = {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}
    before.pop("PYTEST_CURRENT_TEST", None)
    before.pop("FITWELL_RUNS", None)
    after.pop("FITWELL_RUNS", None)
    assert after == before
