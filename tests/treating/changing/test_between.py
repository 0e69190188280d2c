"""Calls are found to be between layers, once a backward has told what becomes of their values."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from fitwell.treating.changing.between import Between, Site, is_weighed
from fitwell.treating.changing.graph import Use
from fitwell.treating.changing.live import Live


class Square(nn.Module):
    """A call to be found: its place is asked for, and its value is shown."""

    def __init__(self, between: Between) -> None:
        super().__init__()
        self.between, self.site = [between], None

    def forward(self, x: Tensor) -> Tensor:
        (between,) = self.between
        self.site: Site | None = between.here()
        value = x * x
        between.saw(self.site, value)
        return value

    def __deepcopy__(self, memo: dict[int, object]) -> Square:
        twin = Square(self.between[0])
        twin.__dict__.update(
            {key: value for key, value in self.__dict__.items() if key.startswith("_fitwell")}
        )
        return twin


def net(live: Live) -> nn.Sequential:
    """A hidden square and one of the output."""
    between = Between(live, is_weighed)
    return nn.Sequential(nn.Linear(2, 2), Square(between), nn.Linear(2, 2), Square(between))


def known(model: nn.Sequential) -> list[bool | None]:
    return [model[1].site.known, model[3].site.known]


def test_it_is_known_after_the_backward(live: Live) -> None:
    model = net(live)
    loss = model(torch.ones(1, 2)).sum()
    assert known(model) == [None, None]
    loss.backward()
    assert known(model) == [True, False]


@pytest.mark.parametrize(
    "end",
    [
        lambda loss, model: torch.autograd.grad(loss, [*model.parameters()]),
        lambda loss, model: torch.autograd.grad(inputs=[*model.parameters()], outputs=loss),
        lambda loss, model: torch.autograd.backward(tensors=[loss]),
    ],
)
def test_each_form_of_backward_tells(live: Live, end: Callable[[Tensor, nn.Module], None]) -> None:
    model = net(live)
    end(model(torch.ones(1, 2)).sum(), model)
    assert known(model) == [True, False]


def test_what_no_backward_comes_from_stays_unknown(live: Live) -> None:
    model = net(live)
    with torch.no_grad():
        model(torch.ones(1, 2))
    nn.Linear(1, 1)(torch.ones(1)).sum().backward()
    assert known(model) == [None, None]


def test_a_place_that_was_not_between_once_never_is(live: Live) -> None:
    model, after = net(live), nn.Linear(2, 2)
    model[:2](torch.ones(1, 2)).sum().backward()
    model(torch.ones(1, 2)).sum().backward()
    after(model[3](model[2](torch.ones(1, 2)))).sum().backward()
    assert known(model) == [False, False]


def test_the_output_of_a_model_is_no_hidden_value_of_the_next(live: Live) -> None:
    between = Between(live, is_weighed)
    generator, critic = nn.Sequential(nn.Linear(2, 2), Square(between)), nn.Sequential(nn.Linear(2, 1))
    critic(generator(torch.ones(1, 2))).sum().backward()
    assert generator[1].site.known is False


def test_a_copy_of_a_model_knows_what_the_model_does(live: Live) -> None:
    model = net(live)
    model(torch.ones(1, 2)).sum().backward()
    twin = copy.deepcopy(model)
    twin(torch.ones(1, 2))
    assert known(twin) == [True, False]


def test_each_call_in_a_function_is_a_place(live: Live) -> None:
    between, (first, second) = Between(live, is_weighed), (nn.Linear(2, 2), nn.Linear(2, 2))
    sites: list[Site] = []

    def square(x: Tensor) -> Tensor:
        sites.append(between.here())
        between.saw(sites[-1], x * x)
        return x * x

    class Own(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = first, second

        def forward(self, x: Tensor) -> Tensor:
            sites.append(between.here())
            x = self.first(x)
            between.saw(sites[-1], x)
            sites.append(between.here())
            x = self.second(x)
            between.saw(sites[-1], x)
            return x

    Own()(torch.ones(1, 2)).sum().backward()
    assert [site.known for site in sites] == [True, False]
    assert sites[0].table is sites[1].table


def test_what_is_looked_for_in_the_output_of_a_layer_has_its_own_places(live: Live) -> None:
    layer = nn.Linear(2, 2)
    weighed, activated = Between(live, is_weighed), Between(live, lambda found: Use.ACTIVATED in found)
    sites = weighed.output_of(layer, "weighed"), activated.output_of(layer, "activated")
    live.calls(None)
    hidden = layer(torch.ones(1, 2))
    weighed.saw(sites[0], hidden)
    activated.saw(sites[1], hidden)
    nn.Linear(2, 2)(hidden.relu()).sum().backward()
    assert [site.known for site in sites] == [False, True]


def test_nothing_stays_in_the_modules(live: Live) -> None:
    model = net(live)
    model(torch.ones(1, 2)).sum().backward()
    assert any(name.startswith("_fitwell") for name in vars(model[1]))
    live.undo()
    assert not any(name.startswith("_fitwell") for part in model.modules() for name in vars(part))
