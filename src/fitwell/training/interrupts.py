"""Ctrl-C and SIGTERM: noted when they come, acted upon between two steps, when the state is whole."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType


@dataclass
class Interrupts:
    """Holds the number of the signal that came, 0 while none did."""

    received: int = 0


@contextmanager
def noted() -> Iterator[Interrupts]:
    """Note the first signal inside the block; a second Ctrl-C interrupts at once.

    Python lets only the main thread handle signals; elsewhere nothing is changed.
    """
    interrupts = Interrupts()
    if threading.current_thread() is not threading.main_thread():
        yield interrupts
        return

    def note(number: int, _frame: FrameType | None) -> None:
        if interrupts.received and number == signal.SIGINT:
            raise KeyboardInterrupt
        interrupts.received = number

    watched = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, note) for number in watched}
    try:
        yield interrupts
    finally:
        for number, handler in before.items():
            # None: the handler was not installed from Python, so it can't be put back.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
