"""What a person may be shown while a training runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol


class Observer(Protocol):
    """Shows a training; ``fitwell.views.console`` has the one for terminals."""

    def say(self, text: str) -> None:
        """One line of news."""

    def begin(self, info: Mapping[str, Any]) -> None:
        """Everything is decided; the first step comes next."""

    def step(self, done: int, total: int, samples_per_second: float) -> None:
        """Some steps are done; called about ten times a second."""

    def epoch(self, row: Mapping[str, Any]) -> None:
        """An epoch was measured."""

    def end(self) -> None:
        """The last epoch is over, or the training broke off; may be called twice."""


class Quiet:
    """Shows nothing."""

    def say(self, text: str) -> None:
        """Nothing."""

    def begin(self, info: Mapping[str, Any]) -> None:
        """Nothing."""

    def step(self, done: int, total: int, samples_per_second: float) -> None:
        """Nothing."""

    def epoch(self, row: Mapping[str, Any]) -> None:
        """Nothing."""

    def end(self) -> None:
        """Nothing."""
