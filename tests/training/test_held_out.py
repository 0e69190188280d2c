"""What is kept of a model's answers on data that it never saw."""

from __future__ import annotations

import base64
import dataclasses
import io
import json
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from sklearn.metrics import balanced_accuracy_score, confusion_matrix, roc_auc_score, root_mean_squared_error

from fitwell.data.contract import Data, Split
from fitwell.shape import Target
from fitwell.training import held_out as module
from fitwell.training.evaluation import outputs_of, probabilities
from fitwell.training.held_out import confusion, further_figures, held_out
from fitwell.training.job import Job
from fitwell.training.loop import Silent, train

Make = Callable[..., Job]


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=60))
def test_the_confusion_matrix_is_scikit_learns(pairs: list[tuple[int, int]]) -> None:
    true, predicted = torch.tensor(pairs).T
    expected = confusion_matrix(true.numpy(), predicted.numpy(), labels=range(5))
    assert confusion(predicted, true, 5).tolist() == expected.tolist()


@given(st.integers(0, 2**32 - 1), st.integers(4, 60))
def test_figures_of_classes_are_scikit_learns(seed: int, count: int) -> None:
    draw = np.random.default_rng(seed)
    y = np.r_[0, 1, draw.integers(0, 2, count)]
    outputs = draw.normal(size=(len(y), 1)).round(1)  # rounded, so that there are ties
    outputs[outputs == 0] = 0.05
    found = further_figures(
        torch.tensor(outputs), torch.tensor(y[:, None]).float(), Target("binary", ("n", "y"))
    )
    assert found["auc"] == pytest.approx(roc_auc_score(y, outputs.ravel()))
    assert found["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(y, outputs.ravel() > 0))
    y, outputs = np.r_[0:4, draw.integers(0, 4, count)], draw.normal(size=(count + 4, 4))
    found = further_figures(torch.tensor(outputs), torch.tensor(y), Target("classes", tuple("abcd")))
    assert found == {"balanced_accuracy": pytest.approx(balanced_accuracy_score(y, outputs.argmax(1)))}


def test_a_part_that_lacks_a_class_has_no_area_under_its_curve() -> None:
    outputs, y = torch.tensor([[1.0], [-1.0], [2.0]]), torch.ones(3, 1)
    assert further_figures(outputs, y, Target("binary", ("n", "y"))) == {
        "balanced_accuracy": pytest.approx(2 / 3)
    }
    three = Target("classes", tuple("abc"))
    y, outputs = torch.tensor([0, 0, 1, 1]), torch.eye(3)[[0, 1, 1, 1]]
    assert further_figures(outputs, y, three) == {"balanced_accuracy": 0.75}


def test_the_error_of_numbers_is_in_their_own_units() -> None:
    draw = np.random.default_rng(0)
    y, outputs = draw.normal(size=(50, 1)), draw.normal(size=(50, 1))
    target = Target("number", ("price",), (100.0,), (20.0,))
    found = further_figures(torch.from_numpy(outputs), torch.from_numpy(y), target)
    assert found == {"rmse": pytest.approx(root_mean_squared_error(y * 20 + 100, outputs * 20 + 100))}


@pytest.fixture(scope="module")
def learned(digits: Data, make: Make) -> Job:
    torch.set_num_threads(1)
    job = make(digits)
    train(job, Silent())
    return job


def test_the_worst_mistakes_come_first(learned: Job, digits: Data) -> None:
    found, test = held_out(learned.family, learned.model, digits), digits.test
    assert test is not None
    chances = probabilities(outputs_of(learned.family, learned.model, test), digits.shape.target).numpy()
    y, predicted = test.fields["y"][test.index].numpy(), chances.argmax(1)
    wrong = np.flatnonzero(predicted != y)
    mistakes = found["mistakes"]
    assert len(wrong) > 5
    assert len(mistakes) == min(24, len(wrong))
    confidence = [one["confidence"] for one in mistakes]
    assert confidence == sorted(confidence, reverse=True)
    assert confidence[0] == pytest.approx(chances[wrong].max(), abs=1e-4)
    by_row = {f"sample {int(index)}": place for place, index in enumerate(test.index)}
    for one in mistakes:
        place = by_row[one["row"]]
        assert (one["true"], one["predicted"]) == (str(y[place]), str(predicted[place]))
        assert one["true"] != one["predicted"]
    assert found["part"] == "test"
    assert found["confusion"] == confusion_matrix(y, predicted, labels=range(10)).tolist()
    assert found["classes"] == list("0123456789")
    assert json.loads(json.dumps(found)) == found


def test_pictures_are_those_of_the_samples(learned: Job, digits: Data) -> None:
    for one in held_out(learned.family, learned.model, digits)["mistakes"]:
        picture = decoded(one["picture"])
        assert picture.size == (96, 96)
        small = np.asarray(picture.resize((8, 8), Image.Resampling.NEAREST))
        x = digits.train.fields["x"][int(one["row"].split()[1]), 0].numpy()
        assert np.abs(small - 255.0 * x / x.max()).max() <= 1


def decoded(uri: str) -> Image.Image:
    head, content = uri.split(",")
    assert head == "data:image/png;base64"
    image = Image.open(io.BytesIO(base64.b64decode(content)))
    image.load()
    assert image.format == "PNG"
    return image


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
@pytest.mark.parametrize("channels", [1, 2, 3])
@pytest.mark.parametrize("fill", ["noise", "black", "white", "negative", "bright"])
def test_any_picture_can_be_drawn(dtype: torch.dtype, channels: int, fill: str) -> None:
    noise = torch.rand(1, channels, 20, 30)
    x = {
        "noise": noise,
        "black": noise * 0,
        "white": noise * 0 + 1,
        "negative": -noise,
        "bright": noise * 1e4,
    }[fill]
    if dtype == torch.uint8:
        x = x.clamp(0, 1).mul(255).to(torch.uint8)
    found = module._picture(Split({"x": x}, torch.tensor([0])), 0)
    if channels == 2:
        assert found == {}
        return
    picture = decoded(found["picture"])
    assert picture.size == (90, 60)
    assert picture.mode == ("L" if channels == 1 else "RGB")


def test_full_colour_is_kept_as_it_is() -> None:
    x = torch.randint(0, 256, (1, 3, 100, 120), dtype=torch.uint8)
    x[0, 0, 0, 0] = 255
    picture = decoded(module._picture(Split({"x": x}, torch.tensor([0])), 0)["picture"])
    assert np.array_equal(np.asarray(picture), x[0].permute(1, 2, 0).numpy())


def test_numbers_are_kept_with_their_worst_errors(
    numbers: Data, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    job, test = make(numbers), numbers.test
    assert test is not None
    train(job, Silent())
    found = held_out(job.family, job.model, numbers)
    mean, std = numbers.shape.target.mean[0], numbers.shape.target.std[0]
    true = test.fields["y"][test.index].double().numpy().ravel() * std + mean
    predicted = outputs_of(job.family, job.model, test).double().numpy().ravel() * std + mean
    assert found["true"] == pytest.approx(true)
    assert found["predicted"] == pytest.approx(predicted)
    errors = [abs(one["true"] - one["predicted"]) for one in found["mistakes"]]
    assert errors == pytest.approx(np.sort(np.abs(true - predicted))[::-1][:24])
    monkeypatch.setattr(module, "POINTS", 10)
    assert len(held_out(job.family, job.model, numbers)["true"]) == 10


def test_rows_are_called_as_the_data_calls_them(table: Data, make: Make) -> None:
    job = make(table)
    named = dataclasses.replace(table, rows=tuple(f"line {i + 2}" for i in range(400)))
    for one in held_out(job.family, job.model, named)["mistakes"]:
        assert one["row"].startswith("line ")
        assert "picture" not in one


def test_validation_stands_in_for_a_missing_test_part(learned: Job, digits: Data, unlabelled: Data) -> None:
    without = dataclasses.replace(digits, test=None)
    assert held_out(learned.family, learned.model, without)["part"] == "val"
    assert held_out(learned.family, learned.model, dataclasses.replace(without, validation=None)) == {}
    assert held_out(learned.family, learned.model, unlabelled) == {}
