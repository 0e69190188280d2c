"""What models are given, and how wide they are."""

from __future__ import annotations

import copy

import pytest
import torch
from small_nets import Cnn, Gru, changed, mlp
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

PLACES = pytest.mark.parametrize("forked", [False, True], ids=["rerun", "fork"])


class Spy(nn.Module):
    """Remembers what its layer is given."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer
        self.seen: Tensor

    def forward(self, x: Tensor) -> Tensor:
        self.seen = x
        return self.layer(x)


@PLACES
def test_features_have_mean_0_and_variance_1(forked: bool) -> None:
    x = torch.randn(1000, 3) * torch.tensor([100.0, 0.01, 0.0]) + torch.tensor([5.0, -3.0, 1e4])
    model = Spy(nn.Linear(3, 1))
    with changed("standardize", forked=forked):
        for rows in x.split(100):
            model(rows)
        with torch.no_grad():
            model.eval()(x)
        seen = model.seen
        copy.deepcopy(model)(x)
    torch.testing.assert_close(seen.mean(0), torch.zeros(3), atol=1e-4, rtol=0)
    torch.testing.assert_close(seen.std(0, correction=0), torch.tensor([1.0, 1.0, 0.0]), atol=1e-3, rtol=0)
    model(x)
    assert model.seen.equal(x)


def test_images_by_channel() -> None:
    x, model = torch.rand(20, 3, 8, 8) * 255, Spy(nn.Conv2d(3, 2, 3))
    with changed("standardize"):
        model(x)
    torch.testing.assert_close(model.seen.mean((0, 2, 3)), torch.zeros(3), atol=1e-4, rtol=0)
    torch.testing.assert_close(model.seen.std((0, 2, 3)), torch.ones(3), atol=1e-2, rtol=0)


def test_integers_and_what_another_model_made_stay() -> None:
    embed, first, second = Spy(nn.Embedding(9, 2)), Spy(nn.Linear(2, 2)), Spy(nn.Linear(2, 2))
    x, hidden = torch.arange(9), 10 * torch.ones(3, 2) * torch.arange(3.0)[:, None]
    with changed("standardize"):
        embed(x)
        second(first(hidden))
        with torch.no_grad():
            second(hidden)
    assert embed.seen.equal(x)
    assert not first.seen.equal(hidden)
    assert second.seen.equal(hidden)


def test_statistics_are_of_the_training_alone() -> None:
    model = Spy(nn.Linear(1, 1))
    with changed("standardize"):
        model(torch.tensor([[-1.0], [1.0]]))
        with torch.no_grad():
            model(torch.tensor([[100.0]]))
        model.eval()(torch.tensor([[200.0]]))
    assert model.seen.item() == 200


def order(loader: DataLoader[tuple[Tensor, ...]]) -> list[int]:
    return torch.cat([x for (x,) in loader]).tolist()


def test_training_samples_are_shuffled() -> None:
    data = TensorDataset(torch.arange(100))
    with changed("shuffle"):
        loader = DataLoader(data, batch_size=10)
        orders = [order(loader) for _ in range(2)]
        torch.manual_seed(0)
        first = order(loader)
        torch.manual_seed(0)
        assert order(loader) == first
        with torch.no_grad():
            assert order(loader) == sorted(first)
    assert orders[0] != orders[1]
    assert sorted(orders[0]) == list(range(100)) == order(loader)


class Stream(IterableDataset[int]):
    def __iter__(self):
        return iter(range(12))


def test_batches_in_training_are_larger() -> None:
    data = TensorDataset(torch.arange(96))
    with changed("batch_size", factor=4):
        shuffled = DataLoader(data, 8, shuffle=True)
        assert (len(shuffled), shuffled.batch_size) == (3, 32)
        sequential, held_out, stream = (
            DataLoader(data, batch_size=8),
            DataLoader(data, 8),
            DataLoader(Stream(), 2),
        )
        with torch.no_grad():
            assert len(next(iter(held_out))[0]) == 8
        for _ in range(2):
            assert [len(x) for (x,) in sequential] == [32] * 3
        assert [len(x) for x in stream] == [8, 4]
        assert len(next(iter(DataLoader(data, 64, shuffle=True)))[0]) == 96
        own = DataLoader(data, batch_sampler=[[0, 1], [2]])
        assert [len(x) for (x,) in own] == [2, 1]
    assert DataLoader(data, 8, shuffle=True).batch_size == 8


def parameters(model: nn.Module) -> int:
    return sum(each.numel() for each in model.parameters())


def test_hidden_layers_are_wider() -> None:
    with changed("wider", factor=2, widths=[16, 32]):
        model = mlp()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
        x, y = torch.randn(32, 6), torch.arange(32) % 3
        losses = []
        for _ in range(30):
            loss = nn.functional.cross_entropy(model(x), y)
            if not losses:
                deviation = model[3].weight.std().item()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    wide = nn.Sequential(nn.Linear(6, 32), nn.Linear(32, 64), nn.Linear(64, 3))
    assert parameters(model) == parameters(wide)
    assert losses[-1] < losses[0]
    assert deviation == pytest.approx(wide[1].weight.std().item(), rel=0.1)


@pytest.mark.parametrize(("make", "x"), [(Cnn, torch.randn(4, 1, 8, 8)), (Gru, torch.randn(4, 5, 4))])
def test_other_layers_are_wider(make: type[nn.Module], x: Tensor) -> None:
    narrow = make()
    with changed("wider", factor=2, widths=[16, 32]):
        model = make()
        twin = copy.deepcopy(model)
        assert model(x).shape == (4, 3)
        torch.testing.assert_close(twin.eval()(x), model.eval()(x)) if make is Gru else None
        model(x).sum().backward()
    assert 2 * parameters(narrow) < parameters(model) < 4 * parameters(narrow)
    assert all(each.grad is not None and each.grad.shape == each.shape for each in model.parameters())


def test_layers_of_each_channel_by_itself() -> None:
    with changed("wider", factor=2, widths=[8]):
        model = nn.Sequential(nn.Conv2d(3, 8, 1), nn.Conv2d(8, 8, 3, groups=8), nn.ConvTranspose2d(8, 3, 3))
        assert model(torch.randn(2, 3, 6, 6)).shape == (2, 3, 6, 6)
    assert model[1].weight.shape == (16, 1, 3, 3)
