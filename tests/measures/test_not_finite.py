"""Where a NaN came from, in words."""

import math

from fitwell.diagnosis import Example
from fitwell.measures.not_finite import made_by, origins


def test_what_made_it_is_named() -> None:
    assert (
        made_by({"operation": {"operation": "log", "inputs": {"self": [0, 1]}}})
        == "the operation log of 0 to 1"
    )
    module = {"name": "net.0", "class": "Linear", "inputs_finite": True, "parameters_finite": True}
    assert "net.0 (Linear)" in made_by({"module": module})
    assert "too large" in made_by({"module": module | {"parameters_finite": False}})
    assert "head" in made_by({"gradients": ["head"]})
    assert "not watched" in made_by({})


def test_the_step_and_the_line_are_told() -> None:
    where = {"file": "t.py", "line": 3}
    first = {"step": 4, "loss": {"function": "mse_loss", "where": where}}
    seen = Example("", {"signals": {"non_finite": {"first": {"": first}}}}, {"loss/batch": [1.0]}).view
    (found,) = origins(seen) or []
    assert (found["step"], found["where"]) == (4, where)


def test_only_a_loss_counts_and_nothing_seen_is_unknown() -> None:
    assert origins(Example("", {}, {"loss/batch": [1.0]}).view) == []
    assert origins(Example("").view) is None
    (found,) = origins(Example("", {}, {"loss/window": [1.0, math.nan]}).view) or []
    assert found["step"] == 2
