"""Labels as the losses saw them."""

from typing import Any

from fitwell.evidence import View
from fitwell.measures import curves
from fitwell.measures.labels import is_sorted, labels_of, mixing, places_of


def seen(equal: int, counts: list[int]) -> View:
    train: dict[str, Any] = {"part": "train", "function": "cross_entropy", "classes": 2, "counts": counts}
    train["batch_mates"] = {"pairs": 1000, "equal": equal}
    held = {"part": "val", "function": "cross_entropy", "classes": 2, "counts": [50, 50]}
    return View({"signals": {"labels": {"places": [train, held]}}})


def test_the_places_of_training_are_told_from_the_others() -> None:
    view = seen(500, [40, 60])
    assert [place["part"] for place in places_of(view, "labels", held_out=True)] == ["val"]
    assert (labels_of(view) or {})["counts"] == [40, 60]
    assert labels_of(View()) is None


def test_mixed_batches_and_batches_of_one_class() -> None:
    assert abs(mixing(seen(500, [50, 50])) or 0.0) < 0.01
    assert mixing(seen(1000, [50, 50])) == 1.0
    assert not is_sorted(seen(500, [50, 50]))
    assert is_sorted(seen(1000, [50, 50]))


def test_of_sorted_data_it_is_unknown_how_common_each_class_is() -> None:
    assert curves._chance(seen(500, [50, 50])) is not None
    assert curves._chance(seen(1000, [90, 10])) is None
