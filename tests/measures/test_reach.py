"""What is read of coverage: not seen is None, seen and fine is a value."""

from __future__ import annotations

from typing import Any

import pytest

from fitwell.evidence import View
from fitwell.measures import reach


def _view(**coverage: Any) -> View:
    known = {"backwards": 9, "threads": {"net": {"looks": 5, "changed": True, "parameters": 4, "reached": 4}}}
    return View({"failure": None, "signals": {"coverage": known | coverage}}, thread="net")


def test_what_is_known_of_the_thread() -> None:
    measures = (reach.LOOKS, reach.CHANGED, reach.PARAMETERS, reach.REACHED)
    assert [measure.read(_view()) for measure in measures] == [5, True, 4, 4]
    assert [measure.read(_view(threads={})) for measure in measures] == [None] * 4
    assert [measure.read(View()) for measure in measures] == [None] * 4


@pytest.mark.parametrize(("stepped", "expected"), [([], 0), ([False], 9), ([False, True], 0)])
def test_backward_without_a_step(stepped: list[bool], expected: int) -> None:
    view = _view(optimizers=[{"stepped": each} for each in stepped])
    assert reach.BACKWARDS_WITHOUT_STEP.read(view) == expected


def test_frozen_heads() -> None:
    own = {"thread": "net", "parameters": 4, "frozen": {"count": 2}, "blank_held": 2}
    assert reach.BLANK_HEAD.read(_view(models=[own | {"blank_head": True}])) is True
    assert reach.BLANK_HEAD.read(_view(models=[own | {"blank_head": False}])) is False
    apart = {"thread": None, "parameters": 2, "frozen": {"count": 2}, "blank_held": 2}
    assert reach.BLANK_HEAD.read(_view(models=[own, apart])) is True
    assert reach.BLANK_HEAD.read(_view(models=[apart | {"blank_held": 0}])) is False
    assert reach.FROZEN_SHARE.read(_view(models=[own, apart])) == pytest.approx(4 / 6)
    assert reach.FROZEN_SHARE.read(_view(models=[])) is None


def test_what_ended_the_program() -> None:
    failed = {"message": "element 0 of tensors does not require grad and does not have a grad_fn"}
    assert reach.ENDED_WITHOUT_GRAPH.read(View({"failure": failed})) is True
    assert reach.ENDED_WITHOUT_GRAPH.read(View({"failure": None})) is False
    assert reach.ENDED_WITHOUT_GRAPH.read(View()) is None


def test_places_fall_back() -> None:
    line = {"file": "train.py", "line": 3}
    assert reach.backward_place(_view(where=line)) == line
    assert reach.backward_place(View({"failure": {"where": {"line": 9}}})) == {"line": 9}
    assert reach.optimizer_place(_view(optimizers=[{"where": line, "stepped": True}])) == line
    assert reach.optimizer_place(View()) is None
