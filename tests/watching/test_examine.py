"""What is found out about a model by trying; here in this process, for the models are made for it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fitwell.watching.examine import Subject, examine


class By(nn.Module):
    """Computes what it is told, with two layers at hand."""

    def __init__(self, forward: Callable[[By, Tensor], Tensor]) -> None:
        super().__init__()
        self.a, self.b, self.rnn = nn.Linear(4, 16), nn.Linear(16, 3), nn.GRU(4, 16)
        self._forward = forward

    def forward(self, x: Tensor) -> Tensor:
        return self._forward(self, x)


def examined(model: nn.Module | Callable[[By, Tensor], Tensor], *shape: int) -> dict[str, object]:
    module = model if isinstance(model, nn.Module) else By(model)
    with torch.no_grad():
        return examine(Subject(module, [torch.randn(*(shape or (8, 4)))], (), True), 60.0)


def test_a_plain_network_is_fine() -> None:
    found = examined(nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Dropout(0.3), nn.Linear(16, 3)))
    assert found["random"] == {"repeats": True, "differs": False, "dropout": None, "noise": None}
    assert (found["mixed"], found["ignored"]) == (0, "no")
    assert found["affine"]["error"] > 0.1  # type: ignore[index]
    assert found["dropout"] == pytest.approx(0.3)


def test_dropout_that_stays_on() -> None:
    found = examined(lambda m, x: m.b(F.dropout(F.relu(m.a(x)), 0.5)))["random"]
    assert found["differs"]  # type: ignore[index]
    assert "F.dropout" in found["dropout"]["text"]  # type: ignore[index]
    noise = examined(lambda m, x: m.b(F.relu(m.a(x)) + torch.randn(8, 16)))["random"]
    assert (noise["differs"], noise["dropout"]) == (True, None)  # type: ignore[index]
    assert "torch.randn(8, 16)" in noise["noise"]["text"]  # type: ignore[index]


def test_a_model_with_a_state_is_not_examined_further() -> None:
    state = [0.0]

    def count(model: By, x: Tensor) -> Tensor:
        state[0] += 1
        return model.b(model.a(x)) * state[0]

    assert set(examined(count)) == {"random"}


def test_samples_that_are_mixed() -> None:
    assert examined(lambda m, x: m.b(m.rnn(x)[0][:, -1]), 8, 5, 4)["mixed"]
    assert examined(lambda m, x: m.b(m.rnn(x.transpose(0, 1))[0][-1]), 8, 5, 4)["mixed"] == 0
    assert examined(lambda m, x: m.b(m.a(x)) - m.b(m.a(x)).mean(0))["mixed"] == 1
    assert examined(lambda m, x: torch.ones(8, 8) @ m.b(m.a(x)))["mixed"] == 1


@pytest.mark.parametrize(
    ("forward", "answer"),
    [
        (lambda m, x: m.b(m.a(torch.zeros_like(x)).relu()), "never"),
        (lambda m, x: m.b(m.a(x * 0).relu()), "never"),
        (lambda m, x: m.b(m.a(x).relu()), "no"),
    ],
)
def test_an_input_that_is_ignored(forward: Callable[[By, Tensor], Tensor], answer: str) -> None:
    assert examined(forward)["ignored"] == answer


def test_an_input_that_is_one_number_tells_no_sample() -> None:
    with torch.no_grad():
        found = examine(Subject(nn.Linear(4, 2), [torch.zeros(8, 4)], (), True), 60.0)
    assert found["ignored"] == "constant"


@pytest.mark.parametrize("axis", [0, 1])
def test_texts_may_lie_on_either_axis_but_not_on_both(axis: int) -> None:
    class Text(nn.Module):
        def __init__(self, mixes: bool) -> None:
            super().__init__()
            self.table, self.mixes = nn.Embedding(9, 4), mixes

        def forward(self, ids: Tensor) -> Tensor:
            x = self.table(ids)
            return x + x.mean((0, 1)) if self.mixes else x + x.mean(axis, keepdim=True)

    for mixes in (False, True):
        subject = Subject(Text(mixes), [torch.randint(0, 9, (6, 5))], either=True)
        with torch.no_grad():
            assert bool(examine(subject, 60.0)["mixed"]) == mixes


def test_a_last_layer_of_zeros_hides_the_input_only_now() -> None:
    model = By(lambda m, x: m.b(m.a(x).relu()))
    nn.init.zeros_(model.b.weight)
    assert examined(model)["ignored"] == "now"


@pytest.mark.parametrize(
    ("layers", "affine", "redundant"),
    [
        ([nn.Linear(4, 16), nn.Linear(16, 3)], True, 1),
        ([nn.Linear(4, 16), nn.BatchNorm1d(16), nn.Linear(16, 3), nn.Softmax(1)], True, 1),
        ([nn.Linear(4, 2), nn.Linear(2, 4)], True, 0),
        ([nn.Linear(4, 16), nn.Tanh(), nn.Linear(16, 3)], False, 0),
    ],
)
def test_layers_without_an_activation(layers: list[nn.Module], affine: bool, redundant: int) -> None:
    found = examined(nn.Sequential(*layers))["affine"]
    assert (found["error"] < 1e-3) == affine  # type: ignore[index]
    assert (found["activations"] == 0) == affine  # type: ignore[index]
    assert found["redundant"] == redundant  # type: ignore[index]


def test_one_layer_may_be_linear() -> None:
    assert examined(nn.Linear(4, 1))["affine"] is None


def test_pooling_is_no_activation() -> None:
    layers = [nn.Conv2d(1, 8, 3), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(72, 3)]
    found = examined(nn.Sequential(*layers), 8, 1, 8, 8)["affine"]
    assert (found["activations"], found["redundant"]) == (0, 1)  # type: ignore[index]
