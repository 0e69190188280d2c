from __future__ import annotations

from typing import Any

import pytest

from fitwell.evidence import View
from fitwell.measures import data


def entering(mean: list[float], std: list[float], dtype: str = "float32", **more: Any) -> View:
    found = {"dtype": dtype, "samples": 100, "each": {"mean": mean, "std": std}} | more
    return View({"signals": {"input_statistics": {"threads": {"": found}}}})


def test_pixels_that_hardly_vary_are_not_far_off() -> None:
    assert data.OFFSET.read(entering([-1.0, 0.0, 0.0], [0.01, 1.0, 1.0])) == 1
    assert data.OFFSET.read(entering([2000.0, 0.0], [10.0, 1.0])) == 200


def test_indices_have_no_scale() -> None:
    assert data.SCALE.read(entering([500.0], [300.0], dtype="int64")) is None
    assert data.SCALE.read(entering([3.0, 0.0], [4.0, 1.0])) == 5


def test_features_that_moved() -> None:
    held = {"samples": 50, "each": {"mean": [0.2, 3.0, 0.0, 0.0], "std": [1.0, 1.0, 5.0, 1.0]}}
    assert data.SHIFTED.read(entering([0.0] * 4, [1.0] * 4, held_out=held)) == 0.5
    few = held | {"samples": 8}
    assert data.SHIFTED.read(entering([0.0] * 4, [1.0] * 4, held_out=few)) is None


def hashed(distinct: int, looks: int = 10, size: int | None = 100) -> View:
    train = {"rows": 50 * looks, "distinct": distinct, "batches": looks}
    known = {"looks": [[1 + n, 50, 50] for n in range(looks)], "parts": {"train": train}}
    epochs = {"known_by": "tensor", "size": size}
    return View({"epochs": epochs, "signals": {"sample_hashes": {"threads": {"": known}}}})


def test_rows_that_are_met_again() -> None:
    assert data.SEEN_AGAIN.read(hashed(distinct=100)) == pytest.approx(1)
    assert data.SEEN_AGAIN.read(hashed(distinct=500)) == 0
    assert data.SEEN_AGAIN.read(hashed(distinct=100, looks=2)) is None  # one pass: none is to be expected
    assert data.SEEN_AGAIN.read(hashed(distinct=500, size=None)) is None


@pytest.mark.parametrize(
    ("line", "meant"),
    [("train: val_loss = loss(model(x), y)", True), ("main: print(loss(model(x), y))", False)],
)
def test_all_of_the_training_data_must_be_called_validation(line: str, meant: bool) -> None:
    view = View().about({"share": 1.0, "corrected": 1.0, "losses": [line]})
    assert data.MEANT.read(view) is meant
    assert data.MEANT.read(view.about({"corrected": 0.4})) is True


def test_a_place_that_is_not_finite_is_told() -> None:
    bad: dict[str, Any] = {"axis": 1, "shape": [32, 3], "not_finite": {"count": 2, "features": [1]}}
    (subject,) = data.bad_places(entering([0.0], [1.0], **bad)) or []
    assert subject == {"place": "of the model, column 1"}


@pytest.mark.parametrize(("again", "told"), [(0, 0), (2, None), (5, 1)])
def test_few_rows_to_be_met_again_tell_if_none_or_many_are(again: int, told: float | None) -> None:
    train = {"rows": 60, "distinct": 60 - again, "batches": 2}
    known = {
        "looks": [[1, 50, 50], [3, 50, 10]],
        "parts": {"train": train},
    }  # of the last 10 rows 5 are expected
    facts = {
        "epochs": {"known_by": "tensor", "size": 100},
        "signals": {"sample_hashes": {"threads": {"": known}}},
    }
    assert data.SEEN_AGAIN.read(View(facts)) == (told and pytest.approx(told))


def constant(lowest: list[float], **more: Any) -> list[int]:
    each = {"mean": lowest, "std": [0.0] * len(lowest), "min": lowest, "max": lowest}
    about = {"axis": 1, "shape": [32, len(lowest)], "features": len(lowest), "constant": {"first": [0]}}
    view = View({"signals": {"input_statistics": {"threads": {"": about | {"each": each} | BASE | more}}}})
    return [subject["feature"] for subject in data.constant_features(view) or []]


BASE = {"dtype": "float32", "samples": 100}


def test_the_border_of_pictures_may_be_black() -> None:
    assert constant([-1.0] * 5 + [0.0] * 3) == []
    assert constant([1.0, -2.0, -3.0, -4.0, 0.5]) == [0]
    varies = {"samples": 50, "each": {"min": [0.5] * 5, "max": [1.0] * 5}}
    assert constant([1.0, -2.0, -3.0, -4.0, 0.5], held_out=varies) == []


def test_features_that_are_noisier_in_training() -> None:
    held = {"samples": 50, "each": {"mean": [0.0, 0.0], "std": [1.0, 1.0]}}
    assert data.NOISIER.read(entering([0.0, 0.0], [2.0, 1.2], held_out=held)) == 0.5
