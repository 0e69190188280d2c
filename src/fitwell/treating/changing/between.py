"""Which calls in a model are between two layers with weights: hidden activations, hidden layers.

That is told by what becomes of their values, and so it is known after the first ``backward``: until then they are left
as they are. What is found is kept in the modules, so that a copy of a model behaves as the model does.
"""

from __future__ import annotations

import inspect
import sys
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from types import FrameType
from typing import Any
from weakref import WeakSet

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from fitwell.treating.changing.graph import Node, Use, WhenUsed, roots, uses
from fitwell.treating.changing.live import Live
from fitwell.treating.changing.running import is_model
from fitwell.watching.source import origin

_KEPT = "_fitwell_between"  # attribute of a module
_PENDING = 200  # calls that may wait for their backward; they hold the graph


@dataclass(frozen=True)
class Site:
    """A place in a model.

    Args:
        table: what is known of the places in a module.
        key: of this one.
    """

    table: dict[Any, bool]
    key: Any

    @property
    def known(self) -> bool | None:
        """Whether it is what is looked for; None if that is not known yet."""
        return self.table.get(self.key)


class Between:
    """Finds out what the values of some calls are used for.

    Args:
        live: the training.
        wanted: whether a call with these uses of its value is what is looked for.
    """

    def __init__(self, live: Live, wanted: WhenUsed) -> None:
        self._running, self._wanted = live.running, wanted
        self._pending: deque[tuple[Node, Site]] = deque(maxlen=_PENDING)
        self._outputs: deque[Node] = deque(maxlen=_PENDING)
        self._outside: dict[Any, bool] = {}
        self._holders: WeakSet[nn.Module] = WeakSet()
        live.calls(None, self._model_ended)
        for name in ("backward", "grad"):
            live.replace(torch.autograd, name, self._reading)
        live.finally_do(self._forget)

    def here(self) -> Site:
        """The place that runs now: the innermost module, and where in the program's own module it is called."""
        modules = self._running.modules
        if not modules:
            return Site(self._outside, _position())
        own = any(_is_own(type(module).forward) for module in modules)
        return Site(self._table(modules[-1]), _position() if own else None)

    def output_of(self, module: nn.Module, sought: str) -> Site:
        """The place of a module as a whole.

        Args:
            module: any.
            sought: a word for what is looked for, as others may look for something else.
        """
        return Site(self._table(module), sought)

    def saw(self, site: Site, value: Any) -> None:
        """A call at this place gave this value."""
        if site.known is None and isinstance(value, Tensor) and value.grad_fn is not None:
            self._pending.append((value.grad_fn, site))

    def _table(self, module: nn.Module) -> dict[Any, bool]:
        self._holders.add(module)
        table: dict[Any, bool] = module.__dict__.setdefault(_KEPT, {})
        return table

    def _model_ended(self, model: nn.Module, _: tuple[Any, ...]) -> None:
        if not self._pending or not is_model(model):
            return
        for value in tree_leaves(self._running.output):
            if isinstance(value, Tensor) and value.grad_fn is not None:
                self._outputs.append(value.grad_fn)

    def _reading(self, old: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            if self._pending and not torch.compiler.is_compiling():
                self._read(roots(args, kwargs))
            return old(*args, **kwargs)

        return call

    def _read(self, losses: list[Tensor]) -> None:
        """Look what has become of the calls that wait."""
        found = uses(losses, set(self._outputs))
        waiting = list(self._pending)
        self._pending.clear()
        self._outputs.clear()
        for node, site in waiting:
            if node in found:
                site.table[site.key] = self._wanted(found[node]) and site.known is not False
            else:
                self._pending.append((node, site))

    def _forget(self) -> None:
        for module in self._holders:
            module.__dict__.pop(_KEPT, None)


def is_weighed(found: set[Use]) -> bool:
    """Whether a value goes into a layer with weights, and so is hidden."""
    return Use.WEIGHED in found or Use.NORMED in found


@cache
def _is_own(forward: Callable[..., Any]) -> bool:
    """Whether what a module does is not torch's code."""
    code = getattr(inspect.unwrap(forward), "__code__", None)
    return code is not None and origin(code.co_filename) not in ("torch", "fitwell")


def _position() -> tuple[str, int, int] | None:
    """Where the innermost code that is not torch's is now: its file, its beginning, and the place within it."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and origin(frame.f_code.co_filename) in ("torch", "fitwell"):
        frame = frame.f_back
    if frame is None:
        return None
    return frame.f_code.co_filename, frame.f_code.co_firstlineno, frame.f_lasti
