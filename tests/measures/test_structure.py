"""What is read of the structure of a model."""

from __future__ import annotations

import math

import pytest

from fitwell.diagnosis import numbered
from fitwell.evidence import View
from fitwell.measures import structure


def view(signals: dict[str, object], **series: list[float]) -> View:
    return View(
        {"signals": signals}, {name.replace("__", "/"): numbered(v) for name, v in series.items()}, "net"
    )


def test_models_that_were_not_examined_are_no_subjects() -> None:
    facts = {"threads": {"net": {"net": {"random": {}}, "other": {"refused": "it is not on the CPU"}}}}
    assert [each["model"] for each in structure.models(view({"examination": facts})) or []] == ["net"]
    assert structure.models(view({})) is None


def test_embeddings_are_no_layers_of_units_and_the_last_layer_is_known() -> None:
    table = [{"name": n, "class": c} for n, c in (("emb", "Embedding"), ("a", "Linear"), ("b", "Linear"))]
    each = [{"layer": row["name"], "gain": 1.0, "zero": False, "units": 4} for row in reversed(table)]
    facts = {"layers": {"threads": {"net": {"table": table}}}, "initial_weights": {"threads": {"net": each}}}
    found = structure.weights(view(facts))
    assert found is not None
    assert {one["layer"]: one["last"] for one in found} == {"a": False, "b": True}


@pytest.mark.parametrize(
    ("place", "loss", "expected"),
    [
        ({"function": "cross_entropy", "outputs": 10}, 2 * math.log(10), 2),
        ({"function": "binary_cross_entropy_with_logits", "outputs": 1}, math.log(2), 1),
        ({"function": "mse_loss", "target": [-6.0, 6.0]}, 36.0, 3),
        ({"function": "l1_loss"}, 1.0, None),
    ],
)
def test_the_first_loss_over_that_of_a_guess(
    place: dict[str, object], loss: float, expected: float | None
) -> None:
    seen = view({"loss_inputs": {"places": [place | {"part": "train"}]}}, loss__batch=[loss])
    assert structure.FIRST_LOSS.read(seen) == (None if expected is None else pytest.approx(expected))


def test_a_share_of_units_needs_two_looks() -> None:
    (one,) = structure.unit_layers("dead_share")(view({}, layer__fc__dead_share=[0.9])) or []
    assert structure.UNIT_SHARE.read(View(subject=one)) is None
    (two,) = structure.unit_layers("dead_share")(view({}, layer__fc__dead_share=[0.0, 0.9, 0.7])) or []
    assert structure.UNIT_SHARE.read(View(subject=two)) == 0.7


def test_dropout_that_is_written_out_is_meant() -> None:
    for text, expected in (("F.dropout(x)", True), ("F.dropout(x, training = True)", False)):
        random = {"repeats": True, "differs": True, "dropout": {"text": text}}
        assert structure.DROPOUT_IN_EVALUATION.read(View(subject={"random": random})) is expected


def test_noise_that_depends_on_the_batch_tells_nothing_of_mixing() -> None:
    random = {"repeats": True, "differs": True, "noise": {"file": "train.py", "line": 3}}
    assert structure.OTHERS_CHANGED.read(View().about({"random": random, "mixed": 1.0})) is None
    assert structure.OTHERS_CHANGED.read(View().about({"random": random, "mixed": 0.4})) == 0.4
    assert structure.OTHERS_CHANGED.read(View().about({"random": {"repeats": True}, "mixed": 1.0})) == 1.0
