"""Kinds of studies, one a file: a search, a cross-validation, a curve over capacity or samples."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from fitwell.discovery import members
from fitwell.study import StudyRecord, TrialRecord
from fitwell.tuning.engine import Engine, MakeEngine
from fitwell.tuning.setting import Setting


class Observer(Protocol):
    """Shows a study; ``fitwell.views.study`` has the one for terminals. It is told what trials are compared by."""

    metric: str

    def say(self, text: str) -> None:
        """One line of news."""

    def trial(self, told: TrialRecord, best: float | None = None) -> None:
        """A trial has ended."""


@dataclass(frozen=True)
class Course:
    """A study under way.

    Args:
        study: where it is recorded; what it holds already is not done again.
        setting: data and plan.
        until: when nothing more is trained, on the monotonic clock.
        observer: is shown the progress.
        engine: makes what trains the trials.
    """

    study: StudyRecord
    setting: Setting
    until: float
    observer: Observer
    engine: MakeEngine = Engine

    @property
    def request(self) -> dict[str, Any]:
        """What was asked for."""
        return dict(self.study.document["request"])


@dataclass(frozen=True)
class Kind:
    """A kind of study: the constant ``KIND`` of one file of this folder.

    Args:
        says: what it tells.
        conduct: trains what is not trained yet, and writes the summary; see ``docs/design.md`` for its form.
    """

    says: str
    conduct: Callable[[Course], None]


def kind(name: str) -> Kind:
    """The kind of this name."""
    found: dict[str, Kind] = members("fitwell.tuning.kinds", "KIND")
    return found[name]
