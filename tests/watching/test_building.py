"""Lines that build or shape models, as the source says."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fitwell.watching.places import lines_of

Found = Callable[[str, str], list[dict[str, Any]]]


@pytest.fixture
def found(tmp_path: Path) -> Found:
    def read(source: str, kind: str) -> list[dict[str, Any]]:
        file = tmp_path / "program.py"
        file.write_text(textwrap.dedent(source))
        return list(lines_of([str(file)]).get(kind, []))

    return read


def test_activations_are_where_they_are_applied_or_made(found: Found) -> None:
    source = """
    class Net(nn.Module):
        def __init__(self):
            self.out = nn.Sequential(nn.Linear(4, 2), nn.Softmax(dim=1))
            self.act = nn.Tanh()

        def forward(self, x):
            return torch.sigmoid(self.out(self.act(x)))
    """
    applied = {(line["line"], line["operation"]) for line in found(source, "activations")}
    assert applied == {(4, "Softmax"), (8, "Tanh"), (8, "Sigmoid")}
    assert {(line["line"], line["operation"]) for line in found(source, "constructed")} == {
        (4, "Softmax"), (5, "Tanh"),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("line", "way", "constant", "scale", "bias"),
    [
        ("nn.init.constant_(fc.weight, 0.5)", "even", 0.5, 0.5, False),
        ("nn.init.zeros_(fc.bias)", "even", 0.0, None, True),
        ("nn.init.normal_(fc.weight, std=3.0)", "drawn", None, 3.0, False),
        ("nn.init.kaiming_normal_(fc.weight)", "standard", None, None, False),
        ("fc.weight.data.mul_(10)", "scaled", None, 10.0, False),
        ("w1 = torch.zeros(4, 3, requires_grad=True)", "even", 0.0, None, False),
        ("w1 = nn.Parameter(torch.randn(4, 3) * 5)", "drawn", None, 5.0, False),
    ],
)
def test_what_sets_weights(
    line: str, way: str, constant: float | None, scale: float | None, bias: bool, found: Found
) -> None:
    (seen,) = found(line + "\n", "initializes")
    assert (seen["way"], seen["constant"], seen["scale"], seen["bias"]) == (way, constant, scale, bias)


@pytest.mark.parametrize("line", ["x.grad.zero_()", "total = torch.zeros(3)", "average.mul_(0.9)"])
def test_what_sets_no_weights(line: str, found: Found) -> None:
    assert found(line + "\n", "initializes") == []


@pytest.mark.parametrize(
    ("line", "probability"),
    [
        ("d = nn.Dropout(0.8)", 0.8),
        ("d = nn.Dropout2d()", 0.5),
        ("x = F.dropout(x, p=0.7)", 0.7),
        ("g = nn.GRU(4, 8, dropout=0.3)", 0.3),
        ("d = nn.Dropout(rate)", None),
    ],
)
def test_dropout(line: str, probability: float | None, found: Found) -> None:
    assert [each["probability"] for each in found(line + "\n", "dropouts")] == [probability]


def test_what_a_forward_does_to_samples(found: Found) -> None:
    source = """
    class Net(nn.Module):
        def forward(self, x):
            x = x.view(x.size(0), -1)
            x = x.transpose(0, 1)
            return F.softmax(x, dim=0)
    """
    assert [(line["line"], line["rank"]) for line in found(source, "reshapes")] == [(5, 2), (6, 2)]


@pytest.mark.parametrize("body", ["return self.fc(x * 0)", "return self.fc(torch.zeros_like(x))", "return 1"])
def test_a_forward_that_loses_its_input(body: str, found: Found) -> None:
    source = f"class Net(nn.Module):\n    def forward(self, x):\n        {body}\n"
    assert len(found(source, "ignores")) == 1


def test_layers_and_recurrences_by_name(found: Found) -> None:
    source = "self.rnn = nn.RNN(4, 8, nonlinearity='relu')\nself.fc = nn.Linear(8, 2)\n"
    assert [(line["line"], line["name"]) for line in found(source, "layers")] == [(1, "rnn"), (2, "fc")]
    assert [line["nonlinearity"] for line in found(source, "recurrences")] == ["relu"]
