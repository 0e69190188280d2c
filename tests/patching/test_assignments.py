import re

import pytest

from fitwell.patch import Code
from fitwell.patching.assignments import assigned, assignments, made, made_by


@pytest.mark.parametrize(
    ("text", "pairs"),
    [
        ("a = b = 1\n", ["a=1", "b=1"]),
        ("a, (b, c) = 1, f()\n", ["a=1", "b=f()", "c=f()"]),
        ("a, b = f()\n", ["a=f()", "b=f()"]),
        ("self.a: int = 1\nb: int\n", ["self.a=1"]),
    ],
)
def test_each_target_with_its_value(text: str, pairs: list[str]) -> None:
    code = Code(text)
    found = [f"{code.segment(target)}={code.segment(value)}" for _, target, value in assignments(code)]
    assert found == pairs


def test_what_is_assigned_to_a_name() -> None:
    code = Code("self.net = Net()\nnet = 1\nopt = torch.optim.SGD(p)\nx[0] = SGD(q)\n")
    assert [code.segment(value) for _, value in assigned(code, "net")] == ["Net()", "1"]
    assert [code.segment(call) for call in made(code, "net")] == ["Net()"]
    assert list(made_by(code, re.compile("^SGD$"))) == ["opt"]
