"""DataLoaders as the watcher sees them, with everything looked at and between the looks."""

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

from fitwell.watching.signals import speed


class Endless(IterableDataset[tuple[torch.Tensor, torch.Tensor]]):
    def __iter__(self) -> Any:
        for _ in range(6):
            yield torch.randn(4), torch.tensor(1)


def trained(loader: DataLoader[Any], epochs: int) -> int:
    model = nn.Linear(4, 3)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    steps = 0
    for _ in range(epochs):
        for x, y in loader:
            optimizer.zero_grad()
            functional.cross_entropy(model(x), y).backward()
            optimizer.step()
            steps += 1
    return steps


MAPPED = TensorDataset(torch.randn(24, 4), torch.randint(0, 3, (24,)))


@pytest.mark.parametrize("share", [1.0, 1e-9])
@pytest.mark.parametrize("data", [MAPPED, Endless()], ids=["mapped", "iterable"])
def test_passes_are_counted_by_the_loader(data: Dataset[Any], share: float, watched: Any) -> None:
    with watched(share) as record:
        steps = trained(DataLoader(data, batch_size=4), epochs=5)
    (thread,) = record.facts["threads"]
    assert (thread["steps"], thread["epochs"]) == (steps, 5)
    assert record.facts["epochs"]["known_by"] == "loader"


def test_the_time_of_waiting_is_told(watched: Any) -> None:
    with watched(1.0) as record:
        trained(DataLoader(MAPPED, batch_size=4), epochs=2)
    shares = record.values("time/data_share")
    assert shares
    assert all(0 <= share <= 1 for share in shares)
    assert speed.SIGNAL.units["time/data_share"] == "share"
