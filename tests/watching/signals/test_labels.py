from __future__ import annotations

import math
import random
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fitwell.watching.moments import LossCall, ModuleCall, Step
from fitwell.watching.signals.labels import SIGNAL, _against_mixed


def train(watched: Any, labels: Tensor, batch: int = 16, classes: int = 3) -> dict[str, Any]:
    model = nn.Linear(4, classes)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with watched() as record:
        for y in labels.split(batch):
            F.cross_entropy(model(torch.randn(len(y), 4)), y).backward()
            optimizer.step()
    (found,) = record.facts["signals"]["labels"]["places"]
    return found  # type: ignore[no-any-return]


def test_histogram_is_that_of_the_labels_seen(watched: Any) -> None:
    labels = torch.randint(3, (64,))
    labels[5] = -100
    found = train(watched, labels)
    assert found["counts"] == labels[labels >= 0].bincount(minlength=3).tolist()
    assert (found["part"], found["classes"], found["batches"]) == ("train", 3, 4)


def test_counts_of_the_order(watched: Any) -> None:
    labels = torch.tensor([0, 0, 1, 1, 1, 1, 1, 1, 2, 2, 0, 1, 1, 2, 0, 0])
    found = train(watched, labels, batch=4)
    assert found["neighbours"]["equal"] == 2 + 3 + 1 + 1
    assert found["neighbours"]["pairs"] == 12
    assert found["batch_mates"]["equal"] == 2 + 6 + 1 + 1
    assert found["batch_mates"]["pairs"] == 24
    assert found["batches_of_one_class"] == 1
    assert found["seams"] == {"pairs": 3, "equal": 2}


def test_sorted_labels_are_far_from_mixed(watched: Any) -> None:
    labels = torch.arange(3).repeat_interleave(27)[:80]
    found = train(watched, labels)
    assert found["neighbours"]["p"] < 1e-3
    assert found["batch_mates"]["p"] < 1e-3
    assert found["batch_mates"]["z"] > 0


def test_mixed_labels_are_not(watched: Any) -> None:
    found = train(watched, torch.randint(3, (80,)))
    assert abs(found["neighbours"]["z"]) < 3
    assert abs(found["batch_mates"]["z"]) < 3


def test_batches_of_one_class_each_are_seen_when_shuffled_within(watched: Any) -> None:
    labels = torch.cat([torch.randperm(16) % 2 * 2, torch.ones(16, dtype=torch.long)] * 2)
    found = train(watched, labels)
    assert found["batches_of_one_class"] == 2
    assert found["batch_mates"]["p"] < 1e-3


@pytest.mark.parametrize("classes", [2, 3])
def test_the_law_of_permutations(classes: int) -> None:
    draw = random.Random(0)
    batches, size = 4, 5
    labels = [draw.randrange(classes) for _ in range(batches * size)]
    counts = [labels.count(each) for each in range(classes)]
    values = []
    for _ in range(20_000):
        draw.shuffle(labels)
        rows = [labels[i : i + size] for i in range(0, len(labels), size)]
        values.append(sum(row.count(c) * (row.count(c) - 1) // 2 for row in rows for c in range(classes)))
    mean = sum(values) / len(values)
    deviation = math.sqrt(sum((value - mean) ** 2 for value in values) / len(values))
    pairs, touching = batches * size * (size - 1) // 2, batches * size * (size - 1) * (size - 2) // 2
    found = _against_mixed(round(mean) + 3, pairs, touching, counts)
    assert found["expected"] == pytest.approx(mean, abs=0.1)
    assert found["z"] == pytest.approx((round(mean) + 3 - found["expected"]) / deviation, rel=0.03)


def test_one_class_alone_says_nothing_of_the_order(watched: Any) -> None:
    found = train(watched, torch.zeros(48, dtype=torch.long))
    assert found["batch_mates"]["z"] is None


def test_binary_targets_and_held_out_data(watched: Any) -> None:
    model = nn.Linear(4, 1)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    target = torch.tensor([[0.0], [1.0], [1.0], [1.0]])
    with watched() as record:
        for _ in range(3):
            F.binary_cross_entropy_with_logits(model(torch.randn(4, 4)), target).backward()
            optimizer.step()
            with torch.no_grad():
                F.binary_cross_entropy_with_logits(model(torch.randn(4, 4)), 1 - target)
    places = {each["part"]: each for each in record.facts["signals"]["labels"]["places"]}
    assert places["train"]["counts"] == [3, 9]
    assert places["train"]["batches"] == 3
    assert places["val"]["counts"] in ([6, 2], [9, 3])
    assert "batches" not in places["val"]


def test_the_order_of_letters_is_not_that_of_samples(watched: Any) -> None:
    model = nn.Sequential(nn.Embedding(5, 4), nn.Linear(4, 5))
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with watched() as record:
        for _ in range(3):
            x = torch.randint(5, (4, 6))
            F.cross_entropy(model(x).view(-1, 5), x.view(-1).sort().values).backward()
            optimizer.step()
    (found,) = record.facts["signals"]["labels"]["places"]
    assert sum(found["counts"]) == 72
    assert "neighbours" not in found


def test_many_classes_are_left_out(watched: Any) -> None:
    model = nn.Linear(4, 1001)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with watched() as record:
        for _ in range(3):
            F.cross_entropy(model(torch.randn(4, 4)), torch.randint(1001, (4,))).backward()
            optimizer.step()
    assert not record.facts["signals"]["labels"]["places"]


def test_only_batches_of_successive_steps_have_a_seam() -> None:
    signal: Any = SIGNAL.start()
    model, logits = nn.Linear(4, 2), torch.zeros(4, 2)
    labels = torch.tensor([0, 0, 1, 0])
    for number in (1, 2, 3, 9, 10, 50):
        signal.on_module(ModuleCall(model, [torch.zeros(4, 4)], logits, "train", 0, None))
        value = F.cross_entropy(logits, labels)
        signal.on_loss(LossCall("cross_entropy", value, logits, labels, {}, "train", None))
        signal.after_step(Step("model", number, None, [], [], {}, False, None))
    (found,) = signal.facts()["places"]
    assert found["seams"] == {"pairs": 3, "equal": 3}
    assert found["batches"] == 6


def test_answers_are_those_of_the_later_batches(watched: Any) -> None:
    labels = torch.randint(3, (64,))
    found = train(watched, labels)
    assert found["answers"]["labels"] == labels[32:].bincount(minlength=3).tolist()
    assert all(right <= count for count, right in zip(*found["answers"].values(), strict=True))


@pytest.mark.parametrize(("letters", "many"), [(7, True), (1, False)])
def test_letters_are_many_labels_a_row(watched: Any, letters: int, many: bool) -> None:
    embedding, head = nn.Embedding(5, 4), nn.Linear(4, 5)
    optimizer = torch.optim.SGD([*embedding.parameters(), *head.parameters()], 0.1)
    with watched() as record:
        for _ in range(3):
            text = torch.randint(5, (6, letters))
            F.cross_entropy(head(embedding(text).reshape(-1, 4)), text.reshape(-1)).backward()
            optimizer.step()
    (found,) = record.facts["signals"]["labels"]["places"]
    assert found["many_a_row"] is many
