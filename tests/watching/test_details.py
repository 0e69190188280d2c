"""The signals at work: who is told of what, and what happens to one that fails."""

from __future__ import annotations

from typing import Any

import pytest

from fitwell.watching import details as module
from fitwell.watching.details import Details
from fitwell.watching.signal import METHODS, Signal


class Measuring:
    def __init__(self, fails: bool = False, facts: Any = None) -> None:
        self.told: list[Any] = []
        self.fails, self._facts = fails, facts

    def on_loss(self, moment: Any) -> None:
        self.told.append(moment)
        if self.fails:
            raise ValueError("no such thing")

    def end_of_pass(self, moment: Any) -> None:
        self.told.append(moment)

    def facts(self) -> Any:
        if isinstance(self._facts, Exception):
            raise self._facts
        return self._facts


@pytest.fixture
def details(monkeypatch: pytest.MonkeyPatch) -> Any:
    def of(**signals: tuple[Signal, Measuring]) -> Details:
        monkeypatch.setattr(
            module, "members", lambda *_: {name: signal for name, (signal, _) in signals.items()}
        )
        return Details()

    return of


def signal(measuring: Measuring, **more: Any) -> tuple[Signal, Measuring]:
    return Signal({}, **{"cost": "constant", "start": lambda: measuring, **more}), measuring


def test_one_that_fails_is_dropped_and_the_others_go_on(details: Any) -> None:
    bad, good = Measuring(fails=True), Measuring()
    found = details(bad=signal(bad), good=signal(good))
    for moment in range(3):
        found.tell("on_loss", moment)
    found.tell("end_of_pass", 3)
    assert (bad.told, good.told) == ([0], [0, 1, 2, 3])
    assert found.dropped == {"bad": "ValueError: no such thing"}


def test_a_moment_is_told_to_those_that_know_it_and_want_its_part(details: Any) -> None:
    train, held_out, both = Measuring(), Measuring(), Measuring()
    found = details(
        train=signal(train),
        held_out=signal(held_out, parts=("held-out",)),
        both=signal(both, parts=("train", "held-out")),
    )
    found.tell("on_loss", 1, part="train")
    found.tell("on_loss", 2, part="val")
    found.tell("on_batch", 3)
    assert (train.told, held_out.told, both.told) == ([1], [2], [1, 2])


@pytest.mark.parametrize(
    ("cost", "heavy"), [("constant", False), ("parameters", False), ("batch", True), ("activations", True)]
)
def test_what_is_heavy_is_left_out_of_a_light_look(details: Any, cost: Any, heavy: bool) -> None:
    measuring = Measuring()
    found = details(it=signal(measuring, cost=cost))
    found.tell("on_loss", 1, heavy=False)
    assert measuring.told == ([] if heavy else [1])
    found.tell("on_loss", 2, heavy=True)
    assert measuring.told[-1] == 2


def test_facts_are_what_each_knows(details: Any) -> None:
    found = details(
        a=signal(Measuring(facts={"x": [1.0, None]})),
        empty=signal(Measuring(facts={})),
        none=signal(Measuring()),
        bad=signal(Measuring(facts=KeyError("y"))),
    )
    assert found.facts() == {"a": {"x": [1.0, None]}}
    assert list(found.dropped) == ["bad"]


def test_facts_that_are_no_json_are_dropped(details: Any) -> None:
    import torch

    found = details(bad=signal(Measuring(facts={"x": torch.ones(2)})), good=signal(Measuring(facts={"x": 1})))
    assert found.facts() == {"good": {"x": 1}}
    assert "not JSON serializable" in found.dropped["bad"]


def test_every_method_has_its_listeners() -> None:
    found = Details()
    for method in METHODS:
        found.tell(method, None, part="nobody's")
    assert set(found.seconds) == set(found.signals)
