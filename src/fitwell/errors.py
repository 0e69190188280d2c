"""Every error says what happened, what was expected, and how to fix it.

FitwellError
├── PlanError      a setting is wrong            (a ValueError)
├── DataError      the data can't be used        (a ValueError)
├── RunError       a run directory can't be used
├── DamagedError   a saved file was changed or cut short
├── StorageError   the disk refuses              (an OSError)
├── DivergedError  the training left the finite numbers
└── Preempted      a signal stopped the training, which can be resumed
"""

from __future__ import annotations


class FitwellError(Exception):
    """A failure that a person can understand and mend.

    Args:
        happened: what went wrong, with the value, file, row or column that did.
        expected: what would have been right.
        fix: what to do now.
    """

    def __init__(self, happened: str, expected: str, fix: str) -> None:
        super().__init__(happened, expected, fix)
        self.happened, self.expected, self.fix = happened, expected, fix

    def __str__(self) -> str:
        return f"{self.happened}\n  expected: {self.expected}\n  fix: {self.fix}"


class PlanError(FitwellError, ValueError):
    """A setting of the plan is unknown, of the wrong type or out of range."""


class DataError(FitwellError, ValueError):
    """The data can't be read or can't be learned from."""


class RunError(FitwellError):
    """A run directory is missing, unfinished, or holds no such thing."""


class DamagedError(RunError):
    """A saved file is not what was written: its checksum differs or it is cut short."""


class StorageError(FitwellError, OSError):
    """The disk is full or the folder can't be written."""

    # OSError.__new__ would take two or three arguments for (errno, strerror, filename).
    def __str__(self) -> str:
        return FitwellError.__str__(self)


class DivergedError(FitwellError):
    """The loss became NaN or infinite; ``run`` is the folder of its run, if it has one."""

    run: str = ""


class Preempted(FitwellError):  # noqa: N818 - the usual word for it; nothing went wrong
    """A signal ended the training after its state was saved; ``signal`` is its number."""

    signal: int = 0
