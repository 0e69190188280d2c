"""Norms of gradients are those that the steps used."""

import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_, parametrizations
from torch.optim import LBFGS, SGD, Adam, SparseAdam


def _net() -> nn.Sequential:
    return nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 2))


def _loss(model: nn.Module, dtype: torch.dtype = torch.float32) -> Tensor:
    return nn.functional.mse_loss(model(torch.randn(4, 3, dtype=dtype)), torch.randn(4, 2, dtype=dtype))


def _norm(*parameters: Tensor) -> float:
    squares = (float(p.grad.to_dense().double().square().sum()) for p in parameters if p.grad is not None)
    return math.sqrt(sum(squares))


def _same(found: list[float], expected: list[float], rel: float = 1e-5) -> None:
    assert len(found) >= 5
    assert found == pytest.approx(expected[: len(found)], rel=rel)


def test_in_all_and_by_layer_before_and_after_clipping(watched) -> None:
    model = _net()
    optimizer, before, after, first = SGD(model.parameters(), 0.1), [], [], []
    with watched() as record:
        for _ in range(6):
            optimizer.zero_grad()
            _loss(model).backward()
            before.append(_norm(*model.parameters()))
            clip_grad_norm_(model.parameters(), 0.1)
            after.append(_norm(*model.parameters()))
            first.append(_norm(*model[0].parameters()))
            optimizer.step()
    _same(record.values("gradient/norm_before_clipping"), before)
    _same(record.values("gradient/norm"), after)
    _same(record.values("layer/0/gradient_norm"), first)
    assert max(after) <= 0.1001 < min(before)


def test_without_clipping_there_is_no_norm_before(watched) -> None:
    model = _net()
    optimizer = SGD(model.parameters(), 0.1)
    with watched() as record:
        for _ in range(6):
            optimizer.zero_grad()
            _loss(model).backward()
            nn.utils.clip_grad_value_(model.parameters(), 0.1)
            optimizer.step()
    assert record.values("gradient/norm")
    assert record.values("gradient/norm_before_clipping") == []


def test_clipping_in_parts_has_no_norm_of_all(watched) -> None:
    model = _net()
    optimizer = SGD(model.parameters(), 0.1)
    with watched() as record:
        for _ in range(6):
            optimizer.zero_grad()
            _loss(model).backward()
            for layer in (model[0], model[2]):
                clip_grad_norm_(layer.parameters(), 0.1)
            optimizer.step()
    assert record.values("gradient/norm_before_clipping") == []


def test_accumulated_gradients(watched) -> None:
    model = _net()
    optimizer, expected = Adam(model.parameters()), []
    with watched() as record:
        for batch in range(18):
            (_loss(model) / 3).backward()
            if batch % 3 == 2:
                expected.append(_norm(*model.parameters()))
                optimizer.step()
                optimizer.zero_grad()
    _same(record.values("gradient/norm"), expected)


def test_of_a_closure_the_gradient_that_it_computed_last(watched) -> None:
    model = _net()
    optimizer, x, y, expected = (
        LBFGS(model.parameters(), max_iter=3),
        torch.randn(9, 3),
        torch.randn(9, 2),
        [],
    )

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(model(x), y)
        loss.backward()
        return loss

    with watched() as record:
        for _ in range(6):
            optimizer.step(closure)
            expected.append(_norm(*model.parameters()))
    _same(record.values("gradient/norm"), expected)


def test_sparse_gradients(watched) -> None:
    model = nn.Embedding(20, 4, sparse=True)
    optimizer, expected = SparseAdam(list(model.parameters())), []
    with watched() as record:
        for _ in range(6):
            optimizer.zero_grad()
            nn.functional.mse_loss(model(torch.randint(0, 20, (30,))), torch.randn(30, 4)).backward()
            expected.append(_norm(*model.parameters()))
            optimizer.step()
    _same(record.values("gradient/norm"), expected)


def test_half_precision(watched) -> None:
    model = _net().bfloat16()
    optimizer, expected = SGD(model.parameters(), 0.1), []
    with watched() as record:
        for _ in range(6):
            optimizer.zero_grad()
            _loss(model, torch.bfloat16).backward()
            expected.append(_norm(*model.parameters()))
            optimizer.step()
    _same(record.values("gradient/norm"), expected)


class _Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(12, 6)
        self.frozen = nn.Linear(6, 6).requires_grad_(False)
        self.middle = parametrizations.weight_norm(nn.Linear(6, 6))
        self.head = nn.Linear(6, 12, bias=False)
        self.head.weight = self.embedding.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.middle(self.frozen(self.embedding(x))))


def test_tied_weights_count_once_and_parametrized_ones_to_their_layer(watched) -> None:
    model = _Tied()
    optimizer = SGD([{"params": [model.embedding.weight]}, {"params": list(model.middle.parameters())}], 0.1)
    inner, every = [], []
    with watched() as record:
        for _ in range(6):
            optimizer.zero_grad()
            tokens = torch.randint(0, 12, (9,))
            nn.functional.cross_entropy(model(tokens), tokens).backward()
            inner.append(_norm(*model.middle.parameters()))
            every.append(_norm(*model.parameters()))
            optimizer.step()
    _same(record.values("layer/middle/gradient_norm"), inner)
    _same(record.values("gradient/norm"), every)
    assert record.values("layer/embedding/gradient_norm")
    assert record.values("layer/head/gradient_norm") == []
    assert record.values("layer/frozen/gradient_norm") == []
