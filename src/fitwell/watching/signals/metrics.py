"""The accuracies that a program computes itself, as its variables say, beside those that were counted."""

from __future__ import annotations

import re
import sys
import weakref
from collections.abc import Iterator
from itertools import islice
from typing import Any

import numpy
from torch import Tensor

from fitwell.watching.moments import PassEnd
from fitwell.watching.signal import Signal
from fitwell.watching.source import user_frame, visible

MOST_NAMES = 20
MOST_VARIABLES = 500
MOST_COMPARED = 20  # evaluations
NAME = re.compile(r"(^|_)(acc|accs|accuracy|accuracies)(_|$)", re.IGNORECASE)
# Held-out accuracy of the model as it is, and nothing else.
OTHER = re.compile(
    r"train|tr_|best|max|min|target|goal|thresh|base|random|chance|init|prev|last|mean|avg|average|running|ema|smooth|"
    r"teacher|top|balanced|class|macro|exact|token|pixel|seq|std|loss|grad|batch|step|num|total|sum|diff|drop|gain",
    re.IGNORECASE,
)


class _Metrics:
    def __init__(self) -> None:
        self._compared: dict[str, list[dict[str, Any]]] = {}
        self._last: dict[str, Any] = {}  # by variable what it was: a number, or a weak reference to a tensor

    def end_of_pass(self, end: PassEnd) -> None:
        counted = end.signals.get(f"accuracy/{end.part}")
        if counted is None or isinstance(counted, Tensor) or not end.samples:
            return
        for name, (value, thing) in dict(_accuracies()).items():
            if name not in self._compared and len(self._compared) >= MOST_NAMES:
                continue
            last = self._last.get(name)
            known = last() if isinstance(last, weakref.ref) else last
            self._last[name] = weakref.ref(thing) if isinstance(thing, Tensor) else thing
            rows = self._compared.setdefault(name, [])
            if len(rows) < MOST_COMPARED:
                of = {"part": end.part, "samples": end.samples, "batches": end.batches}
                of["new"] = known is not thing
                rows.append({"value": value, "counted": float(counted), **of})

    def facts(self) -> dict[str, Any]:
        """By the name of a variable what it said at the end of evaluations, and what was counted in them."""
        return {"variables": self._compared} if self._compared else {}


def _accuracies() -> Iterator[tuple[str, tuple[float, Any]]]:
    """The variables that a program calls accuracy, the farthest first; of a list the last number.

    Each with its value, and the object that has it.
    """
    scopes = list(islice(visible(user_frame()), MOST_VARIABLES))
    own = sys.modules.get("__main__")
    scopes += [] if own is None else list(islice(list(vars(own).items()), MOST_VARIABLES))
    for name, thing in reversed(scopes):
        inner = thing.items() if type(thing) is dict else ()
        for key, value in [(name, thing), *islice(inner, 20)]:
            if isinstance(key, str) and NAME.search(key) and not OTHER.search(key):
                found = value[-1] if type(value) is list and value else value
                number = _number(found)
                if number is not None:
                    yield key, (number, found)


def _number(value: Any) -> float | None:
    if isinstance(value, Tensor):
        plain = type(value) is Tensor and value.dim() == 0 and value.is_cpu and not value.is_complex()
        return float(value.item()) if plain else None
    if isinstance(value, (int, float, numpy.number)) and not isinstance(value, (bool, numpy.complexfloating)):
        found = float(value)
        return found if found - found == 0.0 else None
    return None


SIGNAL = Signal(units={}, cost="constant", start=_Metrics, parts=("held-out",))
