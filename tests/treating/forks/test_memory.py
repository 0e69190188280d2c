"""How much memory there is."""

from __future__ import annotations

import sys

import pytest
import torch

from fitwell.treating.forks.memory import available, resident

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="it is read from /proc")


def test_what_is_allocated_is_counted() -> None:
    before = resident(), available()
    large = torch.ones(50_000_000)
    assert resident() - before[0] > 150e6
    del large
    assert 0 < before[1] < 2**50
