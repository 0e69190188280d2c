"""The class labels that reach the losses: where, and whether their batches are mixed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fitwell.evidence import View

SORTED = 0.5  # of the way from mixed batches to batches of one class


def places_of(view: View, signal: str, held_out: bool) -> list[Mapping[str, Any]]:
    """The places of training or of held-out data that a signal about labels or targets knows."""
    places = view.fact("signals", signal, "places") or []
    return [each for each in places if (each["part"] not in ("train", "train_evaluated")) is held_out]


def labels_of(view: View, held_out: bool = False) -> Mapping[str, Any] | None:
    """The place of a classification loss that saw most labels."""
    return max(places_of(view, "labels", held_out), key=lambda place: sum(place["counts"]), default=None)


def mixing(view: View) -> float | None:
    """0 if equal labels meet in a batch as by chance, 1 if every batch holds one class."""
    place, held = labels_of(view), labels_of(view, True)
    mates = (place or {}).get("batch_mates")
    if place is None or not mates or not mates["pairs"]:
        return None
    counts = list(place["counts"])
    if held is not None and held["classes"] == place["classes"]:  # classes of which no batch was looked at
        counts = [a + b for a, b in zip(counts, held["counts"], strict=True)]
    total = sum(counts)
    expected = sum((count / total) ** 2 for count in counts)
    return (mates["equal"] / mates["pairs"] - expected) / (1 - expected) if expected < 1 else None


def is_sorted(view: View) -> bool:
    """Whether the training batches that were looked at do not tell how common each class is."""
    found = mixing(view)
    return found is not None and found > SORTED
