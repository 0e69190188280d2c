"""Streams of random numbers: each member draws as it would alone, whoever else draws in between."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch

_ONE_AT_A_TIME = threading.Lock()  # torch's own generator is that of the whole process


@contextmanager
def drawing_from(stream: torch.Generator) -> Iterator[None]:
    """Let torch's own generator go on where a stream is, for as long as the block lasts."""
    with _ONE_AT_A_TIME:
        before = torch.get_rng_state()
        torch.set_rng_state(stream.get_state())
        try:
            yield
        finally:
            stream.set_state(torch.get_rng_state())
            torch.set_rng_state(before)
