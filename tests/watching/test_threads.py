"""Models with what optimizes them are told apart, and each has the losses that it was trained on."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from fitwell.watching.names import Models
from fitwell.watching.threads import Thread, Threads, optimized

SHARES = pytest.mark.parametrize("share", [1.0, 1e-9], ids=["whole", "seldom"])
bce = F.binary_cross_entropy_with_logits


def step(net: nn.Module, optimizer: torch.optim.Optimizer, x: Tensor, y: Tensor) -> float:
    loss = F.cross_entropy(net(x), y)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()


def data() -> tuple[Tensor, Tensor]:
    return torch.randn(96, 4), torch.randint(0, 3, (96,))


@SHARES
def test_a_gan_has_two(share: float, watched: Any) -> None:
    G, D = nn.Linear(2, 4), nn.Linear(4, 1)
    of_G, of_D = (torch.optim.Adam(model.parameters(), 0.01) for model in (G, D))
    loader = DataLoader(TensorDataset(torch.randn(96, 4)), batch_size=16, shuffle=True)
    ones, zeros = torch.ones(16, 1), torch.zeros(16, 1)
    hand: dict[str, list[float]] = {"D": [], "G": []}
    with watched(share) as record:
        for _ in range(6):
            d = g = 0.0
            for (x,) in loader:
                noise = torch.randn(16, 2)
                loss = bce(D(x), ones) + bce(D(G(noise).detach()), zeros)
                of_D.zero_grad()
                loss.backward()
                of_D.step()
                d += loss.item()
                loss = bce(D(G(noise)), ones)
                of_G.zero_grad()
                loss.backward()
                of_G.step()
                g += loss.item()
            hand["D"].append(d / 6)
            hand["G"].append(g / 6)
    found = {thread["name"]: thread for thread in record.facts["threads"]}
    assert {name: (thread["steps"], thread["epochs"]) for name, thread in found.items()} == {
        "D": (36, 6), "G": (36, 6),
    }  # fmt: skip
    for name, losses in hand.items():
        assert record.values(f"{found[name]['prefix']}loss/train") == pytest.approx(losses, rel=1e-5)


@SHARES
def test_each_fold_has_its_own(share: float, watched: Any) -> None:
    x, y = data()
    hand = []

    def train(fold: int) -> None:
        net = nn.Linear(4, 3)
        optimizer = torch.optim.SGD(net.parameters(), 0.1)
        for _ in range(3):
            loader = DataLoader(TensorDataset(x[fold * 16 :], y[fold * 16 :]), batch_size=16)
            losses = [step(net, optimizer, *batch) for batch in loader]
            with torch.no_grad():
                validation = F.cross_entropy(net(x[:16]), y[:16]).item()
            hand[fold].append((sum(losses) / len(losses), validation))

    with watched(share) as record:
        for fold in range(5):
            hand.append([])
            train(fold)
    threads = record.facts["threads"]
    assert [thread["name"] for thread in threads] == ["net", "net-2", "net-3", "net-4", "net-5"]
    assert [thread["epochs"] for thread in threads] == [3] * 5
    for thread, losses in zip(threads, hand, strict=True):
        for part, values in zip(("train", "val"), zip(*losses, strict=True), strict=True):
            assert record.values(f"{thread['prefix']}loss/{part}") == pytest.approx(values, rel=1e-5)


@SHARES
def test_a_new_optimizer_goes_on(share: float, watched: Any) -> None:
    x, y = data()
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
    hand = []
    with watched(share) as record:
        for parameters in (model[2].parameters(), model.parameters(), model.parameters()):
            optimizer = torch.optim.SGD(list(parameters), 0.1)
            hand.extend(step(model, optimizer, x, y) for _ in range(6))
    (thread,) = record.facts["threads"]
    assert (thread["steps"], thread["optimizers"]) == (18, ["SGD"] * 3)
    assert sum(record.values("loss/train")[1:]) == pytest.approx(sum(hand[2:]), rel=1e-5)


@SHARES
def test_a_teacher_and_its_student(share: float, watched: Any) -> None:
    x, y = data()
    teacher, student = nn.Linear(4, 3), nn.Linear(4, 3)
    hand = []
    with watched(share) as record:
        optimizer = torch.optim.SGD(teacher.parameters(), 0.1)
        batches = list(zip(x.split(32), y.split(32), strict=True))
        hand.extend(sum(step(teacher, optimizer, *batch) for batch in batches) for _ in range(3))
        optimizer = torch.optim.SGD(student.parameters(), 0.1)
        for _ in range(4):
            for inputs, targets in zip(x.split(32), y.split(32), strict=True):
                with torch.no_grad():
                    wanted = teacher(inputs).softmax(1)
                output = student(inputs)
                loss = F.cross_entropy(output, targets)
                loss = loss + F.kl_div(output.log_softmax(1), wanted, reduction="batchmean")
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
    first, second = record.facts["threads"]
    assert (first["name"], second["name"], second["steps"], second["epochs"]) == ("net", "student", 12, 4)
    assert record.values("loss/train") == pytest.approx([value / 3 for value in hand], rel=1e-5)
    assert not record.values("loss/val")


@SHARES
def test_two_optimizers_of_one_model_share_its_loss(share: float, watched: Any) -> None:
    x, y = data()
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
    both = [torch.optim.SGD(model[0].parameters(), 0.1), torch.optim.Adam(model[2].parameters(), 0.01)]
    hand = []
    with watched(share) as record:
        for _ in range(6):
            losses = 0.0
            for i in range(0, 96, 16):
                loss = F.cross_entropy(model(x[i : i + 16]), y[i : i + 16])
                model.zero_grad()
                loss.backward()
                for optimizer in both:
                    optimizer.step()
                losses += loss.item()
            hand.append(losses / 6)
    assert [(thread["steps"], thread["epochs"]) for thread in record.facts["threads"]] == [(36, 6)] * 2
    assert record.values("loss/train") == pytest.approx(hand, rel=1e-5)


@SHARES
def test_a_model_that_is_first_called_within_a_step_has_a_name(share: float, watched: Any) -> None:
    x, y = data()

    def train() -> None:
        network = nn.Linear(4, 3)
        optimizer = torch.optim.LBFGS(network.parameters(), max_iter=2)

        def closure() -> Tensor:
            optimizer.zero_grad()
            loss = F.cross_entropy(network(x), y)
            loss.backward()
            return loss

        for _ in range(6):
            optimizer.step(closure)

    with watched(share) as record:
        train()
    assert record.facts["threads"][0]["name"] == "network"
    assert record.values("layer/network/gradient_norm")


def test_frozen_models_and_parts_are_no_threads(watched: Any) -> None:
    x, y = data()
    base, head, frozen = nn.Linear(4, 8), nn.Linear(8, 3), nn.Linear(4, 3)
    base.requires_grad_(False)
    frozen.requires_grad_(False)
    model = nn.Sequential(base, head)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with watched() as record:
        for _ in range(8):
            step(model, optimizer, x, y)
            F.cross_entropy(frozen(x), y)
    assert [thread["name"] for thread in record.facts["threads"]] == ["net"]
    assert not record.values("layer/0/gradient_norm")
    assert record.values("layer/1/gradient_norm")
    assert not record.values("loss/val")


def test_the_parameters_decide() -> None:
    threads = Threads(Models())
    model, other = nn.Linear(4, 3), nn.Linear(4, 3)
    thread = threads.of(torch.optim.SGD(model.parameters(), 0.1))
    assert threads.of(torch.optim.Adam(model.parameters())) is thread
    assert threads.of(torch.optim.Adam([model.weight])) is thread
    assert threads.of(torch.optim.Adam([*other.parameters(), model.bias])) is not thread
    first, second = threads.all
    assert first.name != second.name
    assert (first.prefix, second.prefix) == ("", f"thread/{second.name}/")


def test_parameters_and_optimizers_are_kept_alive_by_the_program_alone() -> None:
    threads = Threads(Models())
    model = nn.Linear(4, 3)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    thread = threads.of(optimizer)
    threads.named(thread, list(optimized(optimizer)))
    references = [weakref.ref(model.weight), weakref.ref(optimizer)]
    assert thread.about()["parameters"] == 15
    del model, optimizer
    gc.collect()
    assert [reference() for reference in references] == [None, None]
    assert thread.about()["parameters"] == 15  # what was trained stays known


def test_an_optimizer_at_the_same_address_is_another_one() -> None:
    threads = Threads(Models())
    found: set[Thread] = set()
    for _ in range(5):
        model = nn.Linear(2, 2)
        found.add(threads.of(torch.optim.SGD(model.parameters(), 0.1)))
    assert len(found) == len(threads.all) == 5
