"""The signals at work: each is told of the moments it knows, and dropped when it fails."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

from fitwell.discovery import members
from fitwell.watching.signal import METHODS, Signal

SIGNALS = "fitwell.watching.signals"


class Details:
    """All signals of one run."""

    def __init__(self) -> None:
        self.signals: dict[str, Signal] = members(SIGNALS, "SIGNAL")
        self.dropped: dict[str, str] = {}
        self.seconds = dict.fromkeys(self.signals, 0.0)
        self._measuring = {name: signal.start() for name, signal in self.signals.items()}
        self._told = {method: self._listeners(method) for method in METHODS}

    def tell(self, method: str, moment: Any, heavy: bool = True, part: str = "train") -> None:
        """Tell the signals of a moment.

        Args:
            method: the name of the method that is called.
            moment: its argument.
            heavy: whether the costly signals are told, too.
            part: the data it belongs to; those that are not interested are not told.
        """
        kind = "train" if part == "train" else "held-out"
        for name, listen in self._told[method]:
            signal = self.signals[name]
            if name in self.dropped or kind not in signal.parts or (signal.heavy and not heavy):
                continue
            begin = time.perf_counter()
            try:
                listen(moment)
            except Exception as error:  # whatever it is, the program must go on
                self.dropped[name] = f"{type(error).__name__}: {error}"
            self.seconds[name] += time.perf_counter() - begin

    def facts(self) -> dict[str, Any]:
        """What each signal knows beyond the numbers of steps."""
        found: dict[str, Any] = {}
        for name, measuring in self._measuring.items():
            facts = getattr(measuring, "facts", None)
            if facts is None or name in self.dropped:
                continue
            try:
                known = facts()
                json.dumps(known)  # one that is no JSON must not take the others with it
            except Exception as error:
                self.dropped[name] = f"{type(error).__name__}: {error}"
                continue
            if known:
                found[name] = known
        return found

    def _listeners(self, method: str) -> list[tuple[str, Callable[[Any], None]]]:
        found = [(name, getattr(measuring, method, None)) for name, measuring in self._measuring.items()]
        return [(name, listen) for name, listen in found if listen is not None]
