"""What ended a program: the line of its own that did it, and the tensors in it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from fitwell.watching import failure
from fitwell.watching.failure import LONGEST_MESSAGE, MOST_OPERANDS, explain, failure_of


def explained(program: Callable[[], Any]) -> dict[str, Any]:
    try:
        program()
    except BaseException as error:
        found = explain(error)
        assert json.loads(json.dumps(found)) == found
        return found
    raise AssertionError("it does not fail")


def operand(found: dict[str, Any], name: str) -> dict[str, Any]:
    (same,) = [operand for operand in found["operands"] if operand["name"] == name]
    return same


class Net(nn.Module):
    def __init__(self, size: int = 4) -> None:
        super().__init__()
        self.hidden = nn.Linear(size, 8)
        self.register_buffer("scale", torch.ones(3))

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.hidden(x))


def test_a_layer_of_another_size() -> None:
    net = Net()
    found = explained(lambda: net(torch.ones(3, 5)))
    assert found["type"] == "RuntimeError"
    assert "(3x5 and 4x8)" in found["message"]
    assert found["where"]["text"] == "return torch.relu(self.hidden(x))"
    assert found["where"]["function"] == "Net.forward"
    assert found["where"]["file"] == __file__
    assert operand(found, "x") == {"name": "x", "shape": [3, 5], "dtype": "torch.float32", "device": "cpu"}
    assert operand(found, "self.hidden")["parameters"] == {"weight": [8, 4], "bias": [8]}
    assert operand(found, "self.hidden")["class"] == "Linear"
    assert operand(found, "self.hidden.weight")["shape"] == [8, 4]


def test_a_label_that_is_no_class() -> None:
    logits, labels = torch.zeros(3, 5), torch.tensor([1, 2, 9])

    def train() -> None:
        F.cross_entropy(
            logits,
            labels,
        )

    found = explained(train)
    assert found["where"]["text"] == "F.cross_entropy("
    assert operand(found, "logits")["shape"] == [3, 5]
    assert operand(found, "labels")["dtype"] == "torch.int64"


def test_another_dtype() -> None:
    a, b = torch.ones(2, 2), torch.ones(2, 2, dtype=torch.float64)
    found = explained(lambda: [torch.mm(a, each) for each in (a, b)])
    assert "torch.mm(a, each) for each in (a, b)" in found["where"]["text"]
    assert {each["dtype"] for each in found["operands"]} == {"torch.float32", "torch.float64"}


def test_what_was_changed_in_place() -> None:
    def train() -> None:
        w = torch.ones(3, requires_grad=True)
        loss = w.exp()
        loss += 1
        loss.sum().backward()

    found = explained(train)
    assert "inplace" in found["message"]
    assert found["where"]["text"] == "loss.sum().backward()"
    assert operand(found, "loss")["shape"] == [3]


def test_an_attribute_that_is_missing() -> None:
    net = Net()
    found = explained(lambda: net.hidden.wieght)
    assert found["type"] == "AttributeError"
    assert found["where"]["text"] == "found = explained(lambda: net.hidden.wieght)"
    assert operand(found, "net.hidden")["class"] == "Linear"


class Broken(Dataset[Tensor]):
    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> Tensor:
        return torch.ones(2) @ torch.ones(3)


def test_in_a_worker_it_is_the_line_of_the_dataset() -> None:
    pytest.importorskip("fcntl", reason="workers are forked")
    found = explained(lambda: list(DataLoader(Broken(), num_workers=1)))
    assert "DataLoader worker process 0" in found["message"]
    assert found["where"]["text"] == "return torch.ones(2) @ torch.ones(3)"
    assert found["where"]["function"] == "__getitem__"
    assert found["where"]["file"] == __file__


def test_deep_in_a_library() -> None:
    net = Net()
    found = explained(lambda: net.load_state_dict({"hidden.weight": torch.ones(1)}))
    assert found["type"] == "RuntimeError"
    assert "net.load_state_dict" in found["where"]["text"]
    assert operand(found, "net")["class"] == "Net"
    found = explained(lambda: nn.ModuleDict({"a": net})["b"])
    assert (found["type"], found["message"]) == ("KeyError", "'b'")
    assert found["where"]["text"].startswith("found = explained(lambda: nn.ModuleDict")


def test_in_the_making_of_a_module() -> None:
    class Outer(nn.Module):
        def __init__(self) -> None:
            self.net = Net()

    found = explained(Outer)
    assert found["where"]["text"] == "self.net = Net()"
    assert found["where"]["function"].endswith("Outer.__init__")


def test_a_syntax_error_is_where_it_stands(tmp_path) -> None:
    path = tmp_path / "part.py"
    found = explained(lambda: compile("x = 1\ndef f(:\n", str(path), "exec"))
    assert found["where"] == {"file": str(path), "line": 2, "function": "<module>", "text": "def f(:"}
    found = explained(lambda: eval("1 +"))
    assert found["where"]["text"] == 'found = explained(lambda: eval("1 +"))'


def test_a_chain_is_explained_by_its_end() -> None:
    def chained() -> None:
        try:
            torch.ones(2) @ torch.ones(3)
        except RuntimeError as error:
            raise ValueError("sizes") from error

    assert explained(chained)["where"]["text"] == 'raise ValueError("sizes") from error'


def test_nothing_of_the_program_is_run() -> None:
    class Proxy:
        def __getattribute__(self, name: str) -> Any:
            calls.append(name)
            raise KeyError(name)

    class Lazy(nn.Module):
        @property
        def size(self) -> int:
            calls.append("size")
            return 1

    class Logged(Tensor):
        @classmethod
        def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            calls.append(str(func))
            return super().__torch_function__(func, types, args, kwargs)

    calls: list[str] = []
    proxy, lazy, logged = Proxy(), Lazy(), torch.ones(2).as_subclass(Logged)
    text = "none"
    found = explained(lambda: int(text or (proxy.shape, lazy.size, logged, lazy)))
    assert operand(found, "logged")["shape"] == [2]
    assert operand(found, "lazy")["class"] == "Lazy"
    assert calls == []


def test_a_lazy_layer_has_no_shape_yet() -> None:
    layer = nn.LazyLinear(3)
    found = explained(lambda: layer(None))
    assert operand(found, "layer")["parameters"] == {"weight": None, "bias": None}


def test_a_message_that_fails_or_does_not_end() -> None:
    class Silent(Exception):  # noqa: N818
        def __str__(self) -> str:
            raise RuntimeError

    assert explain(Silent()) == {
        "type": "Silent", "message": "<exception str() failed>", "where": None, "operands": [],
    }  # fmt: skip
    assert len(explain(ValueError("x" * 10**6))["message"]) == LONGEST_MESSAGE


def test_there_is_an_end_to_operands() -> None:
    tensors = [torch.ones(1) for _ in range(20)]
    a, b, c, d, e, f, g, h, i, j, k, m, n, o, p, *_ = tensors
    found = explained(lambda: torch.stack([a, b, c, d, e, f, g, h, i, j, k, m, n, o, p], "x"))
    assert len(found["operands"]) == MOST_OPERANDS


def test_a_mistake_of_ours_hides_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(failure, "_cause", lambda *_: 1 / 0)
    assert explained(lambda: int("x"))["type"] == "ValueError"


def test_an_exit_is_a_failure_if_its_code_is_one() -> None:
    assert failure_of(SystemExit()) is None
    assert failure_of(SystemExit(0)) is None
    found = failure_of(SystemExit(2))
    assert found is not None
    assert (found["type"], found["message"]) == ("SystemExit", "2")
    assert failure_of(KeyboardInterrupt()) is not None
