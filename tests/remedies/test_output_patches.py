"""Patches of what a model ends with: softmax, sigmoid and other activations, in many styles."""

from __future__ import annotations

import pytest
from mended import patched, place

SOFTMAX = [
    ("flat sequence", "model = nn.Sequential(nn.Linear(8, 4), nn.Softmax(dim=1))  # <-\n",
     "model = nn.Sequential(nn.Linear(8, 4))\n"),
    ("a line of its own", "model = nn.Sequential(\n    nn.Linear(8, 4),\n    nn.LogSoftmax(1),  # <-\n)\n",
     "model = nn.Sequential(\n    nn.Linear(8, 4),\n)\n"),
    ("function", "def predict(x):\n    x = layer(x)\n    return F.softmax(x, dim=1)  # <-\n",
     "def predict(x):\n    x = layer(x)\n    return x\n"),
    ("method of a tensor", "loss = F.cross_entropy((x @ w).softmax(-1), y)  # <-\n",
     "loss = F.cross_entropy(x @ w, y)\n"),
    ("keyword", "p = torch.softmax(input=net(x), dim=1)  # <-\n", "p = net(x)\n"),
    ("module called at once", "p = nn.Softmax(dim=1)(net(x))  # <-\n", "p = net(x)\n"),
    ("module of a class",
     "class Net(nn.Module):\n    def __init__(self):\n        self.fc = nn.Linear(8, 4)\n"
     "        self.act = nn.Softmax(dim=1)\n\n"
     "    def forward(self, x):\n        return self.act(self.fc(x))  # <-\n",
     "class Net(nn.Module):\n    def __init__(self):\n        self.fc = nn.Linear(8, 4)\n"
     "        self.act = nn.Softmax(dim=1)\n\n"
     "    def forward(self, x):\n        return self.fc(x)\n"),
    ("module of a class, where it is made",
     "class Net(nn.Module):\n    def __init__(self):\n        self.act = nn.Softmax(dim=1)  # <-\n",
     "class Net(nn.Module):\n    def __init__(self):\n        self.act = nn.Identity()\n"),
    ("appended", "layers = [nn.Linear(8, 4)]\nlayers.append(nn.Softmax(1))  # <-\nmodel = nn.Sequential(*layers)\n",
     "layers = [nn.Linear(8, 4)]\nmodel = nn.Sequential(*layers)\n"),
    ("named items", "model = nn.Sequential(OrderedDict([('fc', nn.Linear(8, 4)), ('out', nn.Softmax(1))]))  # <-\n",
     "model = nn.Sequential(OrderedDict([('fc', nn.Linear(8, 4))]))\n"),
    ("exponential of a logarithm", "p = F.log_softmax(net(x), 1).exp() + 1e-9  # <-\n", "p = net(x)\n"),
    ("before the loss, whose line is given",
     "def step(x, y):\n    p = torch.softmax(net(x), dim=1)\n    return F.cross_entropy(p, y)  # <-\n",
     "def step(x, y):\n    p = net(x)\n    return F.cross_entropy(p, y)\n"),
    ("in the model, the loss's line is given",
     "class Net(nn.Module):\n    def forward(self, x):\n        return F.softmax(self.fc(x), dim=1)\n\n"
     "loss = F.cross_entropy(Net()(x), y)  # <-\n",
     "class Net(nn.Module):\n    def forward(self, x):\n        return self.fc(x)\n\n"
     "loss = F.cross_entropy(Net()(x), y)\n"),
    ("several lines", "p = F.softmax(  # <-\n    x @ w\n    + b, dim=1)\n", "p = (x @ w\n    + b)\n"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("before", "after"), [each[1:] for each in SOFTMAX], ids=[each[0] for each in SOFTMAX]
)
def test_softmax_is_left_out(before: str, after: str) -> None:
    assert patched("remove_softmax", "softmax-before-cross-entropy", before) == after


@pytest.mark.parametrize(
    "before",
    [
        "loss = F.cross_entropy(net(x), y)  # <-\n",
        "class Attention(nn.Module):\n    def forward(self, q, k):\n        return F.softmax(q @ k, -1) @ v\n\n"
        "loss = F.cross_entropy(net(x), y)  # <-\n",
        "with torch.no_grad():\n    shown = F.softmax(net(x), 1)\n\nloss = F.cross_entropy(net(x), y)\n",
    ],
    ids=["none", "only that of attention", "only for a print"],
)
def test_no_other_softmax_is_touched(before: str) -> None:
    assert patched("remove_softmax", "softmax-before-cross-entropy", before) is None


STEP = (
    "criterion = nn.BCEWithLogitsLoss()\nout = net(x)\nloss = criterion(out, y)\nright = (out > 0.5) == y\n"
)


def test_sigmoid_is_left_out_and_the_limit_of_a_yes_is_that_of_logits() -> None:
    before = "net = nn.Sequential(nn.Linear(3, 1), nn.Sigmoid())  # <-\n" + STEP
    after = "net = nn.Sequential(nn.Linear(3, 1))\n" + STEP.replace("0.5", "0")
    assert patched("remove_sigmoid", "sigmoid-before-bce-with-logits", before) == after


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("loss = F.binary_cross_entropy_with_logits(p, y)  # <-\n", "loss = F.binary_cross_entropy(p, y)\n"),
        ("criterion = nn.BCEWithLogitsLoss()\nloss = criterion(torch.sigmoid(x), y)  # <-\n",
         "criterion = nn.BCELoss()\nloss = criterion(torch.sigmoid(x), y)\n"),
        ("loss = nn.BCEWithLogitsLoss()(p, y)  # <-\n", "loss = nn.BCELoss()(p, y)\n"),
        ("loss = nn.BCEWithLogitsLoss(pos_weight=w)(p, y)  # <-\n", None),
    ],
)  # fmt: skip
def test_probabilities_get_their_own_loss(before: str, after: str | None) -> None:
    assert patched("loss_of_probabilities", "sigmoid-before-bce-with-logits", before) == after


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("p = F.log_softmax(x, dim=0)  # <-\n", "p = F.log_softmax(x, dim=-1)\n"),
        ("p = x.softmax(0)  # <-\n", "p = x.softmax(-1)\n"),
        ("p = torch.softmax(x, 0)  # <-\n", "p = torch.softmax(x, -1)\n"),
        ("net = nn.Sequential(nn.Linear(3, 4), nn.LogSoftmax(dim=0))  # <-\n",
         "net = nn.Sequential(nn.Linear(3, 4), nn.LogSoftmax(dim=-1))\n"),
        ("net = nn.Sequential(nn.Linear(3, 4), nn.Softmax())  # <-\n",
         "net = nn.Sequential(nn.Linear(3, 4), nn.Softmax(dim=-1))\n"),
        ("act = nn.Softmax(dim=0)\np = act(net(x))  # <-\n", "act = nn.Softmax(dim=-1)\np = act(net(x))\n"),
        ("p = x.softmax(-1)  # <-\n", None),
    ],
)  # fmt: skip
def test_softmax_runs_over_the_classes(before: str, after: str | None) -> None:
    assert patched("softmax_over_classes", "softmax-wrong-dimension", before) == after


def test_the_classes_of_pictures_are_axis_1() -> None:
    before = "p = F.log_softmax(x, dim=0)  # <-\nloss = F.nll_loss(p, y)\n"
    facts = place("nll_loss", before, function="nll_loss", class_axis=1, input_shape=[2, 5, 8, 8])
    after = "p = F.log_softmax(x, dim=1)\nloss = F.nll_loss(p, y)\n"
    assert patched("softmax_over_classes", "softmax-wrong-dimension", before, facts) == after


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("net = nn.Sequential(nn.Linear(3, 1), nn.Softmax(dim=1))  # <-\n",
         "net = nn.Sequential(nn.Linear(3, 1), nn.Sigmoid())\n"),
        ("p = F.softmax(x @ w, dim=1)[:, 0]  # <-\n", "p = torch.sigmoid(x @ w)[:, 0]\n"),
        ("p = x.log_softmax(1)  # <-\n", "p = F.logsigmoid(x)\n"),
        ("def step(x, y):\n    out = net(x)\n    return F.cross_entropy(out, y.long())  # <-\n",
         "def step(x, y):\n    out = net(x).squeeze(-1)\n"
         "    return F.binary_cross_entropy_with_logits(out, y.float())\n"),
        ("criterion = nn.CrossEntropyLoss()\nfor x, y in data:\n    loss = criterion(net(x), y)  # <-\n",
         "criterion = nn.BCEWithLogitsLoss()\nfor x, y in data:\n"
         "    loss = criterion(net(x).squeeze(-1), y.float())\n"),
    ],
)  # fmt: skip
def test_one_unit_gets_a_sigmoid(before: str, after: str) -> None:
    assert patched("one_unit_sigmoid", "single-unit-softmax", before) == after


@pytest.mark.parametrize(
    ("before", "made_by", "after"),
    [
        ("loss = F.binary_cross_entropy(net(x), y)  # <-\n", ["Addmm"],
         "loss = F.binary_cross_entropy_with_logits(net(x), y)\n"),
        ("net = nn.Sequential(nn.Linear(3, 1), nn.ReLU())\ncriterion = nn.BCELoss()\n"
         "loss = criterion(net(x), y)  # <-\n",
         ["Relu", "Addmm"],
         "net = nn.Sequential(nn.Linear(3, 1))\ncriterion = nn.BCEWithLogitsLoss()\nloss = criterion(net(x), y)\n"),
        ("def step(x, y):\n    p = net(x).clamp(0, 1)\n"
         "    return F.binary_cross_entropy(p, y)  # <-\n", ["Clamp", "Addmm"],
         "def step(x, y):\n    p = net(x)\n    return F.binary_cross_entropy_with_logits(p, y)\n"),
        ("loss = F.binary_cross_entropy(net(x), y)  # <-\n", ["Relu", "Addmm"], None),
    ],
)  # fmt: skip
def test_logits_get_their_own_loss(before: str, made_by: list[str], after: str | None) -> None:
    facts = place(
        "cross_entropy(" if "cross_entropy(" in before else "criterion(net", before, made_by=made_by
    )
    assert patched("use_bce_with_logits", "bce-input-not-probability", before, facts) == after


@pytest.mark.parametrize(
    ("before", "made_by", "after"),
    [
        ("loss = F.binary_cross_entropy(x @ w, y)  # <-\n", ["Mm"],
         "loss = F.binary_cross_entropy((x @ w).sigmoid(), y)\n"),
        ("def step(x, y):\n    p = torch.relu(net(x))\n    return F.binary_cross_entropy(p, y)  # <-\n", ["Relu"],
         "def step(x, y):\n    p = torch.sigmoid(net(x))\n    return F.binary_cross_entropy(p, y)\n"),
    ],
)  # fmt: skip
def test_a_sigmoid_is_put_before_the_loss_of_probabilities(
    before: str, made_by: list[str], after: str
) -> None:
    facts = place("cross_entropy(", before, made_by=made_by)
    assert patched("end_with_sigmoid", "bce-input-not-probability", before, facts) == after


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("net = nn.Sequential(nn.Linear(3, 9), nn.ReLU(), nn.Linear(9, 1), nn.Tanh())  # <-\n",
         "net = nn.Sequential(nn.Linear(3, 9), nn.ReLU(), nn.Linear(9, 1))\n"),
        ("def forward(self, x):\n    return torch.sigmoid(self.out(x)).squeeze(-1)  # <-\n",
         "def forward(self, x):\n    return self.out(x).squeeze(-1)\n"),
        ("def forward(self, x):\n    h = F.relu(self.fc(x))\n    return F.relu(self.out(h))  # <-\n",
         "def forward(self, x):\n    h = F.relu(self.fc(x))\n    return self.out(h)\n"),
        ("pred = torch.tanh(x @ w + b) * 2  # <-\n", "pred = (x @ w + b) * 2\n"),
    ],
)  # fmt: skip
def test_the_last_activation_is_left_out(before: str, after: str) -> None:
    assert patched("remove_output_activation", "output-range-excludes-targets", before) == after
