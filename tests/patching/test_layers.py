import pytest

from fitwell.patch import Code
from fitwell.patching.layers import (
    after,
    before,
    drop,
    hidden_activations,
    inputs,
    items,
    last_with,
    layer,
    module_of,
    outputs,
)

SEQUENCE = "m = nn.Sequential(nn.Linear(8, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 3), nn.Sigmoid())\n"
NET = """\
class Net(nn.Module):
    def __init__(self):
        self.body = nn.Sequential(OrderedDict([("first", nn.Linear(4, 8)), ("act", nn.ReLU())]))
        self.parts = nn.ModuleList([nn.Conv1d(4, 5, 3), nn.BatchNorm1d(5)])
        self.head = nn.Linear(8, 3)
"""


@pytest.mark.parametrize(
    ("name", "made"),
    [
        ("self.head", "nn.Linear(8, 3)"),
        ("model.module.head", "nn.Linear(8, 3)"),
        ("self.parts.0", "nn.Conv1d(4, 5, 3)"),
        ("self.body.first", "nn.Linear(4, 8)"),
        ("self.parts.7", None),
    ],
)
def test_a_layer_is_found_by_its_name_in_a_run(name: str, made: str | None) -> None:
    code = Code(NET)
    found = layer(code, name)
    assert (None if found is None else code.segment(found)) == made


@pytest.mark.parametrize(
    ("text", "sizes"),
    [
        ("nn.Linear(4, 8)\n", ("4", "8")),
        ("nn.ConvTranspose2d(in_channels=3, out_channels=5, kernel_size=3)\n", ("3", "5")),
        ("nn.BatchNorm3d(7)\n", ("7", None)),
        ("nn.LSTM(2, hidden_size=6)\n", ("2", "6")),
        ("nn.ReLU(True)\n", (None, None)),
    ],
)
def test_what_a_layer_takes_and_gives(text: str, sizes: tuple[str | None, str | None]) -> None:
    code = Code(text)
    (call,) = code.calls()
    found = [inputs(call), outputs(call)]
    assert tuple(None if node is None else code.segment(node) for node in found) == sizes


def test_the_layer_that_gives_the_answers_is_the_last_of_that_size() -> None:
    code = Code(NET)
    found = last_with(code, 3)
    assert found is not None
    assert code.segment(found) == "nn.Linear(8, 3)"
    assert last_with(code, 99) is None


@pytest.mark.parametrize(
    ("text", "without"),
    [
        ("m = nn.Sequential(a(), b(), c())\n", "m = nn.Sequential(a(), c())\n"),
        ("m = [\n    a(),\n    b(),\n]\n", "m = [\n    a(),\n]\n"),
        ('m = OrderedDict([("x", a()), ("y", b())])\n', 'm = OrderedDict([("x", a())])\n'),
    ],
)
def test_an_item_of_a_list_is_dropped(text: str, without: str) -> None:
    code = Code(text)
    listed = items(code.tree.body[0].value)  # type: ignore[attr-defined]
    assert code.segment(module_of(listed[1])) == "b()"
    assert code.edited([drop(code, listed[1], listed)]) == without


def test_hidden_activations_have_layers_on_both_sides() -> None:
    code = Code(SEQUENCE + "n = nn.Sequential(nn.ReLU(), nn.Linear(2, 2), nn.ReLU())\n")
    assert [(code.segment(a), code.segment(b)) for a, b in hidden_activations(code)] == [
        ("nn.Linear(8, 4)", "nn.ReLU()")
    ]


def test_a_further_layer_gets_a_line_where_others_have() -> None:
    code = Code("m = nn.Sequential(\n    a(),\n    b(),\n)\n")
    (a,) = code.calls("a")
    assert code.edited([before(code, a, "c()")]) == "m = nn.Sequential(\n    c(),\n    a(),\n    b(),\n)\n"
    assert code.edited([after(code, a, "c()")]) == "m = nn.Sequential(\n    a(),\n    c(),\n    b(),\n)\n"
    code = Code("m = nn.Sequential(a(), b())\n")
    (a,) = code.calls("a")
    assert code.edited([before(code, a, "c()")]) == "m = nn.Sequential(c(), a(), b())\n"
