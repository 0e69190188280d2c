import pytest

from fitwell.patch import Code
from fitwell.patching.weights import redrawn, set_in_place, tensors


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("nn.init.constant_(layer.weight, 0.1)\n", [("layer.weight", True, False)]),
        ("layer.bias.data.zero_()\n", [("layer.bias.data", True, True)]),
        ("for p in m.parameters():\n    p.mul_(3)\n", [("p", False, False)]),
        ("p.grad.zero_()\ny = x.fill_(0)\nlosses.mul_(2)\n", []),
    ],
)
def test_what_sets_weights_is_found(text: str, found: list[tuple[str, bool, bool]]) -> None:
    assert [(each.of, each.is_constant, each.is_bias) for each in set_in_place(Code(text))] == found


@pytest.mark.parametrize(
    ("line", "new"),
    [
        ("w = torch.randn(4, n + 1, requires_grad=True)", "w = (torch.randn(4, n + 1) / 4**0.5).requires_grad_()"),
        ("w = nn.Parameter(torch.zeros(4, 2))", "w = nn.Parameter(torch.randn(4, 2) / 4**0.5)"),
        ("w = nn.Parameter(torch.randn(4, 2) / 4**0.5)", None),
        ("w = nn.Parameter(torch.randn(4, 2, device=d) * 9)\nx @ w.t()",
         "w = nn.Parameter(torch.randn(4, 2, device=d) / 2**0.5)\nx @ w.t()"),
    ],
)  # fmt: skip
def test_weights_are_drawn_for_as_many_inputs_as_they_have(line: str, new: str | None) -> None:
    head = "import torch\nfrom torch import nn\n"
    code = Code(head + line)
    (initial,) = tensors(code)
    edit = redrawn(code, initial)
    assert (None if edit is None else code.edited([edit])) == (None if new is None else head + new)
