"""Streams of random numbers: each member draws as it would alone, whoever else draws in between."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch

_ONE_AT_A_TIME = threading.Lock()  # torch's own generator is that of the whole process
if hasattr(os, "register_at_fork"):  # in a forked process nobody is left who could let go of it
    os.register_at_fork(after_in_child=_ONE_AT_A_TIME._at_fork_reinit)  # type: ignore[attr-defined]


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
