import pytest

from fitwell.patch import Code
from fitwell.patching.names import free, full_name, is_function, name_of, variables, visible


@pytest.mark.parametrize(
    ("imports", "name"),
    [
        ("import torch", "torch.optim"),
        ("import torch as t", "t.optim"),
        ("import torch.nn.functional as F\nimport torch.optim as o", "o"),
        ("from torch import nn, optim", "optim"),
        ("from torch import optim as O", "O"),
        ("import torch.nn", "torch.optim"),
        ("from torch.optim import SGD", None),
        ("def f():\n    import torch", None),
        ("", None),
    ],
)
def test_a_module_is_called_as_the_program_calls_it(imports: str, name: str | None) -> None:
    assert name_of(Code(imports), "torch.optim") == name


def test_a_free_name_is_not_taken() -> None:
    code = Code("mean = 1\n\ndef f(std):\n    pass\n")
    assert [free(code, name) for name in ("mean", "std", "scale")] == ["mean_", "std_", "scale"]


@pytest.mark.parametrize(
    ("text", "name", "function"),
    [
        ("import torch.nn.functional as F\nF.log(x)\n", "torch.nn.functional.log", True),
        ("def f():\n    from torch import log as ln\n    ln(x)\n", "torch.log", True),
        ("import numpy as np\nnp.log(x)\n", "numpy.log", True),
        ("x.log()\n", "x.log", False),
        ("x.y.log()\n", "x.y.log", False),
    ],
)
def test_functions_are_told_from_methods(text: str, name: str, function: bool) -> None:
    code = Code(text)
    call = code.calls()[0]
    assert full_name(code, call.func) == name
    assert is_function(code, call) is function


def test_a_variable_is_visible_where_it_may_be_used() -> None:
    code = Code("a = 1\ndef f(b, *, c):\n    d = 1\n    here()\ndef g():\n    e = 1\n")
    (here,) = code.calls("here")
    assert [name for name in "abcde" if visible(code, f"{name}.x[0]", here)] == ["a", "b", "c", "d"]
    assert variables(here) == {"here"}
