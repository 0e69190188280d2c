"""How many CPU threads to use: measured, because two on a busy machine can be ten times slower than one."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

TRIES = 3
MARGIN = 0.9  # more threads must save a tenth of the time to be worth it


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Use so many threads inside the block."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def available() -> int:
    """Cores that this process may use; OMP_NUM_THREADS is a limit that somebody set on purpose."""
    limit = os.environ.get("OMP_NUM_THREADS", "").split(",")[0]  # "4,3": four, and three within each
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores, int(limit)) if limit.isdigit() and int(limit) else cores


def fastest(step: Callable[[], object], most: int) -> tuple[int, dict[int, float]]:
    """The thread count for which ``step`` is fastest, and the seconds that each count took.

    Counts are 1, 2, 4, ... up to ``most``; the tries are interleaved, and the shortest of each counts, since
    noise only adds.
    """
    counts = sorted({1, most} | {2**k for k in range(1, most.bit_length()) if 2**k < most})
    seconds = dict.fromkeys(counts, float("inf"))
    if len(counts) == 1:
        return 1, seconds
    for turn in range(TRIES + 1):
        for count in counts:
            with threads(count):
                start = time.perf_counter()
                step()
                taken = time.perf_counter() - start
            if turn:  # the first turn warms up
                seconds[count] = min(seconds[count], taken)
    best = 1
    for count in counts[1:]:
        if seconds[count] < MARGIN * seconds[best]:
            best = count
    return best, seconds
