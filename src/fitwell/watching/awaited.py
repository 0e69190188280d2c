"""An evaluation that is awaited: the one before was seen by its first loss, when its model had been called already."""

from __future__ import annotations

from fitwell.watching.threads import Thread


class Awaited:
    """After which step of which thread the next evaluation is expected, if they come at equal distances."""

    def __init__(self) -> None:
        self._expected: tuple[Thread, int] | None = None
        self._before = 0  # steps that were taken before the last late one

    def late(self, thread: Thread | None) -> None:
        """An evaluation was seen too late."""
        if thread is not None:
            self._expected = thread, 2 * thread.steps - self._before
            self._before = thread.steps

    def due(self, thread: Thread) -> bool:
        """Whether it is expected now; then it is awaited no more."""
        due = self._expected == (thread, thread.steps)
        self._expected = None if due else self._expected
        return due

    def steps(self, thread: Thread, most: float) -> float:
        """Steps until it is expected, at most so many."""
        thread_of, at = self._expected or (None, 0)
        return min(most, at - thread.steps) if thread_of is thread and at > thread.steps else most
