"""Patches after an error, and of what is not finite: sizes, types, labels, batches, divisions."""

from __future__ import annotations

from typing import Any

import pytest
from mended import ended, module, patched, tensor

PRODUCT = "mat1 and mat2 shapes cannot be multiplied (32x20 and 64x10)"
SIZES: list[tuple[str, str, dict[str, Any], str | None]] = [
    ("an item of a sequence",
     "model = nn.Sequential(nn.Linear(8, 20), nn.ReLU(), nn.Linear(64, 10))\nout = model(x)  # <-\n",
     ended(PRODUCT, module("model", "Sequential"), tensor("x", [32, 8]), module("model.2", "Linear", 10, 64)),
     "model = nn.Sequential(nn.Linear(8, 20), nn.ReLU(), nn.Linear(20, 10))\nout = model(x)\n"),
    ("a layer of a class",
     "class Net(nn.Module):\n    def __init__(self):\n        self.fc = nn.Linear(in_features=64, out_features=10)\n\n"
     "    def forward(self, x):\n        return self.fc(x)  # <-\n",
     ended(PRODUCT, module("self.fc", "Linear", 10, 64), tensor("x", [32, 20])),
     "class Net(nn.Module):\n    def __init__(self):\n        self.fc = nn.Linear(in_features=20, out_features=10)\n\n"
     "    def forward(self, x):\n        return self.fc(x)\n"),
    ("not flattened", "out = model(x)  # <-\nlater = model(z)\n",
     ended("mat1 and mat2 shapes cannot be multiplied (256x8 and "
     "64x10)", module("model", "Sequential"), tensor("x", [32, 1, 8, 8])),
     "out = model(x.flatten(1))\nlater = model(z.flatten(1))\n"),
    ("turned", "out = model(x.T)  # <-\n",
     ended("mat1 and mat2 shapes cannot be multiplied (6x500 and 6x10)", tensor("x", [500, 6])), "out = model(x)\n"),
    ("channels", "self.conv = nn.Conv2d(3, 16, 3)\nout = self.conv(x)  # <-\n",
     ended("Given groups=1, weight of size [16, 3, 3, 3], expected input[32, 1, 28, 28] to have 3 channels, but got "
     "1 channels instead",
           module("self.conv", "Conv2d", 16, 3, 3, 3), tensor("x", [32, 1, 28, 28])),
     "self.conv = nn.Conv2d(1, 16, 3)\nout = self.conv(x)\n"),
    ("channels last", "out = model(x)  # <-\n",
     ended("Given groups=1, weight of size [16, 3, 3, 3], expected input[32, 28, 28, 3] to have 3 channels, but got "
     "28 channels instead",
           tensor("x", [32, 28, 28, 3])),
     "out = model(x.permute(0, 3, 1, 2))\n"),
    ("no channels", "out = model(x)  # <-\n",
     ended("Given groups=1, weight of size [16, 1, 3, 3], expected input[1, 32, 28, 28] to have 1 channels, but got "
     "32 channels instead",
           tensor("x", [32, 28, 28])),
     "out = model(x.unsqueeze(1))\n"),
    ("features of a norm", "self.bn = nn.BatchNorm1d(64)\nh = self.bn(h)  # <-\n",
     ended("running_mean should contain 32 elements not 64", module("self.bn", "BatchNorm1d", 64)),
     "self.bn = nn.BatchNorm1d(32)\nh = self.bn(h)\n"),
    ("features of a recurrent layer", "self.rnn = nn.GRU(10, 32, batch_first=True)\nh = self.rnn(x)  # <-\n",
     ended("input.size(-1) must be equal to input_size. Expected 10, got 20", module("self.rnn", "GRU")),
     "self.rnn = nn.GRU(20, 32, batch_first=True)\nh = self.rnn(x)\n"),
    ("targets without an axis", "criterion = nn.BCEWithLogitsLoss()\nloss = criterion(out, y)  # <-\n",
     ended("Target size (torch.Size([16])) must be the same as input size (torch.Size([16, 1]))"),
     "criterion = nn.BCEWithLogitsLoss()\nloss = criterion(out, y.view_as(out))\n"),
    ("targets without an axis, of a call", "loss = F.mse_loss(net(x), y)  # <-\n",
     ended("Using a target size (torch.Size([16])) that is different to the input size (torch.Size([16, 1]))"),
     "loss = F.mse_loss(net(x).view_as(y), y)\n"),
    ("a column of labels", "loss = F.cross_entropy(out, y)  # <-\n",
     ended("0D or 1D target tensor expected, multi-target not supported", tensor("y", [16, 1])),
     "loss = F.cross_entropy(out, y.squeeze(1))\n"),
    ("one-hot labels", "loss = F.cross_entropy(out, y)  # <-\n",
     ended("0D or 1D target tensor expected, multi-target not supported", tensor("y", [16, 10])),
     "loss = F.cross_entropy(out, y.argmax(1))\n"),
    ("a view of the wrong size", "x = x.view(-1, 100)\nout = nn.Linear(100, 3)(x)\n"
     "loss = F.cross_entropy(out, y)  # <-\n",
     ended("Expected input batch_size (64) to match target batch_size (16)."),
     "x = x.view(-1, 400)\nout = nn.Linear(400, 3)(x)\nloss = F.cross_entropy(out, y)\n"),
    ("losses of all samples", "loss.backward()  # <-\n",
     ended("grad can be implicitly created only for scalar outputs"), "loss.mean().backward()\n"),
    ("strides", "x = x.transpose(1, 2).view(8, -1)  # <-\n",
     ended("view size is not compatible with input tensor's size and stride"), "x = x.transpose(1, 2).reshape(8, "
     "-1)\n"),
    ("a rest of a batch", "x = x.view(32, 64)  # <-\n",
     ended("shape '[32, 64]' is invalid for input of size 1088"), "x = x.view(-1, 64)\n"),
    ("another error", "out = model(x)  # <-\n", ended("CUDA out of memory"), None),
]  # fmt: skip


@pytest.mark.parametrize(
    ("before", "facts", "after"), [each[1:] for each in SIZES], ids=[each[0] for each in SIZES]
)
def test_sizes_are_matched(before: str, facts: dict[str, Any], after: str | None) -> None:
    assert patched("match_sizes", "shape-mismatch", before, facts) == after


DOUBLE = ended(
    "mat1 and mat2 must have the same dtype, but got Double and Float",
    tensor("x", [8, 4], dtype="torch.float64"), tensor("model.0.weight", [2, 4]),
)  # fmt: skip
TYPES: list[tuple[str, str, dict[str, Any], str | None]] = [
    ("where it is made", "x = torch.from_numpy(data)\nout = model(x[:8])  # <-\n", DOUBLE,
     "x = torch.from_numpy(data).float()\nout = model(x[:8])\n"),
    ("through a dataset, without the labels",
     "x = torch.tensor(a)\ny = torch.tensor(b)\nloader = DataLoader(TensorDataset(x, y), 8)\nfor u, v in loader:\n"
     "    out = model(u)  # <-\n",
     DOUBLE,
     "x = torch.tensor(a).float()\ny = torch.tensor(b)\nloader = DataLoader(TensorDataset(x, y), 8)\n"
     "for u, v in loader:\n    out = model(u)\n"),
    ("through a function",
     "def train(loader):\n    for u, v in loader:\n        out = model(u)  # <-\n\n"
     "train(DataLoader(TensorDataset(torch.tensor(a), torch.tensor(b)), 8))\n", DOUBLE,
     "def train(loader):\n    for u, v in loader:\n        out = model(u)\n\n"
     "train(DataLoader(TensorDataset(torch.tensor(a).float(), torch.tensor(b)), 8))\n"),
    ("where it is given", "for x in loader:\n    out = model(x)  # <-\nheld = model(z)\n", DOUBLE,
     "for x in loader:\n    out = model(x.float())\nheld = model(z.float())\n"),
    ("class numbers", "loss = F.cross_entropy(out, y)  # <-\n", ended("expected scalar type Long but found Float"),
     "loss = F.cross_entropy(out, y.long())\n"),
    ("quantities", "criterion = nn.MSELoss()\n"
     "loss = criterion(out, y)  # <-\n", ended("Found dtype Double but expected Float"),
     "criterion = nn.MSELoss()\nloss = criterion(out, y.float())\n"),
    ("answers", "loss = F.binary_cross_entropy_with_logits(out, y - 1)  # <-\n",
     ended("result type Float can't be cast to the desired output type Long"),
     "loss = F.binary_cross_entropy_with_logits(out, (y - 1).float())\n"),
    ("indices", "h = self.embedding(x)  # <-\n",
     ended("Expected tensor for argument #1 'indices' to have one of the following scalar types: Long, Int; but got "
     "FloatTensor"),
     "h = self.embedding(x.long())\n"),
    ("another error", "out = model(x)  # <-\n", ended("something else"), None),
]  # fmt: skip


@pytest.mark.parametrize(
    ("before", "facts", "after"), [each[1:] for each in TYPES], ids=[each[0] for each in TYPES]
)
def test_types_are_converted(before: str, facts: dict[str, Any], after: str | None) -> None:
    assert patched("convert_type", "dtype-mismatch", before, facts) == after


def labels(low: int, high: int, outputs: int) -> dict[str, Any]:
    message = f"Target {high} is out of bounds."
    return ended(
        message, tensor("out", [8, outputs]), tensor("y", [8], dtype="torch.int64", range=[low, high])
    )


LABELS: list[tuple[str, str, dict[str, Any], str | None]] = [
    ("a shift", "y = y + 1\n"
     "loss = F.cross_entropy(out, y)  # <-\n", labels(1, 3, 3), "loss = F.cross_entropy(out, y)\n"),
    ("a loop", "for x, y in loader:\n    out = net(x)\n    loss = F.cross_entropy(out, y)  # <-\n", labels(1, 3, 3),
     "for x, y in loader:\n    y = y - 1\n    out = net(x)\n    loss = F.cross_entropy(out, y)\n"),
    ("an argument", "def step(out, y):\n    return F.cross_entropy(out, y)  # <-\n", labels(-1, 1, 3),
     "def step(out, y):\n    return F.cross_entropy(out, y + 1)\n"),
    ("a batch that is unpacked", "def step(batch):\n    x, y = batch\n    return F.cross_entropy(net(x), y)  # <-\n",
     labels(1, 3, 3),
     "def step(batch):\n    x, y = batch\n    y = y - 1\n    return F.cross_entropy(net(x), y)\n"),
    ("too few outputs", "loss = F.cross_entropy(out, y)  # <-\n", labels(0, 3, 3), None),
]  # fmt: skip


@pytest.mark.parametrize(
    ("before", "facts", "after"), [each[1:] for each in LABELS], ids=[each[0] for each in LABELS]
)
def test_classes_are_numbered_from_zero(before: str, facts: dict[str, Any], after: str | None) -> None:
    assert patched("number_classes_from_zero", "labels-out-of-range", before, facts) == after


@pytest.mark.parametrize(
    ("before", "facts", "after"),
    [
        ("net = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 3))\n"
         "loss = F.cross_entropy(net(x), y)  # <-\n", labels(0, 3, 3),
         "net = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 4))\nloss = F.cross_entropy(net(x), y)\n"),
        ("CLASSES = 3\nself.out = nn.Linear(9, CLASSES)\nloss = F.cross_entropy(out, y)  # <-\n", labels(0, 3, 3),
         "CLASSES = 4\nself.out = nn.Linear(9, CLASSES)\nloss = F.cross_entropy(out, y)\n"),
        ("self.emb = nn.Embedding(10, 4)\nh = self.emb(x)  # <-\n",
         ended("index out of range in self", module("self.emb", "Embedding", 10, 4), tensor("x", [8], range=[0, 12])),
         "self.emb = nn.Embedding(13, 4)\nh = self.emb(x)\n"),
        ("self.out = nn.Linear(9, 3)\nloss = F.cross_entropy(out, y)  # <-\n", labels(-1, 2, 3), None),
    ],
)  # fmt: skip
def test_each_class_gets_an_output(before: str, facts: dict[str, Any], after: str | None) -> None:
    assert patched("output_for_each_class", "labels-out-of-range", before, facts) == after


def test_one_output_and_two_classes_make_it_binary() -> None:
    before = "def step(x, y):\n    out = net(x)\n    return F.cross_entropy(out, y)  # <-\n"
    after = "def step(x, y):\n    out = net(x).squeeze(-1)\n"
    after += "    return F.binary_cross_entropy_with_logits(out, y.float())\n"
    assert patched("one_unit_sigmoid", "labels-out-of-range", before, labels(0, 1, 1)) == after
    assert patched("one_unit_sigmoid", "labels-out-of-range", before, labels(0, 3, 3)) is None


@pytest.mark.parametrize(
    ("most", "after"),
    [
        (
            32,
            "train = DataLoader(data, batch_size=32, shuffle=True, drop_last=True)\ntest = DataLoader(held, 64)\n",
        ),
        (2, None),
    ],
)
def test_a_small_rest_is_left_out(most: int, after: str | None) -> None:
    before = "train = DataLoader(data, batch_size=32, shuffle=True)\ntest = DataLoader(held, 64)\n"
    norm = {"kind": "batch_norm", "fewest_samples": 1, "most_samples": most}
    facts = {"signals": {"running_statistics": {"bn": norm}}}
    assert patched("without_rest", "normalization-on-tiny-batch", before, facts) == after


@pytest.mark.parametrize(
    ("finding", "before", "after"),
    [
        ("input-not-finite", "x = (x - x.mean(0)) / x.std(0)\n", "x = (x - x.mean(0)) / (x.std(0) + 1e-8)\n"),
        (
            "input-not-finite",
            "std = x.std(axis=0)\nx = (x - mean) / std\n",
            "std = x.std(axis=0)\nx = (x - mean) / (std + 1e-8)\n",
        ),
        ("input-not-finite", "x = np.log(x)\n", "x = np.log1p(x)\n"),
        ("input-not-finite", "x = (x - x.mean()) / x.std()\n", None),
        ("input-not-finite", "x = (x - x.mean(0)) / (x.std(0) + eps)\n", None),
        ("loss-not-finite", "z = mu + e * logvar.sqrt()  # <-\n", "z = mu + e * torch.exp(0.5 * logvar)\n"),
        ("loss-not-finite", "h = h / h.norm(dim=1)  # <-\n", "h = h / (h.norm(dim=1) + 1e-8)\n"),
        ("loss-not-finite", "loss = total / len(x)  # <-\n", None),
    ],
)
def test_operations_stay_finite(finding: str, before: str, after: str | None) -> None:
    assert patched("stay_finite", finding, before) == after


def test_missing_values_become_zeros_in_each_call_of_the_model() -> None:
    before = "model = nn.Sequential(nn.Linear(2, 1))\nfor x in data:\n    loss = model(x).mean()\nheld = model(z)\n"
    zeros = "torch.nan_to_num({}, 0.0, 0.0, 0.0)"
    after = before.replace("model(x)", f"model({zeros.format('x')})").replace(
        "model(z)", f"model({zeros.format('z')})"
    )
    facts = {"models": [{"name": "model", "class": "Sequential"}]}
    assert patched("replace_missing", "input-not-finite", before, facts) == after
    known = facts | {"signals": {"non_finite": {"first": {"": {"operation": {"operation": "log"}}}}}}
    assert patched("replace_missing", "loss-not-finite", before, known) is None
