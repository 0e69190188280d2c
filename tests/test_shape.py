"""Shapes: outputs of a target, and JSON both ways."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fitwell.shape import Input, Shape, Target

SIZES = st.lists(st.integers(0, 10**6), max_size=4).map(tuple)
FLOATS = st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=3).map(tuple)
INPUTS = st.builds(Input, kind=st.text(max_size=5), shape=SIZES, levels=SIZES, mean=FLOATS, std=FLOATS)
TARGETS = st.builds(
    Target,
    kind=st.sampled_from(["classes", "binary", "number", "none"]),
    names=st.lists(st.text(max_size=5), max_size=3).map(tuple),
    mean=FLOATS,
    std=FLOATS,
)


@pytest.mark.parametrize(
    ("kind", "names", "outputs"),
    [
        ("classes", ("a", "b", "c"), 3), ("binary", ("no", "yes"), 1), ("number", ("price",), 1),
        ("number", ("x", "y"), 2), ("none", (), 0),
    ],
)  # fmt: skip
def test_a_model_has_as_many_outputs_as_its_target_needs(kind, names, outputs: int) -> None:
    assert Target(kind=kind, names=names).outputs == outputs


@given(st.dictionaries(st.text(max_size=5), INPUTS, max_size=3), TARGETS)
def test_a_shape_comes_back_from_json(inputs: dict[str, Input], target: Target) -> None:
    shape = Shape(inputs=inputs, target=target)
    assert Shape.from_dict(json.loads(json.dumps(shape.to_dict()))) == shape


def test_an_unknown_kind_of_target_is_refused() -> None:
    with pytest.raises(ValueError, match="kind"):
        Shape.from_dict({"inputs": {}, "target": {"kind": "colour"}})
