from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset


def train(watched: Any, model: nn.Module, batches: Any) -> Any:
    optimizer = torch.optim.SGD(model.parameters(), 1e-6)
    with watched() as record:
        for x in batches:
            optimizer.zero_grad()
            model(x).square().mean().backward()
            optimizer.step()
    return record


def facts(record: Any) -> dict[str, Any]:
    (found,) = record.facts["signals"]["input_statistics"]["threads"].values()
    return found  # type: ignore[no-any-return]


def test_each_step_and_each_column(watched: Any) -> None:
    scales = torch.tensor([1.0, 100.0, 0.01, 0.0])
    batches = [torch.randn(16, 4) * scales + 5 for _ in range(4)]
    record = train(watched, nn.Linear(4, 1), batches)
    for name, measure in (("mean", Tensor.mean), ("min", Tensor.amin), ("max", Tensor.amax)):
        assert record.values(f"input/{name}") == pytest.approx([measure(x).item() for x in batches], rel=1e-5)
    assert record.values("input/std") == pytest.approx(
        [x.std(correction=0).item() for x in batches], rel=1e-5
    )
    every, found = torch.cat(batches), facts(record)
    assert found["each"]["mean"] == pytest.approx(every.mean(0).tolist(), rel=1e-3)
    assert found["each"]["std"] == pytest.approx(every.std(0, correction=0).tolist(), rel=1e-3)
    assert found["each"]["min"] == pytest.approx(every.amin(0).tolist(), rel=1e-3)
    assert found["each"]["max"] == pytest.approx(every.amax(0).tolist(), rel=1e-3)
    assert found["constant"] == {"count": 1, "first": [3]}
    assert (found["largest_std"]["feature"], found["smallest_std"]["feature"]) == (1, 2)
    assert found["largest_shift"]["feature"] == 2
    assert (found["shape"], found["dtype"], found["axis"], found["looks"]) == ([16, 4], "float32", 1, 4)


def test_images_by_channel(watched: Any) -> None:
    scales = torch.tensor([1.0, 2.0, 3.0]).view(3, 1, 1)
    batches = [torch.randn(8, 3, 70, 70) * scales for _ in range(3)]
    found = facts(train(watched, nn.Conv2d(3, 2, 3), batches))
    assert found["each"]["std"] == pytest.approx([1, 2, 3], rel=0.05)
    assert found["samples"] < 3 * 65_536


def test_what_is_not_finite_is_counted_and_not_averaged(watched: Any) -> None:
    clean = [torch.randn(8, 3) for _ in range(4)]
    batches = [x.clone() for x in clean]
    batches[1][2, 1] = float("nan")
    batches[2][5, 1] = float("inf")
    found = facts(train(watched, nn.Linear(3, 1), batches))
    assert found["not_finite"] == {"count": 2, "features": [1]}
    assert found["each"]["mean"][0] == pytest.approx(torch.cat(clean)[:, 0].mean().item(), rel=1e-3)
    kept = torch.cat(batches)[:, 1]
    assert found["each"]["mean"][1] == pytest.approx(kept[kept.isfinite()].mean().item(), rel=1e-3)


def test_a_loaders_batch_tells_the_place(watched: Any) -> None:
    x = torch.randn(32, 3)
    x[13, 2] = float("inf")
    model = nn.Linear(3, 1)
    optimizer = torch.optim.SGD(model.parameters(), 1e-6)
    with watched() as record:
        for inputs, _ in DataLoader(TensorDataset(x, torch.zeros(32)), batch_size=8):
            model(inputs).square().mean().backward()
            optimizer.step()
    (bad,) = record.facts["signals"]["input_statistics"]["not_finite_batches"]
    assert bad == {"part": "train", "entry": 0, "shape": [8, 3], "count": 1, "first": [5, 2]}


def test_only_what_enters_the_first_model_counts(watched: Any) -> None:
    first, second = nn.Linear(3, 5), nn.Linear(5, 1)
    optimizer = torch.optim.SGD([*first.parameters(), *second.parameters()], 1e-6)
    batches = [torch.randn(8, 3) + 50 for _ in range(3)]
    with watched() as record:
        for x in batches:
            second(first(x)).square().mean().backward()
            optimizer.step()
    assert record.values("input/mean") == pytest.approx([x.mean().item() for x in batches], rel=1e-5)
    (found,) = record.facts["signals"]["input_statistics"]["threads"].values()
    assert found["features"] == 3


def test_token_ids_are_told_by_their_dtype(watched: Any) -> None:
    model = nn.Sequential(nn.Embedding(10, 4), nn.Linear(4, 1))
    found = facts(train(watched, model, [torch.randint(10, (4, 6)) for _ in range(3)]))
    assert found["dtype"] == "int64"


def test_wide_inputs_keep_the_facts_small(watched: Any) -> None:
    found = facts(train(watched, nn.Linear(2000, 1), [torch.randn(64, 2000) for _ in range(3)]))
    assert found["features"] == 2000
    assert len(found["each"]["mean"]) == 200


def test_accumulated_batches_count_each_and_the_first_is_recorded(watched: Any) -> None:
    model = nn.Linear(3, 1)
    optimizer = torch.optim.SGD(model.parameters(), 1e-6)
    batches = [torch.randn(8, 3) + shift for shift in (0, 10, 0, 10, 0, 10)]
    with watched() as record:
        for number, x in enumerate(batches):
            model(x).square().mean().backward()
            if number % 2:
                optimizer.step()
    assert record.values("input/mean") == pytest.approx([x.mean().item() for x in batches[::2]], abs=1e-5)
    found = facts(record)
    assert found["looks"] == 6
    assert found["each"]["mean"] == pytest.approx(torch.cat(batches).mean(0).tolist(), rel=1e-3)


def test_batches_of_any_kind_are_borne(watched: Any) -> None:
    model = nn.Linear(1, 1)
    optimizer = torch.optim.SGD(model.parameters(), 1e-6)
    with watched() as record:
        for number in DataLoader([1, 2, 3], batch_size=None, collate_fn=lambda each: each):  # type: ignore
            model(torch.full((2, 1), float(number))).square().mean().backward()
            optimizer.step()
    assert record.values("input/mean") == [1, 2, 3]


def test_held_out_data_is_measured_apart(watched: Any) -> None:
    model = nn.Linear(3, 1)
    optimizer = torch.optim.SGD(model.parameters(), 1e-6)
    with watched() as record:
        for _ in range(2):
            model(torch.randn(64, 3)).square().mean().backward()
            optimizer.step()
        with torch.no_grad():
            model(torch.randn(64, 3) * 5 + 9)
    held = facts(record)["held_out"]
    assert held["samples"] == 64
    assert held["each"]["mean"] == pytest.approx([9] * 3, abs=2)
    assert held["each"]["std"] == pytest.approx([5] * 3, rel=0.4)
    assert facts(record)["each"]["std"] == pytest.approx([1] * 3, rel=0.3)
