"""What training reaches: each kind of parameter that is left out, and loops that leave out none."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam, Optimizer


def _net() -> nn.Sequential:
    return nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 2))


def _step(model: nn.Module, optimizer: Optimizer | None, x: Tensor | None = None) -> None:
    if optimizer is not None:
        optimizer.zero_grad()
    x = torch.randn(4, 3) if x is None else x
    nn.functional.mse_loss(model(x), torch.randn(4, 2)).backward()
    if optimizer is not None:
        optimizer.step()


def _facts(record: Any) -> dict[str, Any]:
    return record.facts["signals"]["coverage"]


def _one(record: Any) -> dict[str, Any]:
    (model,) = _facts(record)["models"]
    return model


def test_a_healthy_loop(watched) -> None:
    model = _net()
    optimizer = SGD(model.parameters(), 0.1)
    with watched() as record:
        for _ in range(5):
            _step(model, optimizer)
    facts = _facts(record)
    assert facts["backwards"] == 5
    known = facts["threads"]["model"]
    assert (known["looks"], known["changed"], known["parameters"], known["reached"]) == (5, True, 4, 4)
    assert facts["reached"] == 4
    assert facts["not_in_optimizer"] == {
        "count": 0,
        "parameters": 0,
        "forgotten": 0,
        "plain": 0,
        "tensors": [],
    }
    found = _one(record)
    assert (found["name"], found["thread"], found["parameters"], found["last_layer"]) == (
        "model",
        "model",
        4,
        "2",
    )
    assert found["frozen"] == found["unused"] == {"count": 0, "names": []}


def test_an_optimizer_that_never_steps(watched) -> None:
    model = _net()
    with watched() as record:
        for _ in range(5):
            _step(model, None)
    facts = _facts(record)
    assert facts["backwards"] == 5
    assert facts["threads"] == {}
    assert "backward()" in facts["where"]["text"]
    assert facts["not_in_optimizer"]["count"] == 4


def test_steps_that_change_nothing(watched) -> None:
    model = _net()
    optimizer = SGD(model.parameters(), 0.0)
    with watched() as record:
        for _ in range(5):
            _step(model, optimizer)
    known = _facts(record)["threads"]["model"]
    assert (known["looks"], known["changed"]) == (5, False)


def test_a_head_that_was_left_out(watched) -> None:
    model = _net()
    optimizer = SGD(model[0].parameters(), 0.1)
    with watched() as record:
        for _ in range(5):
            _step(model, optimizer)
    found = _facts(record)["not_in_optimizer"]
    assert found["count"] == 2
    expected = {"model": "model", "name": "2.weight", "shape": [2, 8], "kind": "parameter"}
    assert expected in found["tensors"]


def test_a_model_that_was_made_again_after_its_optimizer(watched) -> None:
    model = _net()
    optimizer = SGD(model.parameters(), 0.1)
    with watched() as record:
        for _ in range(2):
            _step(model, optimizer)
        model = _net()
        for _ in range(3):
            _step(model, optimizer)
    assert _facts(record)["not_in_optimizer"]["count"] == 4


def test_two_optimizers_hold_all_although_one_steps_seldom(watched) -> None:
    model = _net()
    often, seldom = SGD(model[0].parameters(), 0.1), Adam(model[2].parameters(), 0.1)
    with watched() as record:
        for _ in range(5):
            seldom.zero_grad()
            _step(model, often)
    assert _facts(record)["not_in_optimizer"]["count"] == 0


def test_an_input_that_gets_a_gradient_is_no_parameter(watched) -> None:
    model = _net()
    optimizer = SGD(model.parameters(), 0.1)
    x = torch.randn(4, 3, requires_grad=True)
    with watched() as record:
        for _ in range(5):
            _step(model, optimizer, x)
    expected = {"model": None, "name": None, "shape": [4, 3], "kind": "tensor"}
    found = _facts(record)["not_in_optimizer"]
    assert found == {"count": 1, "parameters": 0, "forgotten": 0, "plain": 1, "tensors": [expected]}


def test_frozen_layers_and_the_last_one(watched) -> None:
    model = _net()
    model[2].requires_grad_(False)
    optimizer = SGD(model.parameters(), 0.1)
    with watched() as record:
        for _ in range(5):
            _step(model, optimizer)
    found = _one(record)
    assert found["frozen"] == {"count": 2, "names": ["2.weight", "2.bias"]}
    assert found["last_layer"] == "2"


def test_new_inputs_are_told_apart_although_they_may_lie_in_the_same_place(watched) -> None:
    model = _net()
    optimizer = SGD(model.parameters(), 0.1)
    with watched() as record:
        for _ in range(5):
            _step(model, optimizer, torch.randn(4, 3, requires_grad=True))
    assert _facts(record)["not_in_optimizer"]["count"] == 5
    assert _facts(record)["reached"] == 4 + 5


class _Parts(nn.Module):
    """Calls a layer, uses the weights of another, cuts off a third, never touches the one in a container."""

    def __init__(self) -> None:
        super().__init__()
        self.called = nn.utils.parametrizations.weight_norm(nn.Linear(3, 2))
        self.functional = nn.Linear(3, 2)
        self.cut = nn.Linear(3, 2)
        self.container = nn.ModuleList([nn.Linear(3, 2), nn.ReLU()])
        self.scale = nn.Parameter(torch.ones(2))

    def forward(self, x: Tensor) -> Tensor:
        return (
            self.called(x)
            + self.cut(x).detach()
            + nn.functional.linear(x, self.functional.weight) * self.scale
        )


def test_a_layer_that_never_ran(watched) -> None:
    model = _Parts()
    optimizer = SGD(model.parameters(), 0.1)
    with watched() as record:
        for _ in range(5):
            _step(model, optimizer)
    assert _one(record)["unused"] == {"count": 1, "names": ["container.0"]}


def test_a_model_without_optimizer_that_is_only_asked(watched) -> None:
    model, teacher = _net(), _net().requires_grad_(False)
    optimizer = SGD(model.parameters(), 0.1)
    with watched() as record:
        for _ in range(5):
            optimizer.zero_grad()
            x = torch.randn(4, 3)
            nn.functional.mse_loss(model(x), teacher(x)).backward()
            optimizer.step()
    found = {each["thread"]: each for each in _facts(record)["models"]}
    assert found["model"]["frozen"]["count"] == 0
    assert found[None]["frozen"]["count"] == 4


def test_a_part_that_is_also_called_by_itself_is_no_model_of_its_own(watched) -> None:
    model = _net()
    optimizer = SGD(model.parameters(), 0.1)
    with watched() as record:
        for _ in range(5):
            model[0](torch.randn(4, 3))
            _step(model, optimizer)
    assert [each["name"] for each in _facts(record)["models"]] == ["model"]


def test_facts_of_a_large_model_are_small(watched) -> None:
    model = nn.Sequential(*(nn.Linear(3, 3) for _ in range(300)), nn.Linear(3, 2))
    model[:150].requires_grad_(False)
    optimizer = SGD(model[299:].parameters(), 0.1)
    with watched() as record:
        for _ in range(5):
            _step(model, optimizer)
    facts = _facts(record)
    assert facts["not_in_optimizer"]["count"] == 2 * 149
    assert len(str(facts)) < 10_000


class _Cut(nn.Module):
    def __init__(self, between: Any) -> None:
        super().__init__()
        self.body, self.head, self.between = nn.Linear(3, 8), nn.Linear(8, 2), between

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.between(self.body(x)))


def _trained(watched: Any, model: nn.Module) -> dict[str, Any]:
    with watched() as record:
        optimizer = SGD(model.parameters(), 0.1)
        for _ in range(5):
            _step(model, optimizer)
    return _facts(record)


def test_layers_before_a_cut(watched) -> None:
    facts = _trained(watched, _Cut(lambda h: h.detach()))
    assert facts["threads"]["model"]["cut"] == {"count": 1, "names": ["body"]}
    assert facts["threads"]["model"]["reached"] == 2


def test_operations_without_a_derivative(watched) -> None:
    assert _trained(watched, _Cut(torch.sign))["flat_operations"] == ["sign"]
    straight = _Cut(lambda h: h + (torch.sign(h) - h).detach())
    facts = _trained(watched, straight)
    assert facts["flat_operations"] == []
    assert facts["threads"]["model"]["cut"]["count"] == 0


def test_the_place_where_an_optimizer_was_made(watched) -> None:
    facts = _trained(watched, _net())
    assert facts["threads"]["model"]["where"]["text"] == "optimizer = SGD(model.parameters(), 0.1)"
    assert [each["stepped"] for each in facts["optimizers"]] == [True]
    assert facts["idle_optimizers"] == []


def test_one_of_two_optimizers_never_steps(watched) -> None:
    model = _net()
    with watched() as record:
        first, second = SGD(model[0].parameters(), 0.1), Adam(model[2].parameters(), 0.1)
        for _ in range(5):
            second.zero_grad()
            _step(model, first)
    assert [each["kind"] for each in _facts(record)["idle_optimizers"]] == ["Adam"]


def test_weights_that_were_loaded_may_stay_as_they_are(watched) -> None:
    model = _net()
    with watched() as record:
        model.load_state_dict(_net().state_dict())
        model[2] = nn.Linear(8, 2)
        optimizer = SGD(model[2].parameters(), 0.1)
        for _ in range(5):
            _step(model, optimizer)
    found = _facts(record)["not_in_optimizer"]
    assert (found["count"], found["parameters"], found["forgotten"]) == (2, 2, 0)


def test_a_frozen_head_that_was_never_trained(watched) -> None:
    model = _net()
    model[2].requires_grad_(False)
    (found,) = _trained(watched, model)["models"]
    assert found["blank_head"]
    body = _net()
    body[0].requires_grad_(False)
    (found,) = _trained(watched, body)["models"]
    assert not found["blank_head"]
