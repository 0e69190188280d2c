"""Which line changed a tensor that backward needs: told from the graph, the frames and the source."""

from __future__ import annotations

import linecache
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from fitwell.watching import in_place
from fitwell.watching.failure import explain

HEAD = """
import torch
from torch import nn
import torch.nn.functional as F
torch.manual_seed(0)
"""


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The program alone: the other modules of tests would count as its own, whichever were imported first."""
    monkeypatch.setattr(in_place, "MOST_FILES", 1)
    yield
    linecache.clearcache()


def ended_by(folder: Path, source: str) -> dict[str, Any]:
    """What is said of the change in place that ends a program; its lines are named by their text."""
    path = folder / "train.py"
    path.write_text(HEAD + textwrap.dedent(source))
    try:
        exec(compile(path.read_text(), str(path), "exec"), {"__name__": "program"})
    except RuntimeError as error:
        told: dict[str, Any] = explain(error)["in_place"]
        told["changed"] = [where["text"] for where in told["changed"]]
        told["saved"] = told.get("saved") and told["saved"]["text"]
        return told
    raise AssertionError("it does not fail")


CASES = {
    "an operator": (
        """
        def train():
            w = torch.ones(3, requires_grad=True)
            total = 0
            for _ in range(2):
                total += 1
                y = w.exp()
                y *= 2
                z = y + 1
                z += 1
                z.sum().backward()
        train()
        """,
        ["y *= 2"], "Exp", "y = w.exp()",
    ),
    "an index": (
        """
        p = nn.Linear(4, 4)(torch.ones(2, 4)).softmax(1)
        other = torch.zeros(2)
        other[0] = 1
        p[p < 0.3] = 0
        p.log().sum().backward()
        """,
        ["p[p < 0.3] = 0"], "Softmax", "p = nn.Linear(4, 4)(torch.ones(2, 4)).softmax(1)",
    ),
    "a method": (
        """
        x = torch.ones(3, requires_grad=True)
        h = torch.tanh(x)
        nn.init.ones_(torch.ones(2))
        h.add_(1)
        h.sum().backward()
        """,
        ["h.add_(1)"], "Tanh", "h = torch.tanh(x)",
    ),
    "a function": (
        """
        def net(x):
            hidden = torch.sigmoid(x)
            return F.relu(hidden, inplace=True)
        out = net(torch.ones(3, requires_grad=True))
        out.sum().backward()
        """,
        ["return F.relu(hidden, inplace=True)"], "Sigmoid", "hidden = torch.sigmoid(x)",
    ),
    "a layer": (
        """
        net = nn.Sequential(
            nn.Linear(3, 3), nn.Sigmoid(),
            nn.ReLU(inplace=True),
        )
        loss = net(torch.ones(2, 3)).sum()
        loss.backward()
        """,
        ["nn.ReLU(inplace=True),"], "Sigmoid", "net = nn.Sequential(",
    ),
    "the operation that made it what it is": (
        """
        class Block(nn.Module):
            def __init__(self):
                super().__init__()
                self.fc = nn.Linear(3, 3)
                self.act = nn.ReLU(inplace=True)
            def forward(self, x):
                out = self.act(self.fc(x))
                gate = torch.sigmoid(out)
                mixed = gate * out
                out -= x
                return mixed + out
        loss = Block()(torch.ones(2, 3)).mean()
        loss.backward()
        """,
        ["out -= x"], "Relu", None,
    ),
    "another operation that kept it": (
        """
        w = torch.ones(3, requires_grad=True)
        a = w + 1
        b = a * a
        a += 1
        b.sum().backward()
        """,
        ["a += 1"], "Mul", "b = a * a",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_the_line_is_found(tmp_path: Path, name: str) -> None:
    source, changed, keeper, saved = CASES[name]
    told = ended_by(tmp_path, source)
    assert (told["changed"], told["saved_by"], told["saved"]) == (changed, keeper, saved)
    assert (told["step"], told["certain"], told["likely"]) == (False, False, True)


def test_the_step_of_the_other_net_is_found(tmp_path: Path) -> None:
    told = ended_by(tmp_path, """
        G, D = nn.Linear(2, 3), nn.Linear(3, 1)
        of_g, of_d = torch.optim.Adam(G.parameters()), torch.optim.Adam(D.parameters())
        schedule = torch.optim.lr_scheduler.ConstantLR(of_d)
        judged = D(torch.relu(G(torch.ones(4, 2))))
        judged.mean().backward(retain_graph=True)
        of_d.step()
        schedule.step()
        loss = -judged.mean()
        loss.backward()
        of_g.step()
        """)  # fmt: skip
    assert (told["changed"], told["step"]) == (["of_d.step()"], True)


def test_a_parameter_changed_by_hand_is_certain(tmp_path: Path) -> None:
    told = ended_by(tmp_path, """
        w = torch.ones(3, requires_grad=True)
        w -= 0.1
        """)  # fmt: skip
    assert (told["changed"], told["certain"]) == (["w -= 0.1"], True)


def test_a_change_that_no_line_shows_is_left_open(tmp_path: Path) -> None:
    told = ended_by(tmp_path, """
        w = torch.ones(3, requires_grad=True)
        y = w.expm1()
        getattr(y, "add" + "_")(1)
        y.sum().backward()
        """)  # fmt: skip
    assert (told["shape"], told["made_by"], told["saved_by"]) == ([3], "Expm1", "Expm1")
    assert told["likely"] is False


def test_layers_are_not_run_again_to_ask_what_they_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = ended_by(tmp_path, """
        from torch.utils.checkpoint import checkpoint
        def layer(x):
            print("run")
            return x.exp() * x
        x = torch.ones(3, requires_grad=True)
        h = checkpoint(layer, x.sigmoid(), use_reentrant=False)
        y = h.exp()
        y += 1
        y.sum().backward()
        """)  # fmt: skip
    assert told["changed"] == ["y += 1"]
    assert capsys.readouterr().out == "run\n"


def test_another_error_has_no_such_lines() -> None:
    with pytest.raises(RuntimeError) as raised:
        torch.ones(2) @ torch.ones(3)
    assert "in_place" not in explain(raised.value)
