"""How much memory there is, and how much this process uses."""

from __future__ import annotations

import resource
from contextlib import suppress
from pathlib import Path

# In a container, its own: the limit, what is used, and the statistics that tell how much of that is a mere cache.
_GROUPS = (
    ("/sys/fs/cgroup", "memory.max", "memory.current", "inactive_file"),
    ("/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)


def resident() -> int:
    """Bytes of memory that this process holds."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def available() -> float:
    """Bytes that can be had without swapping, on this machine and in this container."""
    found = [_field("/proc/meminfo", "MemAvailable:") * 1024]
    for folder, limit, used, cache in _GROUPS:
        with suppress(OSError, ValueError, StopIteration):  # there is no such group, or it has no limit
            known = [int(Path(folder, name).read_text()) for name in (limit, used)]
            found.append(known[0] - known[1] + _field(f"{folder}/memory.stat", cache))
    return max(0, min(found))


def _field(path: str, name: str) -> int:
    lines = (line.split() for line in Path(path).read_text().splitlines())
    return next(int(line[1]) for line in lines if line[0] == name)
