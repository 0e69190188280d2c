"""Find the members of a folder: adding one thing is adding one file."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache
from importlib.metadata import entry_points
from typing import Any


@cache
def members(package: str, name: str) -> dict[str, Any]:
    """The objects called ``name`` in the modules of ``package``, by module name, sorted.

    Third parties add members by an entry point in the group of the package's name.
    """
    folder = importlib.import_module(package)
    found = {}
    for module in sorted(pkgutil.iter_modules(folder.__path__), key=lambda m: m.name):
        member = getattr(importlib.import_module(f"{package}.{module.name}"), name, None)
        if member is not None:
            found[module.name] = member
    for point in entry_points(group=package):
        found.setdefault(point.name, point.load())
    return found
