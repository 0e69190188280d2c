from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fitwell.watching.activations import Activation, Activations, PerModule, rows


def followed(model: nn.Module, *inputs: Tensor) -> tuple[list[Activation], Activations]:
    """What a forward pass brings to light."""
    activations, found = Activations(), []

    def returned(module: nn.Module, given: tuple[Tensor, ...], output: object) -> None:
        found.extend(activations.of(module, given, output))

    handles = [module.register_forward_hook(returned) for module in model.modules()]
    model(*inputs)
    for handle in handles:
        handle.remove()
    return found, activations


class Net(nn.Module):
    def __init__(self, forward: Callable[..., Tensor], **layers: nn.Module) -> None:
        super().__init__()
        for name, layer in layers.items():
            self.add_module(name, layer)
        self.run = forward

    def forward(self, *inputs: Tensor) -> Tensor:
        return self.run(self, *inputs)


FUNCTIONS = {
    "relu": [
        F.relu,
        torch.relu,
        lambda x: x.clamp(0),
        lambda x: x.clamp(min=0),
        F.relu6,
        lambda x: x.relu_(),
    ],
    "tanh": [torch.tanh, lambda x: x.tanh()],
    "sigmoid": [torch.sigmoid],
    "gelu": [F.gelu],
    "hardtanh": [F.hardtanh, lambda x: x.clamp(-1, 1)],
}


@pytest.mark.parametrize(("kind", "function"), [(k, f) for k, each in FUNCTIONS.items() for f in each])
def test_a_function_between_layers_is_the_activation_of_the_one_before(
    kind: str, function: Callable[[Tensor], Tensor]
) -> None:
    net = Net(lambda n, x: n.b(function(n.a(x))), a=nn.Linear(3, 5), b=nn.Linear(5, 2))
    x = torch.randn(7, 3)
    found, _ = followed(net, x)
    assert [(each.origin.layer, each.origin.kind, each.origin.by) for each in found] == [(net.a, kind, None)]
    assert torch.equal(found[0].values, function(net.a(x)).detach())


def test_a_module_is_its_own_activation_and_is_found_once_even_in_place() -> None:
    for relu in (nn.ReLU(), nn.ReLU(inplace=True)):
        net = nn.Sequential(nn.Linear(3, 5), relu, nn.Linear(5, 2))
        found, activations = followed(net, torch.randn(7, 3))
        assert [(each.origin.layer, each.origin.by) for each in found] == [(net[0], relu)]
        assert activations.name(found[0].origin, {id(net[0]): "0", id(relu): "1"}) == "1"


def test_a_module_that_serves_two_layers_lends_its_name_to_neither() -> None:
    relu = nn.ReLU()
    net = Net(lambda n, x: n.b(n.relu(n.a2(n.relu(n.a(x))))), a=nn.Linear(3, 5), a2=nn.Linear(5, 5),
              relu=relu, b=nn.Linear(5, 2))  # fmt: skip
    found, activations = followed(net, torch.randn(7, 3))
    names = {id(module): name for name, module in net.named_modules()}
    assert [activations.name(each.origin, names) for each in found] == ["a", "a2"]


def test_pooling_and_flattening_keep_the_channels_of_a_convolution() -> None:
    net = Net(lambda n, x: n.fc(F.max_pool2d(F.relu(n.conv(x)), 2).flatten(1)),
              conv=nn.Conv2d(1, 4, 3, padding=1), fc=nn.Linear(4 * 16, 2))  # fmt: skip
    x = torch.randn(5, 1, 8, 8)
    found, _ = followed(net, x)
    pooled = F.max_pool2d(F.relu(net.conv(x)), 2).detach()
    assert torch.equal(found[0].values.reshape(-1, 4), pooled.flatten(2).movedim(1, -1).reshape(-1, 4))
    assert found[0].origin.layer is net.conv


def test_layers_side_by_side_do_not_take_each_others_activations() -> None:
    net = Net(lambda n, x: n.c(h := F.relu(n.a(x))) + n.b(h), a=nn.Linear(3, 5), b=nn.Linear(5, 5),
              c=nn.Linear(5, 5))  # fmt: skip
    found, _ = followed(net, torch.randn(7, 3))
    assert [each.origin.layer for each in found] == [net.a]


@pytest.mark.parametrize("recurrent", [nn.LSTM, nn.GRU, nn.RNN])
def test_the_gates_of_recurrent_layers_are_no_activations(recurrent: type[nn.RNNBase]) -> None:
    net = Net(
        lambda n, x: n.fc(n.rnn(x)[0][:, -1]), rnn=recurrent(3, 4, batch_first=True), fc=nn.Linear(4, 2)
    )
    found, activations = followed(net, torch.randn(5, 6, 3))
    assert found == []
    out, _ = net.rnn(torch.randn(5, 6, 3))
    assert activations.of(net.rnn, (), (out, _)) == []
    assert activations.origin(out).layer is net.rnn


def test_a_product_of_two_is_a_gate() -> None:
    net = Net(lambda n, x: n.b(torch.sigmoid(h := n.a(x)) * h), a=nn.Linear(3, 5), b=nn.Linear(5, 2))
    assert followed(net, torch.randn(7, 3))[0] == []


def test_a_transformer_has_one_activation_a_layer() -> None:
    net = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.1, batch_first=True)
    found, _ = followed(net, torch.randn(3, 4, 8))
    assert [(each.origin.layer, each.origin.kind, each.values.shape) for each in found] == [
        (net.linear1, "relu", (3, 4, 16))
    ]


def test_autocast_and_weight_norm_hide_nothing() -> None:
    a = nn.utils.parametrizations.weight_norm(nn.Linear(3, 5))
    net = Net(lambda n, x: n.b(F.relu(n.a(x))), a=a, b=nn.Linear(5, 2))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found, _ = followed(net, torch.randn(7, 3))
    assert [(each.origin.layer, each.values.dtype) for each in found] == [(a, torch.bfloat16)]


def test_a_scaled_activation_is_not_exact() -> None:
    net = Net(lambda n, x: n.b(F.dropout(torch.tanh(n.a(x)))), a=nn.Linear(3, 5), b=nn.Linear(5, 2))
    assert [each.exact for each in followed(net, torch.randn(7, 3))[0]] == [False]


def test_nothing_is_found_without_a_graph() -> None:
    with torch.no_grad():
        assert followed(nn.Sequential(nn.Linear(3, 5), nn.ReLU()), torch.randn(7, 3))[0] == []


def test_rows_are_few_and_differ_from_turn_to_turn() -> None:
    values = torch.arange(64 * 28 * 28 * 32.0).view(64, 28, 28, 32)
    first, second = rows(values), rows(values, 1)
    assert first.numel() <= 32_768
    assert first.numel() > 16_000
    assert not set(first[:, 0].tolist()) & set(second[:, 0].tolist())
    assert torch.equal(rows(values[:1, :5]), values[:1, :5].reshape(-1, 32))


def test_what_belongs_to_a_module_goes_with_it() -> None:
    kept, module = PerModule(list), nn.ReLU()
    kept.of(module).append(1)
    assert [(name, thing) for name, _, thing in kept.named({id(module): "a"})] == [("a", [1])]
    key = id(module)
    del module
    assert list(kept.named({key: "a"})) == []
