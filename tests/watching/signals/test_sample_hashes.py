from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from fitwell.watching.signals.sample_hashes import _hashes, _Rows, _training_samples


def loaders(train: Tensor, val: Tensor, batch: int = 16) -> tuple[Any, Any]:
    def loader(x: Tensor, shuffle: bool) -> Any:
        return DataLoader(TensorDataset(x, torch.zeros(len(x), 1)), batch, shuffle=shuffle)

    return loader(train, True), loader(val, False)


def run(watched: Any, train: Tensor, val: Tensor, epochs: int = 3) -> dict[str, Any]:
    model = nn.Linear(train.shape[1], 1)
    optimizer = torch.optim.SGD(model.parameters(), 0.01)
    fitting, judging = loaders(train, val)
    with watched() as record:
        for _ in range(epochs):
            for x, y in fitting:
                optimizer.zero_grad()
                F.mse_loss(model(x), y).backward()
                optimizer.step()
            with torch.no_grad():
                for x, y in judging:
                    F.mse_loss(model(x), y)
    return record.facts["signals"]["sample_hashes"]["model"]


def test_finds_the_held_out_rows_that_were_trained_on(watched: Any) -> None:
    train = torch.randn(32, 5)
    val = torch.cat([train[:6], torch.randn(18, 5)])
    found = run(watched, train, val)
    assert found["parts"]["train"]["distinct"] == 32
    assert found["parts"]["val"]["distinct"] == 24
    assert found["parts"]["val"]["found_in_train"] == 6
    assert found["parts"]["val"]["share"] == pytest.approx(0.25)


def test_other_data_is_not_found(watched: Any) -> None:
    found = run(watched, torch.randn(32, 5), torch.randn(16, 5))
    assert found["parts"]["val"]["found_in_train"] == 0
    assert found["parts"]["val"]["by_batch"] == [0, 0, 0]


def test_equal_rows_of_a_batch_are_counted(watched: Any) -> None:
    x = torch.randn(16, 5)
    x[3] = x[8]
    found = run(watched, x, torch.randn(8, 5), epochs=4)["parts"]["train"]
    assert found["duplicates_in_batches"] == found["batches"]
    assert found["distinct"] == 15


def test_the_number_of_samples_is_estimated(watched: Any) -> None:
    # Only the first five steps are sure to be looked at with everything: 80 rows.
    found = run(watched, torch.randn(64, 5), torch.randn(8, 5), epochs=4)
    assert found["estimated_samples"] == pytest.approx(64, rel=0.2)
    assert found["coverage"] > 0.8


def test_rows_of_large_batches_take_turns(watched: Any) -> None:
    model = nn.Linear(3, 1)
    optimizer = torch.optim.SGD(model.parameters(), 0.01)
    x = torch.randn(300, 3)
    with watched() as record:
        for _ in range(5):
            model(x).square().mean().backward()
            optimizer.step()
    found = record.facts["signals"]["sample_hashes"]["model"]
    assert 300 <= found["estimated_samples"] <= 450
    assert found["parts"]["train"]["distinct"] == 300


@pytest.mark.parametrize(
    "dtype",
    [torch.float32, torch.float64, torch.bfloat16, torch.int64, torch.uint8, torch.bool, torch.complex64],
)
def test_a_hash_is_that_of_the_row_wherever_it_stands(dtype: torch.dtype) -> None:
    rows = (torch.rand(40, 3, 7) * 200).to(dtype) if dtype != torch.bool else torch.rand(40, 3, 7) > 0.5
    hashes = _hashes(rows)
    order = torch.randperm(40)
    assert torch.equal(_hashes(rows[order]), hashes[order])
    assert torch.equal(_hashes(rows[::3]), hashes[::3])
    assert len(hashes.unique()) == 40


def test_small_changes_change_the_hash() -> None:
    rows = torch.zeros(1 + 64, 64, dtype=torch.uint8)
    rows[1:] += torch.eye(64, dtype=torch.uint8)
    swapped = torch.tensor([[1, 2, 3], [3, 2, 1], [2, 1, 3], [0, 3, 3], [6, 0, 0]])
    assert len(_hashes(rows).unique()) == 65
    assert len(_hashes(swapped).unique()) == 5


def test_the_same_sum_of_pixels_is_not_the_same_sample() -> None:
    rows = torch.randint(0, 3, (5_000, 12))
    assert len(_hashes(rows).unique()) == len(rows.unique(dim=0))


@pytest.mark.parametrize("samples", [400, 1600])
def test_the_estimate_takes_passes_into_account(samples: int) -> None:
    # Early in the second pass most pairs of batches belong to one pass and can't have a row in common.
    batches = []
    for step in range(1, int(1.5 * samples / 16)):
        at = (step - 1) * 16 % samples
        if at == 0:
            order = torch.randperm(samples)
        batches.append(_Rows(order[at : at + 16], 16, step))
    kept = batches[::2]
    found = _training_samples(kept, [rows.hashes.numpy() for rows in kept])
    assert found == pytest.approx(samples, rel=0.2)


def test_what_the_evaluation_of_some_rows_only_is_told(watched: Any) -> None:
    x, model = torch.randn(40, 4), nn.Linear(4, 3)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with watched() as record:
        torch.nn.functional.cross_entropy(model(x), torch.randint(3, (40,))).backward()
        optimizer.step()
        with torch.no_grad():
            torch.nn.functional.cross_entropy(model(x)[:10], torch.randint(3, (10,)))
    (found,) = record.facts["signals"]["sample_hashes"].values()
    assert found["parts"]["val"]["masked"]
    assert found["parts"]["val"]["even"]
    assert not found["parts"]["train"]["masked"]
    assert found["looks"] == [[1, 40, 40]]


def test_what_a_teacher_says_of_training_batches_is_no_validation(watched: Any) -> None:
    teacher, student = nn.Linear(5, 1), nn.Linear(5, 1)
    x = torch.randn(160, 5)
    with watched() as record:
        for model in (teacher, student):
            optimizer = torch.optim.SGD(model.parameters(), 0.01)
            for batch in x.split(32):
                with torch.no_grad():
                    answer = torch.zeros(32, 1) if model is teacher else teacher(batch)
                optimizer.zero_grad()
                F.mse_loss(model(batch), answer).backward()
                optimizer.step()
    names = record.facts["signals"]["sample_hashes"]
    parts = {thread: sorted(found["parts"]) for thread, found in names.items()}
    assert parts == {"teacher": ["train"], "student": ["train"]}
