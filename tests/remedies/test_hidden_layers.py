"""add_hidden_layers: a model of one linear layer gets two more, whatever it is written like."""

from __future__ import annotations

import pytest
from torch import Tensor, nn, randn

from fitwell.evidence import View
from fitwell.patch import Code
from fitwell.remedies.add_hidden_layers import REMEDY
from fitwell.remedy import About


def patched(text: str) -> str:
    assert REMEDY.patch is not None
    code = Code(text, "x")
    about = About("model-too-small", View("a", {}, {}, ()), None, {"width": 8})
    return code.edited(REMEDY.patch(code, about))


@pytest.mark.parametrize(
    "text",
    [
        "model = nn.Linear(a, 3)\n",
        "model = nn.Linear(in_features=a,\n    out_features=3)\n",
        "def make():\n    return nn.Sequential(\n        nn.Linear(a, 3),\n    )\n\nmodel = make()\n",
        "model = nn.Sequential(nn.Flatten(), nn.Linear(a, out_features=3), nn.Softmax(dim=1))\n",
    ],
)
def test_two_hidden_layers_are_put_in(text: str) -> None:
    known = {"nn": nn, "a": 2}
    exec(patched(text), known)
    model = known["model"]
    assert isinstance(model, nn.Module)
    sizes = [(each.in_features, each.out_features) for each in model.modules() if isinstance(each, nn.Linear)]
    assert sizes == [(2, 8), (8, 8), (8, 3)]
    assert sum(isinstance(each, nn.ReLU) for each in model.modules()) == 2
    answer: Tensor = model(randn(5, 2))
    assert answer.shape == (5, 3)


@pytest.mark.parametrize(
    "text",
    [
        "model = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))\n",
        "model = nn.Linear(2, 3, bias=False)\n",
        "model = Linear(2, 3)\n",
        "w = nn.Parameter(x)\nmodel = nn.Linear(2, 3)\n",
        "print(3)\n",
    ],
)
def test_other_models_stay(text: str) -> None:
    assert patched(text) == text
