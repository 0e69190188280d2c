"""Whether the workers of a DataLoader draw the same random numbers.

torch gives each worker seeds of its own. They draw the same if the program sets one seed in all of them, or if the
dataset brings its own generator: every worker starts from a copy of it. Then, too, equal batches may come from them.
"""

from __future__ import annotations

import functools
import random
import weakref
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import CodeType, FunctionType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fitwell.watching.moments import Batch
from fitwell.watching.signal import Signal
from fitwell.watching.source import Where, attributes, place
from fitwell.watching.tensors import thinned

MOST_LOADERS = 20
DEPTH = 4  # of what a dataset is made of
MOST_PARTS = 200
OWN = ("worker", "initial_seed")  # parts of names by which a function tells the workers apart


@dataclass
class _Loader:
    dataset: weakref.ref[Any] | None
    workers: int
    same_seed: Where | None
    generators: list[str]  # attributes of the dataset that hold a generator
    where: Where | None  # of what draws from it
    batches: int = 0
    equal: int = 0  # batches that are the same as the one before, from another worker
    last: list[Tensor] | None = None
    iterator: weakref.ref[Any] | None = None

    def plain(self) -> dict[str, Any]:
        """As JSON."""
        where = self.same_seed or self.where
        return {
            "workers": self.workers,
            "seeded_alike": self.same_seed is not None,
            "generators": self.generators,
            "batches": self.batches,
            "equal": self.equal,
            "where": where and where.plain(),
        }


class _LoaderWorkers:
    def __init__(self) -> None:
        self._loaders: dict[int, _Loader] = {}

    def on_batch(self, batch: Batch) -> None:
        iterator = batch.iterator
        if getattr(iterator, "_num_workers", 0) < 2:
            return
        dataset = iterator._dataset
        loader = self._loaders.get(id(dataset))
        if loader is None:
            if len(self._loaders) >= MOST_LOADERS:
                return
            loader = self._loaders[id(dataset)] = _begun(iterator, dataset)
        now = [thinned(each, 4096).clone() for each in _tensors(batch.content)]
        follows = loader.iterator is not None and loader.iterator() is iterator
        if follows and loader.last is not None:
            loader.batches += 1
            loader.equal += _equal(loader.last, now)
        loader.last, loader.iterator = now, weakref.ref(iterator)

    def facts(self) -> dict[str, Any]:
        return {"loaders": [each.plain() for each in self._loaders.values()]} if self._loaders else {}


def _begun(iterator: Any, dataset: Any) -> _Loader:
    init = getattr(iterator, "_worker_init_fn", None)
    drawing = [] if init is not None and _tells_apart(init) else list(_generators(dataset))
    where = _drawn(dataset, [name.rpartition(".")[2] for name, _ in drawing])
    names = [name for name, _ in drawing] if where is not None else []
    return _Loader(None, iterator._num_workers, _seeds_alike(init), names, where)


def _code(function: Any) -> CodeType | None:
    while isinstance(function, functools.partial):
        function = function.func
    return function.__code__ if isinstance(function, FunctionType) else None


def _tells_apart(init: Any) -> bool:
    """Whether what sets up a worker asks which one it is."""
    code = _code(init)
    if code is None:
        return True  # it can't be read
    uses = code.co_argcount > 0 and _loads(code, code.co_varnames[0])
    return uses or any(own in name for name in code.co_names for own in OWN)


def _loads(code: CodeType, name: str) -> bool:
    """Whether a function reads its variable."""
    import dis

    return any(
        name == each.argval or (isinstance(each.argval, tuple) and name in each.argval)
        for each in dis.get_instructions(code)
        if each.opname.startswith("LOAD_")
    )


def _seeds_alike(init: Any) -> Where | None:
    """Where every worker is given the same seed."""
    code = _code(init)
    if code is None or _tells_apart(init) or not any("seed" in name for name in code.co_names):
        return None
    first = min((line for _, _, line in code.co_lines() if line and line > code.co_firstlineno), default=None)
    return place(code, first or code.co_firstlineno)


def _generators(thing: Any, path: str = "", depth: int = 0) -> Iterator[tuple[str, Any]]:
    """The generators that a dataset holds, with the names of the attributes, found without running anything of it."""
    held: Mapping[Any, Any] = attributes(thing)
    if isinstance(thing, (list, tuple)):
        held = dict(enumerate(thing[:20]))
    elif isinstance(thing, dict):
        held = thing
    for name, value in list(held.items())[:MOST_PARTS]:
        full = f"{path}.{name}" if path else str(name)
        if isinstance(value, (np.random.Generator, np.random.RandomState, random.Random, torch.Generator)):
            yield full, value
        elif depth < DEPTH and not isinstance(value, (Tensor, np.ndarray, str, bytes, int, float, type)):
            yield from _generators(value, full, depth + 1)


def _drawn(dataset: Any, names: list[str]) -> Where | None:
    """A method of a dataset, or of a part of it, that gives a sample and reads an attribute of this name."""
    queue, seen = [dataset], 0
    while queue and seen < MOST_PARTS:
        thing, seen = queue.pop(0), seen + 1
        for method in ("__getitem__", "__getitems__", "__iter__", "__call__", "forward"):
            found = getattr(type(thing), method, None)
            code = found.__code__ if isinstance(found, FunctionType) else None
            if code is not None:
                line = _line_reading(type(thing), code, names)
                if line is not None:
                    return line
        parts = thing if isinstance(thing, (list, tuple)) else attributes(thing).values()
        queue += [
            part for part in list(parts)[:20] if isinstance(part, (list, tuple)) or hasattr(part, "__dict__")
        ]
    return None


def _line_reading(kind: type, code: CodeType, names: list[str], depth: int = 0) -> Where | None:
    import dis

    line = code.co_firstlineno
    for each in dis.get_instructions(code):
        line = (each.positions.lineno if each.positions else None) or line
        if each.opname in ("LOAD_ATTR", "LOAD_METHOD") and each.argval in names:
            return place(code, line)
        inner = getattr(kind, each.argval, None) if isinstance(each.argval, str) and depth < 2 else None
        if isinstance(inner, FunctionType) and inner.__code__ is not code:
            found = _line_reading(kind, inner.__code__, names, depth + 1)
            if found is not None:
                return found
    return None


def _tensors(content: Any) -> list[Tensor]:
    if isinstance(content, Tensor):
        return [content] if content.device.type == "cpu" else []
    if isinstance(content, Mapping):
        content = list(content.values())
    return [t for part in content for t in _tensors(part)] if isinstance(content, (list, tuple)) else []


def _equal(last: list[Tensor], now: list[Tensor]) -> bool:
    """Whether two batches are the same, and not because all samples are."""
    if not now or len(last) != len(now):
        return False
    same = all(
        a.shape == b.shape and a.dtype == b.dtype and torch.equal(a, b)
        for a, b in zip(last, now, strict=True)
    )
    varied = any(len(t) > 1 and bool((t[0] != t[1:]).any()) for t in now if t.dim())
    return same and varied


SIGNAL = Signal(units={}, cost="batch", start=_LoaderWorkers)
