"""Patches of models: activations between layers, first weights, the axis of the samples, the input."""

from __future__ import annotations

import pytest
from mended import patched

CLASS = "class Net(nn.Module):\n    def __init__(self):\n        self.a = nn.Linear(4, 8)\n"
CLASS += "        self.n = nn.BatchNorm1d(8)\n"
CLASS += "        self.b = nn.Linear(8, 2)\n\n    def forward(self, x):\n"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("net = nn.Sequential(nn.Linear(4, 8), nn.Linear(8, 2))  # <-\n",
         "net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))\n"),
        ("net = nn.Sequential(\n    nn.Flatten(),\n    nn.Linear(4, 8),\n    nn.Dropout(0.1),\n"
         "    nn.Linear(8, 2),  # <-\n)\n",
         "net = nn.Sequential(\n    nn.Flatten(),\n    nn.Linear(4, 8),\n    nn.Dropout(0.1),\n    nn.ReLU(),\n"
         "    nn.Linear(8, 2),\n)\n"),
        ("net = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Identity(), torch.nn.Linear(8, 2))  # <-\n",
         "net = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 2))\n"),
        ("a = nn.Sequential(nn.Linear(4, 8), nn.Linear(8, 2))  # <-\n"
         "b = nn.Sequential(nn.Linear(2, 8), nn.ELU(), nn.Linear(8, 2))\n",
         "a = nn.Sequential(nn.Linear(4, 8), nn.ELU(), nn.Linear(8, 2))\n"
         "b = nn.Sequential(nn.Linear(2, 8), nn.ELU(), nn.Linear(8, 2))\n"),
        ("layers = [nn.Linear(4, 8), nn.Linear(8, 2)]  # <-\nnet = nn.Sequential(*layers)\n",
         "layers = [nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2)]\nnet = nn.Sequential(*layers)\n"),
        ("layers = []\nfor a, b in sizes:\n    layers.append(nn.Linear(a, b))  # <-\nnet = nn.Sequential(*layers)\n",
         "layers = []\nfor a, b in sizes:\n    if len(layers) > 0:\n        layers.append(nn.ReLU())\n"
         "    layers.append(nn.Linear(a, b))\n"
         "net = nn.Sequential(*layers)\n"),
        ("net = nn.Sequential(*[nn.Linear(8, 8) for _ in range(3)], nn.Linear(8, 2))  # <-\n",
         "net = nn.Sequential(*[each for _ in range(3) for each in (nn.Linear(8, 8), nn.ReLU())], nn.Linear(8, 2))\n"),
        (CLASS + "        return self.b(self.a(x))  # <-\n", CLASS + "        return "
         "self.b(torch.relu(self.a(x)))\n"),
        (CLASS + "        x = self.a(x)  # <-\n        x = self.n(x)\n        return self.b(x)\n",
         CLASS + "        x = torch.relu(self.a(x))\n        x = self.n(x)\n        return self.b(x)\n"),
        (CLASS + "        h = self.n(self.a(x))  # <-\n        return self.b(h)\n",
         CLASS + "        h = torch.relu(self.n(self.a(x)))\n        return self.b(h)\n"),
        ("a, b, c = nn.Linear(4, 8), nn.Linear(8, 8), nn.Linear(8, 2)\ndef net(x):\n    return c(b(a(x)))  # <-\n",
         "a, b, c = nn.Linear(4, 8), nn.Linear(8, 8), nn.Linear(8, 2)\ndef net(x):\n"
         "    return c(torch.relu(b(torch.relu(a(x)))))\n"),
        (CLASS + "        return self.a(x) + self.b(y)  # <-\n", None),
        ("w = torch.randn(4, 8, requires_grad=True)\ndef net(x):\n    h = x @ w + b  # <-\n    return h @ v\n",
         "w = torch.randn(4, 8, requires_grad=True)\ndef net(x):\n    h = torch.relu(x @ w + b)\n    return h @ v\n"),
        ("net = nn.ModuleList([nn.Linear(4, 8), nn.Linear(8, 2)])  # <-\n", None),
    ],
)  # fmt: skip
def test_activations_are_put_between_layers(before: str, after: str | None) -> None:
    assert patched("add_activations", "no-nonlinearity", before) == after


def test_the_second_dose_is_tanh() -> None:
    before = "net = nn.Sequential(nn.Linear(4, 8), nn.Linear(8, 2))  # <-\n"
    after = "net = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 2))\n"
    assert patched("add_activations", "no-nonlinearity", before, dose=1) == after


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("for p in net.parameters():\n    nn.init.constant_(p, 0.1)  # <-\nopt = make(net)\n", "opt = make(net)\n"),
        ("for m in net:\n    if isinstance(m, nn.Linear):\n        nn.init.zeros_(m.weight)  # <-\n"
         "        m.bias.data.zero_()\n",
         "for m in net:\n    if isinstance(m, nn.Linear):\n        m.bias.data.zero_()\n"),
        ("def init(m):\n    nn.init.ones_(m.weight)\n\nnet.apply(init)  # <-\n", "def init(m):\n    pass\n\n"
         "net.apply(init)\n"),
        ("with torch.no_grad():\n    net.fc.weight.fill_(0.5)  # <-\n    net.out.weight.fill_(0.5)\n"
         "x = 1\n", "x = 1\n"),
        ("w = torch.zeros(8, 4, requires_grad=True)  # <-\ny = x @ w\n",
         "w = (torch.randn(8, 4) / 8**0.5).requires_grad_()\ny = x @ w\n"),
        ("w = nn.Parameter(torch.full((n, m), 0.3))  # <-\ny = x @ w\n",
         "w = nn.Parameter(torch.randn(n, m) / n**0.5)\ny = x @ w\n"),
        ("w = nn.Parameter(torch.ones(m, n))  # <-\ny = F.linear(x, w)\n",
         "w = nn.Parameter(torch.randn(m, n) / n**0.5)\ny = F.linear(x, w)\n"),
        ("nn.init.zeros_(net.out.bias)  # <-\n", None),
        ("for p in net.parameters():\n    p.grad.zero_()  # <-\n", None),
    ],
)  # fmt: skip
def test_equal_weights_are_left_to_torch(before: str, after: str | None) -> None:
    assert patched("default_initialization", "symmetric-initialization", before) == after


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("nn.init.normal_(net.fc.weight, std=10)  # <-\n"
         "nn.init.zeros_(net.fc.bias)\n", "nn.init.zeros_(net.fc.bias)\n"),
        ("for p in net.parameters():\n    p.data.mul_(20)  # <-\nx = 1\n", "x = 1\n"),
        ("w = (torch.randn(8, 4) * 5).requires_grad_()  # <-\ny = x @ w\n",
         "w = (torch.randn(8, 4) / 8**0.5).requires_grad_()\ny = x @ w\n"),
        ("noise = torch.randn(8, 4) * 5  # <-\n", None),
    ],
)  # fmt: skip
def test_badly_scaled_weights_are_left_to_torch(before: str, after: str | None) -> None:
    assert patched("default_initialization", "badly-scaled-initialization", before) == after


@pytest.mark.parametrize(
    ("finding", "before", "after"),
    [
        (
            "symmetric-initialization",
            "nn.init.constant_(m.weight, 0.1)  # <-\n",
            "nn.init.kaiming_normal_(m.weight)\n",
        ),
        (
            "badly-scaled-initialization",
            "m.weight.data.normal_(0, 5)  # <-\n",
            "nn.init.kaiming_normal_(m.weight.data)\n",
        ),
        ("symmetric-initialization", "for p in net.parameters():\n    nn.init.ones_(p)  # <-\n", None),
    ],
)
def test_weights_are_drawn_for_relu(finding: str, before: str, after: str | None) -> None:
    assert patched("kaiming_initialization", finding, before) == after


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("self.rnn = nn.LSTM(8, 16)  # <-\n", "self.rnn = nn.LSTM(8, 16, batch_first=True)\n"),
        ("self.layer = nn.TransformerEncoderLayer(8, 2, batch_first=False)  # <-\n",
         "self.layer = nn.TransformerEncoderLayer(8, 2, batch_first=True)\n"),
        ("self.rnn = nn.GRU(8, 16)\nout, _ = self.rnn(x)  # <-\n", "self.rnn = nn.GRU(8, 16, batch_first=True)\n"
         "out, _ = self.rnn(x)\n"),
        ("b, t, c = x.shape\nx = x.view(t, b, c)  # <-\n", "b, t, c = x.shape\nx = x.permute(1, 0, 2)\n"),
        ("x = x.view(x.size(1), x.size(0), -1)  # <-\n", "x = x.permute(1, 0, 2)\n"),
        ("x = x.reshape(x.shape[1], x.shape[0])  # <-\n", "x = x.permute(1, 0)\n"),
        ("y = y.permute(1, 2, 0, 3).reshape(B, T, C)  # <-\n", "y = y.permute(0, 2, 1, 3).reshape(B, T, C)\n"),
        ("h = self.fc(x.t().contiguous().view(-1, 8))  # <-\n", "h = self.fc(x)\n"),
        ("h = self.fc(x.T.reshape(-1, 8))  # <-\n", "h = self.fc(x)\n"),
        ("x = F.normalize(x, dim=0)  # <-\n", "x = F.normalize(x, dim=-1)\n"),
        ("x = x - x.mean(0)  # <-\n", "x = x - x.mean(-1, keepdim=True)\n"),
        ("x = x - x.mean(dim=0, keepdim=True)  # <-\n", "x = x - x.mean(dim=-1, keepdim=True)\n"),
        ("x = x.view(-1, 64)  # <-\n", None),
        ("self.rnn = nn.GRU(8, 16)\nx = x.view(n, 4)  # <-\n", None),
    ],
)  # fmt: skip
def test_samples_keep_their_axis(before: str, after: str | None) -> None:
    assert patched("keep_samples_apart", "samples-mixed", before) == after


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("h = self.fc(x * 0)  # <-\n", "h = self.fc(x)\n"),
        ("h = self.fc(0.0 * (x + 1))  # <-\n", "h = self.fc(x + 1)\n"),
        ("h = self.fc(torch.zeros_like(x))  # <-\n", "h = self.fc(x)\n"),
        ("h = self.fc(x.mul(0))  # <-\n", "h = self.fc(x)\n"),
        ("h = self.fc(x)  # <-\n", None),
    ],
)
def test_the_input_is_used(before: str, after: str | None) -> None:
    assert patched("use_input", "input-ignored", before) == after
