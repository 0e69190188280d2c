"""Figures of gradients, updates and weights."""

import pytest

from fitwell.diagnosis import Example
from fitwell.evidence import View
from fitwell.measures.gradients import (
    BATCH,
    CLIPPED,
    DECAY_SHARE,
    GRADIENT_SIZE,
    NORM_GROWTH,
    PATH,
    THROUGH_DEPTH,
)


def view(facts: dict[str, object] | None = None, **signals: list[float]) -> View:
    return Example(
        "", facts or {}, {name.replace("__", "/"): values for name, values in signals.items()}
    ).view


def test_the_gradient_through_depth_is_relative_to_weights() -> None:
    norms = {"a": (0.001, 1.0), "b": (0.5, 1.0), "c": (4.0, 2.0)}
    signals = {f"layer__{n}__gradient_norm": [g, g] for n, (g, _) in norms.items()}
    signals |= {f"layer__{n}__weight_norm": [w, w] for n, (_, w) in norms.items()}
    assert THROUGH_DEPTH.read(view(**signals)) == pytest.approx(0.0005)
    assert THROUGH_DEPTH.read(view()) is None


def test_the_size_of_a_gradient_is_that_of_the_first_step() -> None:
    seen = view(
        gradient__norm=[5.0, 900.0], layer__a__weight_norm=[3.0, 0.1], layer__b__weight_norm=[4.0, 0.1]
    )
    assert GRADIENT_SIZE.read(seen) == 1


def test_growth_is_over_the_median_before() -> None:
    assert NORM_GROWTH.read(view(gradient__norm=[1.0, 1.0, 12.0])) == 12
    assert NORM_GROWTH.read(view(gradient__norm=[1.0])) is None


def test_decay_is_compared_with_the_gradient_or_if_decoupled_with_the_update() -> None:
    def facts(kind: str) -> dict[str, object]:
        setting = {"optimizer": kind, "first_group": {"lr": 0.1, "weight_decay": 0.5}}
        return {"signals": {"learning_rate": {"": setting}}}

    signals = {
        "gradient__norm": [1.0, 1.0],
        "layer__a__weight_norm": [10.0, 10.0],
        "update__ratio": [0.1, 0.1],
    }
    assert DECAY_SHARE.read(view(facts("SGD"), **signals)) == 5
    assert DECAY_SHARE.read(view(facts("AdamW"), **signals)) == pytest.approx(0.5)
    assert DECAY_SHARE.read(view(**signals)) is None


def test_the_path_needs_the_number_of_steps() -> None:
    facts = {"threads": [{"name": "", "steps": 100}]}
    assert PATH.read(view(facts, update__ratio=[0.01, 0.02])) == pytest.approx(2)
    assert PATH.read(view(update__ratio=[0.01])) is None


def test_a_batch_of_play_is_not_known() -> None:
    place = {"function": "mse_loss", "part": "train", "target_shape": [1]}
    facts = {"threads": [{"name": "", "epochs": 0}], "signals": {"loss_inputs": {"places": [place]}}}
    assert BATCH.read(view(facts)) is None
    assert BATCH.read(view(facts | {"threads": [{"name": "", "epochs": 2}]})) == 1


def test_a_tensor_that_starts_at_zero_says_nothing_of_depth() -> None:
    norms = {"a": (1.0, 4.0), "b": (1.0, 4.0), "c": (1.0, 4.0), "bias": (0.1, 1e-5)}
    signals = {f"layer__{n}__gradient_norm": [g, g] for n, (g, _) in norms.items()}
    signals |= {f"layer__{n}__weight_norm": [w, w] for n, (_, w) in norms.items()}
    assert THROUGH_DEPTH.read(view(**signals)) == 1


def test_a_limit_that_is_never_reached_is_no_clipping() -> None:
    assert CLIPPED.read(view(gradient__norm=[5.0, 4.0], gradient__norm_before_clipping=[5.0, 4.0])) is False
    assert CLIPPED.read(view(gradient__norm=[1.0, 1.0], gradient__norm_before_clipping=[5.0, 0.9])) is True
    assert CLIPPED.read(view(gradient__norm=[5.0, 4.0])) is False
    assert CLIPPED.read(view()) is None


def test_the_path_is_taken_at_the_mean_rate() -> None:
    seen = view({"threads": [{"name": "", "steps": 100}]}, update__ratio=[0.01], lr=[0.1, 0.3])
    assert PATH.read(seen) == pytest.approx(2.0)
