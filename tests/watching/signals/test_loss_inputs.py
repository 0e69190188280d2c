from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn


def place(record: Any) -> dict[str, Any]:
    (found,) = record.facts["signals"]["loss_inputs"]["places"]
    return found


def train(record_of: Any, loss: Any, outputs: int = 3, steps: int = 4) -> tuple[Any, list[Tensor]]:
    model = nn.Linear(4, outputs)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    seen = []
    with record_of() as record:
        for _ in range(steps):
            out = model(torch.randn(8, 4))
            seen.append(out.detach())
            optimizer.zero_grad()
            loss(out).backward()
            optimizer.step()
    return record, seen


def test_ranges_and_sums_are_those_of_all_steps(watched: Any) -> None:
    labels = torch.arange(8) % 3
    record, seen = train(watched, lambda out: F.cross_entropy(out, labels))
    found = place(record)
    every = torch.stack(seen)
    assert found["function"] == "cross_entropy"
    assert found["part"] == "train"
    assert "cross_entropy" in found["where"]["text"]
    assert (found["calls"], found["with_graph"], found["outputs"], found["class_axis"]) == (4, 4, 3, 1)
    assert found["input"] == pytest.approx([every.min().item(), every.max().item()])
    means = every.mean((1, 2))
    assert found["input_mean"] == pytest.approx([means.min().item(), means.max().item()], abs=1e-6)
    assert found["sums"][1] == pytest.approx([every.sum(2).min().item(), every.sum(2).max().item()], abs=1e-5)
    assert found["sums"][0] == pytest.approx([every.sum(1).min().item(), every.sum(1).max().item()], abs=1e-5)
    exps = every.exp().sum(2)
    assert found["exp_sums"][1] == pytest.approx([exps.min().item(), exps.max().item()], rel=1e-5)
    values = [F.cross_entropy(out, labels).item() for out in seen]
    assert found["value"] == pytest.approx([min(values), max(values)])
    assert found["target"] == [0, 2]
    assert found["target_whole"]
    assert found["arguments"]["reduction"] == "mean"
    assert found["broadcast"] is None


@pytest.mark.parametrize(
    ("activation", "sums", "axis", "made_by"),
    [
        (lambda out: out.softmax(1), "sums", 1, "SoftmaxBackward0"),
        (lambda out: out.softmax(0), "sums", 0, "SoftmaxBackward0"),
        (lambda out: out.log_softmax(1), "exp_sums", 1, "LogSoftmaxBackward0"),
        (lambda out: out.log_softmax(0), "exp_sums", 0, "LogSoftmaxBackward0"),
    ],
)
def test_tells_what_sums_to_one_and_along_which_axis(
    watched: Any, activation: Any, sums: str, axis: int, made_by: str
) -> None:
    labels = torch.arange(8) % 3
    record, _ = train(watched, lambda out: F.cross_entropy(activation(out), labels))
    found = place(record)
    assert found[sums][axis] == pytest.approx([1, 1], abs=1e-5)
    assert found[sums][1 - axis] != pytest.approx([1, 1], abs=1e-3)
    assert found["input_made_by"][0] == made_by


@pytest.mark.filterwarnings("ignore:Using a target size")
def test_tells_shapes_that_were_broadcast(watched: Any) -> None:
    record, _ = train(watched, lambda out: F.mse_loss(out, torch.randn(8)), outputs=1)
    assert place(record)["broadcast"] == [[8, 1], [8]]


def test_a_smaller_last_batch_does_not_count_as_broadcast(watched: Any) -> None:
    record, _ = train(watched, lambda out: F.mse_loss(out, torch.randn(8, 1)), outputs=1)
    assert place(record)["broadcast"] is None
    assert not place(record)["target_whole"]


def test_ignored_labels_are_not_in_the_range(watched: Any) -> None:
    labels = torch.tensor([0, 1, 2, -100, 1, 2, 1, 0])
    record, _ = train(watched, lambda out: F.cross_entropy(out, labels))
    assert place(record)["target"] == [0, 2]


def test_evaluation_is_told_apart(watched: Any) -> None:
    model = nn.Linear(4, 3)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with watched() as record:
        for _ in range(4):
            F.nll_loss(model(torch.randn(8, 4)).log_softmax(1), torch.zeros(8, dtype=torch.long)).backward()
            optimizer.step()
            with torch.no_grad():
                F.nll_loss(model(torch.randn(8, 4)).log_softmax(1), torch.ones(8, dtype=torch.long))
    places = {each["part"]: each for each in record.facts["signals"]["loss_inputs"]["places"]}
    assert set(places) == {"train", "val"}
    assert places["val"]["with_graph"] == 0
    assert places["val"]["target"] == [1, 1]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_any_precision_and_many_axes(watched: Any, dtype: torch.dtype) -> None:
    model = nn.Conv2d(3, 5, 1).to(dtype)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with watched() as record:
        for _ in range(3):
            out = model(torch.randn(4, 3, 90, 90, dtype=dtype))
            F.cross_entropy(out.softmax(1), torch.zeros(4, 90, 90, dtype=torch.long)).backward()
            optimizer.step()
    found = place(record)
    assert len(found["sums"]) == 4
    assert found["sums"][1] == pytest.approx([1, 1], abs=0.02)
    assert found["outputs"] == 5


def test_what_is_not_a_number_hides_nothing(watched: Any) -> None:
    model = nn.Linear(2, 2)
    optimizer = torch.optim.SGD(model.parameters(), 0.0)
    with watched() as record:
        for x in (torch.ones(4, 2), torch.full((4, 2), float("nan")), torch.ones(4, 2)):
            optimizer.zero_grad()
            F.mse_loss(model(x), torch.full((4, 2), 7.0)).backward()
            if x.isfinite().all():
                optimizer.step()
    found = place(record)
    assert None not in found["input"]
    assert found["target"] == [7, 7]


@pytest.mark.parametrize("copied", [False, True])
def test_one_number_for_all_outputs(watched: Any, copied: bool) -> None:
    numbers = (torch.arange(8) % 3).float()[:, None].expand(-1, 3)
    target = numbers.clone() if copied else numbers
    assert place(train(watched, lambda out: F.mse_loss(out, target))[0])["target_repeated"]
    assert not place(train(watched, lambda out: F.mse_loss(out, torch.randn(8, 3)))[0])["target_repeated"]
