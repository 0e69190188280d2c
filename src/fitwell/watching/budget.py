"""The budget: how much of the wall time watching may take, and when there is enough for the next look."""

from __future__ import annotations

import time

FIRST = 5  # steps of a thread that are watched whatever they cost: what is decisive shows there
HEAVY_EVERY = 8  # of the watched steps one is watched with everything
FINEST = 200  # looks for each doubling or so of a long run: a look every 1/200 of the steps so far ...
LONGEST = 2.0  # ... or after so many seconds
OVERDRAFT = 0.05
BASE = 8e-6  # seconds that a step costs between two looks (benchmarks/watch.py, a 2.6 GHz EPYC, 2026-11-22)
WAKE = 1.2  # times its own time: what a hook costs the program, whose caches it leaves cold
SMOOTHING = 0.3


class Budget:
    """Counts what watching costs and decides when to look again.

    Args:
        share: of the wall time, such as 0.03.
    """

    def __init__(self, share: float) -> None:
        self.share = share
        self.started = time.perf_counter()
        self.spent = 0.0
        self.looks = 0
        self._costs: dict[bool, float] = {}  # of a light and of a heavy look, in seconds
        self._last = self.started

    @property
    def elapsed(self) -> float:
        """Seconds since the watching began."""
        return time.perf_counter() - self.started

    @property
    def free(self) -> float:
        """Seconds that may be spent now."""
        return self.share * self.elapsed - self.spent

    @property
    def overdraft(self) -> float:
        """Seconds over the budget until which an evaluation's answers are judged: little tells more for less."""
        return max(OVERDRAFT, self.share * self.elapsed / 2)

    @property
    def heavy_is_due(self) -> bool:
        """Whether the next look should measure everything."""
        return self.looks % HEAVY_EVERY == 0

    def went_on(self, steps: int, seconds: float) -> None:
        """Count the steps between two looks, which took so many seconds each.

        To time them would cost more than they do. If they alone would use up the budget, half of it is left for looks.
        """
        self.spent += steps * min(BASE, self.share * seconds / 2)

    def used(self, seconds: float) -> None:
        """Count the time that a hook took."""
        self.spent += WAKE * seconds

    def looked(self, heavy: bool, seconds: float) -> None:
        """Learn what a look cost."""
        before = self._costs.get(heavy, seconds)
        self._costs[heavy] = before + SMOOTHING * (seconds - before)
        self.looks += 1
        self._last = time.perf_counter()

    def allows(self, full: bool) -> bool:
        """Whether there is budget for a look, with everything or without what is heavy."""
        return self._costs.get(full, max(self._costs.values(), default=0.0)) <= self.free

    def allows_look(self, steps: int, steps_since: int) -> bool:
        """Whether it is time for the next look, and there is budget for it.

        Args:
            steps: of the thread so far.
            steps_since: the last look.
        """
        if not self.allows(self.heavy_is_due):
            return False
        return steps_since * FINEST >= steps or time.perf_counter() - self._last > LONGEST

    def steps_until_next(self, seconds_per_step: float) -> int:
        """How many steps to wait before it is worth asking again."""
        missing = self._costs.get(self.heavy_is_due, 0.0) - self.free
        if missing <= 0 or seconds_per_step <= 0:
            return 1
        return max(1, min(10_000, int(missing / self.share / seconds_per_step)))
