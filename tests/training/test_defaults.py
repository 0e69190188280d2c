"""Everything that a plan leaves open is decided, with a reason; what it says is kept."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fitwell.data.contract import Data, Split
from fitwell.errors import PlanError
from fitwell.models import families
from fitwell.plan import Plan
from fitwell.training.defaults import decide

OPEN = Plan(data="digits")
MEASURED = {"optimizer.lr", "threads"}
SIZES = {"data.validation", "data.test"}  # how many samples they came to is said in any case


@pytest.mark.parametrize("name", ["digits", "table", "numbers"])
def test_everything_is_decided_with_a_reason(name: str, request: pytest.FixtureRequest) -> None:
    plan, reasons = decide(OPEN, request.getfixturevalue(name))
    still = {path for path, value, _ in plan.settings() if value == "auto"}
    assert still <= MEASURED | SIZES
    were = {path for path, value, _ in OPEN.settings() if value == "auto"}
    assert set(reasons) - SIZES == were - still - SIZES
    assert all(len(reason) >= 9 for reason in reasons.values())
    assert plan.model.family == ("cnn" if name == "digits" else "mlp")


@pytest.mark.parametrize(
    "given",
    [
        {"model": "mlp", "hidden": (7,), "activation": "tanh", "norm": "layer", "dropout": 0.4},
        {"weight_decay": 0.3, "lr": 0.5, "epochs": 77, "patience": 9, "batch_size": 48},
        {"warmup": 0.4, "augment": ("flip",), "device": "cpu", "threads": 2},
        {"patience": None, "augment": (), "hidden": (8,)},
    ],
)
def test_what_is_said_is_kept(given: dict[str, Any], digits: Data) -> None:
    plan, reasons = decide(OPEN.change(**given), digits)
    settings = {path.split(".")[-1]: value for path, value, _ in plan.settings()}
    for name, value in given.items():
        assert settings["family" if name == "model" else name] == value
        assert name not in {path.split(".")[-1] for path in reasons}


def test_deciding_twice_changes_nothing(digits: Data) -> None:
    plan, _ = decide(OPEN, digits)
    again, reasons = decide(plan, digits)
    assert again == plan
    assert set(reasons) <= SIZES


@given(st.integers(1, 3_000_000))
def test_batches_and_epochs_suit_the_number_of_samples(samples: int) -> None:
    plan, _ = decide(OPEN.change(model="mlp"), with_samples(samples))
    batch, epochs = int(plan.batch_size), int(plan.stopping.epochs)
    assert batch in (16, 32, 64, 128)
    assert batch == 16 or samples > 20 * batch
    assert 10 <= epochs <= 100
    assert 1 <= (plan.stopping.patience or 1) <= epochs


def with_samples(samples: int) -> Data:
    """As if there were so many."""
    index = torch.zeros(1, dtype=torch.int64).expand(samples)
    fields = {"x": torch.zeros(1, 4), "y": torch.zeros(1, dtype=torch.int64)}
    return Data(Split(fields, index), None, None, numbers_shape(), {"encoding": "numbers"}, structured=True)


def numbers_shape() -> Any:
    from fitwell.shape import Input, Shape, Target

    return Shape({"x": Input("numbers", (4,))}, Target("classes", ("a", "b")))


def test_without_validation_there_is_nothing_to_be_patient_about(digits: Data) -> None:
    plan, reasons = decide(OPEN, dataclasses.replace(digits, validation=None))
    assert plan.stopping.patience is None
    assert "validation" in reasons["stopping.patience"]


def test_a_family_is_refused_with_those_that_suit(table: Data, digits: Data) -> None:
    with pytest.raises(PlanError, match=r"image(.|\n)*mlp"):
        decide(OPEN.change(model="cnn"), table)
    with pytest.raises(PlanError) as caught:
        decide(OPEN.change(model="oracle"), digits)
    assert all(name in str(caught.value) for name in families())


@pytest.mark.parametrize(
    ("changes", "name", "word"),
    [
        ({"augment": ("flip",)}, "table", "images"),
        ({"mixup": 0.2}, "table", "categories"),
        ({"mixup": 0.2, "model": "autoencoder"}, "unlabelled", "target"),
        ({"device": "abacus"}, "digits", "abacus"),
        ({"device": "cuda"}, "digits", "cuda"),
    ],
)
def test_what_the_data_or_machine_can_not_carry_is_refused(
    changes: dict[str, Any], name: str, word: str, request: pytest.FixtureRequest
) -> None:
    if changes.get("device") == "cuda" and torch.cuda.is_available():
        pytest.skip("there is a CUDA device")
    with pytest.raises(PlanError, match=word):
        decide(OPEN.change(**changes), request.getfixturevalue(name))
