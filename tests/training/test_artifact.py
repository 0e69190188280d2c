"""The saved model is the model; a changed one is refused."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fitwell import data as datasets
from fitwell.data.contract import Data, Samples
from fitwell.errors import DamagedError, FitwellError, RunError
from fitwell.plan import DataPlan
from fitwell.training.artifact import Fitted, load_model, save_model
from fitwell.training.evaluation import outputs_of
from fitwell.training.job import Job
from fitwell.training.loop import Silent, train

Make = Callable[..., Job]


def saved(job: Job, folder: Path) -> Fitted:
    train(job, Silent())
    fitted = Fitted(job.model, job.family, job.data.shape, job.data.encoder)
    save_model(folder, job.plan, fitted)
    return fitted


CASES = [
    ("digits", {"model": "mlp", "norm": "batch", "dropout": 0.3}),
    (
        "digits",
        {"model": "cnn", "hidden": (4, 8), "norm": "batch", "class_weights": True, "label_smoothing": 0.1},
    ),
    ("table", {"model": "mlp", "norm": "layer", "class_weights": True}),
    ("numbers", {"model": "mlp", "function": "huber"}),
    ("unlabelled", {"model": "autoencoder", "hidden": (16, 4)}),
    ("unlabelled", {"model": "rbm", "cd_steps": 3}),
]


@pytest.mark.parametrize(("name", "changes"), CASES)
def test_what_is_loaded_says_the_same(
    name: str, changes: dict[str, Any], make: Make, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    data: Data = request.getfixturevalue(name)
    job = make(data, **changes)
    saved(job, tmp_path / "model")
    stream = torch.get_rng_state()
    again = load_model(tmp_path / "model")
    assert torch.equal(torch.get_rng_state(), stream)
    assert not again.model.training
    assert again.shape == data.shape
    assert data.test is not None
    expected = outputs_of(job.family, job.model, data.test)
    assert torch.equal(outputs_of(again.family, again.model, data.test), expected)
    assert sorted(path.name for path in (tmp_path / "model").iterdir()) == ["model.json", "model.safetensors"]


def test_new_samples_are_read_as_those_of_the_training(digits: Data, make: Make, tmp_path: Path) -> None:
    job = make(digits)
    saved(job, tmp_path / "model")
    raw = digits.train.fields["x"][:9, 0].numpy()
    outputs = load_model(tmp_path / "model").outputs(Samples(raw, 9))
    expected = job.family.predict(job.model.eval(), {"x": digits.train.fields["x"][:9]})
    torch.testing.assert_close(outputs, expected.detach())


def test_a_table_is_read_as_that_of_the_training(table: Data, make: Make, tmp_path: Path) -> None:
    import pandas as pd

    job = make(table)
    fitted = saved(job, tmp_path / "model")
    frame = pd.DataFrame({"size": [0.5, np.nan], "color": ["red", "violet"]})
    samples = datasets.read(DataPlan(source=frame), table.shape)
    again = load_model(tmp_path / "model")
    assert torch.equal(again.outputs(samples), fitted.outputs(samples))


def test_without_a_model_the_error_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="fitwell resume") as caught:
        load_model(tmp_path / "model")
    assert not isinstance(caught.value, DamagedError)


def test_changed_weights_are_refused(digits: Data, make: Make, tmp_path: Path) -> None:
    saved(make(digits), tmp_path / "model")
    file = tmp_path / "model" / "model.safetensors"
    content, draw = file.read_bytes(), random.Random(0)
    for position in {0, len(content) - 1, *draw.sample(range(len(content)), 50)}:
        flipped = bytearray(content)
        flipped[position] ^= 1 << draw.randrange(8)
        for damaged in (bytes(flipped), content[:position]):
            file.write_bytes(damaged)
            with pytest.raises(DamagedError, match=r"model\.safetensors"):
                load_model(tmp_path / "model")
    file.unlink()
    with pytest.raises(DamagedError, match=r"model\.safetensors"):
        load_model(tmp_path / "model")


def test_a_changed_description_is_refused(digits: Data, make: Make, tmp_path: Path) -> None:
    saved(make(digits), tmp_path / "model")
    file = tmp_path / "model" / "model.json"
    content, draw, unnoticed = file.read_bytes(), random.Random(0), []
    original = json.loads(content)
    for position in draw.sample(range(len(content)), 100):
        damaged = bytearray(content)
        damaged[position] ^= 1 << draw.randrange(8)
        file.write_bytes(damaged)
        try:
            load_model(tmp_path / "model")
        except FitwellError:
            continue
        except Exception as error:
            unnoticed.append(repr(error)[:80])
            continue
        if json.loads(damaged) != original:
            unnoticed.append(content[max(0, position - 20) : position + 20].decode())
    assert unnoticed == []


@pytest.mark.parametrize(
    "change",
    [
        {"model": {"hidden": [17]}},  # the weights do not fit
        {"model": {"hidden": "wide"}},
        {"model": {"family": "oracle"}},
        {"shape": {}},
        {"shape": []},
        {"sha256": None},
    ],
)
def test_a_description_of_another_model_is_refused(
    change: dict[str, Any], digits: Data, make: Make, tmp_path: Path
) -> None:
    saved(make(digits), tmp_path / "model")
    file = tmp_path / "model" / "model.json"
    description = json.loads(file.read_text())
    for key, value in change.items():
        old = description[key]
        description[key] = old | value if isinstance(value, dict) and value else value
    file.write_text(json.dumps(description))
    with pytest.raises(FitwellError):
        load_model(tmp_path / "model")
