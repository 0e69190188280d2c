"""What training changes in the process, put back afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from fitwell.training.threads import threads


@contextmanager
def process_kept() -> Iterator[None]:
    """Leave torch's random streams, thread count and determinism as they were before the block."""
    devices = list(range(torch.cuda.device_count()))
    with torch.random.fork_rng(devices=devices), threads(torch.get_num_threads()):
        strict = torch.are_deterministic_algorithms_enabled()
        try:
            yield
        finally:
            torch.use_deterministic_algorithms(strict)
