from __future__ import annotations

import pytest

from fitwell.evidence import View
from fitwell.measures.metrics import BY_BATCHES, FITS_NONE, IN_PROPORTION, LEAST_BELOW


@pytest.mark.parametrize(
    ("value", "fits_none", "by_batches"),
    [
        (0.9, 0, 0),
        (90.2, 0, 0),
        (576.0, 0, 0),
        (18.1, 0, 0),
        (28.8, 1, 1),
        (2880.0, 1, 1),
        (0.4, 1, 0),
        (1.2, 1, 0),
    ],
)
def test_readings_of_an_accuracy(value: float, fits_none: float, by_batches: float) -> None:
    row = {"value": value, "counted": 0.9, "samples": 640, "batches": 20}
    view = View({}).about({"variable": "acc", "compared": [row]})
    assert FITS_NONE.read(view) == fits_none
    assert BY_BATCHES.read(view) == by_batches


def compared(*pairs: tuple[float, float], new: bool = True) -> View:
    rows = [{"value": v, "counted": c, "samples": 50, "batches": 1, "new": new} for v, c in pairs]
    return View({}).about({"variable": "acc", "compared": rows})


def test_one_multiple_of_what_was_counted() -> None:
    assert IN_PROPORTION.read(compared((4.7, 0.94), (4.8, 0.96), (4.9, 0.98)))
    assert not IN_PROPORTION.read(compared((4.7, 0.94), (4.8, 0.96), (4.8, 0.98)))
    assert not IN_PROPORTION.read(compared((4.7, 0.94), (4.7, 0.94), (4.8, 0.96)))


def test_how_far_a_share_is_below() -> None:
    assert LEAST_BELOW.read(compared((0.0, 0.9), (0.1, 0.8))) == pytest.approx(0.7)
    assert LEAST_BELOW.read(compared((0.0, 0.9), (0.0, 0.8), new=False)) == 0
    assert LEAST_BELOW.read(compared((-12.0, 0.9))) == 0
