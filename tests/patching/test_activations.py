import pytest

from fitwell.patch import Code
from fitwell.patching.activations import SOFTMAX, activations, meant, without


@pytest.mark.parametrize(
    ("text", "way", "rest"),
    [
        ("def forward(x):\n    return x.softmax(1)\n", "called", "def forward(x):\n    return x\n"),
        ("m = nn.Sequential(a(), nn.Softmax(1))\n", "item", "m = nn.Sequential(a())\n"),
        ("layers.append(nn.Softmax(1))\n", "added", ""),
    ],
)
def test_the_activation_that_a_model_ends_with_goes(text: str, way: str, rest: str) -> None:
    code = Code(text)
    applied = meant(code, SOFTMAX, None)
    assert applied is not None
    assert applied.way == way
    edit = without(code, applied)
    assert edit is not None
    assert code.edited([edit]) == rest


def test_a_module_that_has_a_name_becomes_one_that_does_nothing() -> None:
    code = Code("self.out = nn.Softmax(1)\n")
    (applied,) = activations(code, SOFTMAX)
    edit = without(code, applied)
    assert edit is not None
    assert code.edited([edit]) == "self.out = nn.Identity()\n"


def test_weights_of_attention_are_not_what_a_model_ends_with() -> None:
    code = Code("class Attention(nn.Module):\n    def forward(self, x):\n        return x.softmax(1)\n")
    assert meant(code, SOFTMAX, None) is None
