import ast

import pytest

from fitwell.patch import Code
from fitwell.patching.expressions import alike, beside, enclosed, instead, operand, renamed, wrapped


def value(code: Code) -> ast.expr:
    return code.tree.body[-1].value  # type: ignore[attr-defined,no-any-return]


@pytest.mark.parametrize(
    ("text", "whole"), [("f(x)", "f(x)"), ("a[0].b", "a[0].b"), ("a + b", "(a + b)"), ("-a", "(-a)")]
)
def test_an_operand_is_in_parentheses_where_it_needs_them(text: str, whole: str) -> None:
    code = Code(text)
    assert enclosed(code, value(code)) == whole
    assert code.edited([wrapped(code, value(code), "float()")]) == f"{whole}.float()"


@pytest.mark.parametrize(
    ("text", "inner"),
    [("import torch\ntorch.log(a)\n", "a"), ("a.log()\n", "a"), ("import torch\ntorch.log(input=b)\n", "b")],
)
def test_what_a_function_or_a_method_is_applied_to(text: str, inner: str) -> None:
    code = Code(text)
    found = operand(code, code.calls("log")[0])
    assert found is not None
    assert code.segment(found) == inner


def test_a_part_takes_the_place_of_the_whole() -> None:
    code = Code("y = 2 * f(a + b)\n")
    (call,) = code.calls("f")
    assert code.edited([instead(code, call, call.args[0])]) == "y = 2 * (a + b)\n"


@pytest.mark.parametrize(
    ("text", "other"),
    [
        ("nn.Linear(1, 2)\n", "nn.ReLU"),
        ("from torch import nn\nfrom torch.nn import Linear\nLinear(1, 2)\n", "nn.ReLU"),
        ("from torch.nn import Linear\nLinear(1, 2)\n", None),
    ],
)
def test_another_class_is_written_as_the_one_beside_it(text: str, other: str | None) -> None:
    code = Code(text)
    (call,) = code.calls("Linear")
    assert beside(code, call, "ReLU") == other
    edit = renamed(code, call, "torch.nn", "ReLU")
    assert (None if edit is None else edit.text) == other


def test_nothing_is_computed_twice_for_a_shape() -> None:
    code = Code("f(out, y)\nf(net(x), y)\nf(net(x), y + 1)\n")
    edits = [alike(code, *call.args) for call in code.calls("f")]
    assert [None if edit is None else edit.text for edit in edits] == [
        "y.view_as(out)",
        "net(x).view_as(y)",
        None,
    ]
