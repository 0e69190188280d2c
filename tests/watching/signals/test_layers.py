from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn


def train(model, loss, x=None, steps=2):
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(parameters, lr=0.01)
    x = torch.randn(6, 3) if x is None else x
    for _ in range(steps):
        optimizer.zero_grad()
        loss(model(x)).backward()
        optimizer.step()


def known(record):
    return record.facts["signals"]["layers"]["model"]


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.out, self.hidden = nn.Linear(5, 4), nn.Linear(3, 5)
        self.hidden.weight.requires_grad_(False)

    def forward(self, x):
        x = F.relu(self.hidden(x))
        return self.out(x).softmax(1)


def test_the_table_is_in_the_order_of_execution(watched):
    with watched() as record:
        train(Net(), lambda y: F.cross_entropy(y, torch.zeros(6, dtype=torch.int64)))
    rows = known(record)["table"]
    told = [(r["name"], r["class"], r["parameters"], r["trainable"], r["output"]) for r in rows]
    assert told == [("hidden", "Linear", 20, "partly", [6, 5]), ("out", "Linear", 24, True, [6, 4])]
    assert [row["where"]["text"] for row in rows] == [
        "x = F.relu(self.hidden(x))",
        "return self.out(x).softmax(1)",
    ]
    assert known(record)["affine_after_affine"] == []


def test_the_loss_is_given_a_softmax(watched):
    with watched() as record:
        train(Net(), lambda y: F.cross_entropy(y, torch.zeros(6, dtype=torch.int64)))
    output = known(record)["output"]
    assert (output["loss"], output["layer"], output["activation"]) == ("cross_entropy", "out", "softmax")
    assert output["where"]["text"].startswith("train(Net(), lambda y: F.cross_entropy")
    assert (output["sum_low"], output["sum_high"]) == pytest.approx((1, 1))
    assert output["low"] >= 0


def test_logits_and_log_probabilities(watched):
    with watched() as record:
        model = nn.Sequential(nn.Linear(3, 4), nn.LogSoftmax(1))
        train(model, lambda y: F.nll_loss(y, torch.zeros(6, dtype=torch.int64)))
    output = known(record)["output"]
    assert (output["activation"], output["activation_layer"], output["layer"]) == ("log_softmax", "1", "0")
    assert (output["exp_sum_low"], output["exp_sum_high"]) == pytest.approx((1, 1))


@pytest.mark.parametrize(
    ("between", "linear"),
    [
        ([nn.Dropout(0.5)], True),
        ([nn.Identity()], True),
        ([nn.BatchNorm1d(5)], True),
        ([], True),
        ([nn.ReLU()], False),
        ([nn.PReLU()], False),
        ([nn.Softsign()], False),
        ([nn.LayerNorm(5)], False),
        ([nn.Dropout(0.5), nn.Tanh(), nn.Dropout(0.5)], False),
    ],
)
def test_affine_layers_with_nothing_between(watched, between, linear):
    with watched() as record:
        train(nn.Sequential(nn.Linear(3, 5), *between, nn.Linear(5, 2)), lambda y: y.square().mean())
    pairs = known(record)["affine_after_affine"]
    last = str(1 + len(between))
    expected = [{"first": "0", "second": last, "widths": [3, 5, 2], "grouped": False}]
    assert pairs == (expected if linear else [])


def test_pooling_and_masks_are_nonlinear_and_flattening_is_not(watched):
    class Conv(nn.Module):
        def __init__(self, between):
            super().__init__()
            self.a, self.b, self.between = nn.Conv2d(1, 4, 3), nn.Linear(4 * 9, 1), between

        def forward(self, x):
            return self.b(self.between(self.a(x)).flatten(1))

    cases = [
        (lambda h: F.avg_pool2d(h, 2), True),
        (lambda h: F.max_pool2d(h, 2), False),
        (lambda h: F.avg_pool2d(h * (h > 0), 2), False),
    ]
    for between, linear in cases:
        with watched() as record:
            train(model := Conv(between), lambda y: y.square().mean(), torch.randn(2, 1, 8, 8))
        assert bool(known(record)["affine_after_affine"]) == linear, model
