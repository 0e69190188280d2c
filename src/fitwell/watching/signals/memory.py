"""The memory that the process holds, and that its tensors hold on a GPU."""

from __future__ import annotations

import os
import sys

import torch

from fitwell.watching.moments import Step
from fitwell.watching.signal import Signal

MB = 1e6


def resident() -> float | None:
    """The memory of this process in MB; where the system tells only its peak, that; None if neither."""
    try:
        with open("/proc/self/statm", "rb") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / MB
    except OSError:
        pass
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / MB if sys.platform == "darwin" else peak * 1024 / MB


class _Memory:
    def after_step(self, step: Step) -> None:
        held = resident()
        if held is not None:
            step.record("memory/process", held)
        if torch.cuda.is_initialized():
            step.record("memory/cuda", torch.cuda.memory_allocated() / MB)


SIGNAL = Signal(units={"memory/process": "MB", "memory/cuda": "MB"}, cost="constant", start=_Memory)
