"""Hidden activations give something else; those of outputs, gates and recurrent layers stay."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fitwell.treating.changing.activations import KINDS, on_hidden
from fitwell.treating.changing.live import Live

FORMS: dict[str, Callable[[Tensor], Tensor]] = {
    "module": nn.ReLU(),
    "module in place": nn.ReLU(inplace=True),
    "function": lambda x: F.relu(x),  # noqa: PLW0108  # replaced later
    "function in place": lambda x: F.relu(x, inplace=True),
    "by position": lambda x: F.relu(x, True),
    "torch": lambda x: torch.relu(x),  # noqa: PLW0108
    "torch in place": lambda x: torch.relu_(x),  # noqa: PLW0108
    "method": lambda x: x.relu(),
    "method in place": lambda x: x.relu_(),
}


class Net(nn.Module):
    """An activation that is hidden, and a sigmoid that is not."""

    def __init__(self, activation: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.first, self.second, self.activation = nn.Linear(4, 4), nn.Linear(4, 4), activation

    def forward(self, x: Tensor) -> Tensor:
        return torch.sigmoid(self.second(self.activation(self.first(x))))


@pytest.mark.parametrize("forked", [False, True], ids=["rerun", "fork"])
@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_an_activation(form: str, forked: bool) -> None:
    live, x = Live(forked=forked), torch.randn(5, 4)
    model = Net(FORMS[form])
    wanted = torch.sigmoid(model.second(F.elu(model.first(x))))
    plain = model(x)
    on_hidden(live, ["relu", "sigmoid"], lambda input, _: F.elu(input))
    try:
        torch.testing.assert_close(model(x), plain)  # not known yet
        model(x).sum().backward()
        torch.testing.assert_close(model(x), wanted)
        model(x).sum().backward()
    finally:
        live.undo()
    torch.testing.assert_close(model(x), plain)


def test_one_in_place_changes_the_tensor_that_it_is_given(live: Live) -> None:
    x, same = torch.randn(5, 4), []

    def in_place(x: Tensor) -> Tensor:
        value = x.relu_()
        same.append(value is x)
        return value

    model = Net(in_place)
    on_hidden(live, ["relu"], lambda input, _: F.elu(input))
    for _ in range(2):
        model(x).sum().backward()
    assert all(same)


@pytest.mark.parametrize("kind", KINDS)
def test_the_activation_itself_can_be_computed(live: Live, kind: str) -> None:
    x, calls = torch.randn(5, 4), []
    model = Net(lambda x: getattr(F, kind)(x))  # noqa: PLW0108  # replaced later
    wanted = torch.sigmoid(model.second(2 * model.activation(model.first(x))))

    def twice(_: Tensor, compute: Callable[[], Tensor]) -> Tensor:
        calls.append(kind)
        return 2 * compute()

    on_hidden(live, KINDS, twice)
    model(x).sum().backward()
    torch.testing.assert_close(model(x), wanted)
    assert calls == [kind]


def test_other_kinds_stay(live: Live) -> None:
    model, x = Net(torch.tanh), torch.randn(5, 4)
    wanted = model(x)
    on_hidden(live, ["relu"], lambda input, _: 0 * input)
    for _ in range(2):
        value = model(x)
        value.sum().backward()
    assert value.equal(wanted)


def test_activations_outside_of_models(live: Live) -> None:
    first, second, x = nn.Linear(4, 4), nn.Linear(4, 2), torch.randn(3, 4)

    def forward() -> Tensor:
        return torch.tanh(second(torch.tanh(first(x))))

    wanted = torch.tanh(second(F.relu(first(x))))
    on_hidden(live, ["tanh"], lambda input, _: F.relu(input))
    for _ in range(2):
        value = forward()
        value.sum().backward()
    torch.testing.assert_close(value, wanted)


def test_gates_stay(live: Live) -> None:
    class Gated(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gate, self.hidden, self.out = (nn.Linear(4, 4) for _ in range(3))

        def forward(self, x: Tensor) -> Tensor:
            return self.out(self.hidden(x) * torch.sigmoid(self.gate(x)))

    gated, lstm, cell, x = Gated(), nn.LSTM(4, 4), nn.GRUCell(4, 4), torch.randn(3, 4)
    on_hidden(live, KINDS, lambda input, _: 0 * input)
    for model in (gated, lambda x: lstm(x)[0], lambda x: cell(cell(x))):
        values = []
        for _ in range(2):
            values.append(model(x))
            values[-1].sum().backward()
        assert values[0].equal(values[1])
