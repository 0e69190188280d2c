"""Which line a finding about an optimizer, an activation or first weights names."""

from __future__ import annotations

import linecache

import pytest

from fitwell.evidence import View
from fitwell.measures.model_places import (
    activation_place,
    batch_place,
    dropout_made_place,
    exploding_place,
    ignoring_place,
    made_place,
    mixing_place,
    scaled_initially_place,
    squashing_place,
    symmetric_place,
    units_place,
    unused_place,
)
from fitwell.watching.places import lines_of


@pytest.fixture
def at(tmp_path):
    """Gives the text of the line that a place names in a program, from its source and other facts."""

    def read(place, source, signals=None, **subject):
        file = tmp_path / "program.py"
        file.write_text(source)
        linecache.cache.pop(str(file), None)
        view = View({"signals": {"source_lines": lines_of([str(file)])} | (signals or {})}, subject=subject)
        where = place(view)
        return where and source.splitlines()[where["line"] - 1].strip()

    return read


SOFTMAX = activation_place("Softmax", "Sigmoid")
MODEL = """
class Attention(nn.Module):
    def forward(self, x):
        return F.softmax(x @ x.T, -1) @ x
class Net(nn.Module):
    def __init__(self):
        self.fc, self.gate = nn.Linear(3, 4), nn.Linear(3, 3)
        self.end = nn.Softmax(dim=1)
    def forward(self, x):
        x = x * torch.softmax(self.gate(x), 1)
        return self.end(self.fc(x))
"""


def test_the_activation_that_the_model_applies_last(at):
    assert at(SOFTMAX, MODEL, made_by=["Softmax"]) == "return self.end(self.fc(x))"


def test_the_activation_before_the_loss(at, tmp_path):
    source = "p = net(x).sigmoid()\nloss = crit(p, y)\nq = torch.sigmoid(net(v))\n"
    where = {"file": str(tmp_path / "program.py"), "line": 2, "function": "<module>"}
    assert at(SOFTMAX, source, of="Sigmoid", where=where) == "p = net(x).sigmoid()"


def test_the_activation_that_ends_a_list_of_layers(at):
    source = "net = nn.Sequential(\n    nn.Tanh(),\n    nn.Linear(3, 1),\n    nn.Sigmoid(),\n)\n"
    assert at(activation_place("Sigmoid", "Tanh"), source) == "nn.Sigmoid(),"


def test_without_a_source_the_line_of_the_loss(at):
    where = {"file": "gone.py", "line": 1, "function": "train"}
    assert at(SOFTMAX, "loss = crit(x)\n", where=where) == "loss = crit(x)"
    assert at(SOFTMAX, "") is None


def test_the_optimizer_and_the_loader(at):
    made = {"coverage": {"threads": {"": {"where": {"file": "a.py", "line": 2}}}}}
    source = "train = DataLoader(data, 1, shuffle=True)\nopt = SGD(p, lr=LR)\n"
    assert at(made_place, source, made) == "opt = SGD(p, lr=LR)"
    assert at(batch_place, source, made) == "train = DataLoader(data, 1, shuffle=True)"
    assert at(made_place, source) is None


INITIAL = """
for layer in layers:
    nn.init.zeros_(layer.bias)
    {}
"""


@pytest.mark.parametrize("line", ["nn.init.constant_(layer.weight, 0.1)", "layer.weight.data.fill_(0.2)"])
def test_weights_of_one_value(at, line):
    assert at(symmetric_place, INITIAL.format(line)) == line
    assert at(scaled_initially_place, INITIAL.format(line)) is None


@pytest.mark.parametrize(
    "line", ["nn.init.normal_(layer.weight, 0, 9.)", "w = (torch.randn(3, 4) * 9).requires_grad_()"]
)
def test_weights_that_are_drawn_too_large(at, line):
    assert at(scaled_initially_place, INITIAL.format(line)) == line
    assert at(exploding_place, INITIAL.format(line)) == line


def test_biases_that_leave_units_dead(at):
    assert (
        at(units_place, "net.bias.data.fill_(-9.0)\nnn.init.kaiming_normal_(net.weight)\n")
        == "net.bias.data.fill_(-9.0)"
    )
    assert at(units_place, "x = 1\n") is None


def test_the_strongest_dropout(at):
    assert at(dropout_made_place, "a = nn.Dropout(0.1)\nb = nn.Dropout(p=0.95)\n") == "b = nn.Dropout(p=0.95)"
    assert at(dropout_made_place, "a = nn.Dropout(0.1)\nx = F.dropout(x, 0.9)\n") == "x = F.dropout(x, 0.9)"


def test_what_gradients_vanish_in_if_it_is_one_place(at):
    assert at(squashing_place, "for _ in n:\n    a.append(nn.Sigmoid())\n") == "a.append(nn.Sigmoid())"
    assert at(squashing_place, "a = nn.Tanh()\nb = nn.Sigmoid()\n") is None
    assert at(squashing_place, "a = nn.RNN(3, 4)\n") == "a = nn.RNN(3, 4)"


FORWARD = "class Net:\n    def forward(self, x):\n        {}\n        return self.fc(x.view(len(x), -1))\n"


@pytest.mark.parametrize(
    ("place", "line"),
    [(mixing_place, "x = x - x.mean(dim=0)"), (mixing_place, "x = x.view(3, -1, 4)"),
     (mixing_place, "x = x.permute(1, 0, 2)"), (ignoring_place, "x = torch.zeros_like(x)"),
     (ignoring_place, "x = 0 * x")],
)  # fmt: skip
def test_what_a_forward_does_to_samples(at, place, line):
    assert at(place, FORWARD.format(line)) == line


def test_the_layer_that_never_ran(at):
    unused = {"coverage": {"models": [{"unused": {"names": ["old.0"]}}]}}
    assert at(unused_place, "self.fc = nn.Linear(1, 1)\nself.old = make(3)\n", unused) == "self.old = make(3)"
