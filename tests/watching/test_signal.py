"""What a signal says of itself."""

from __future__ import annotations

import pytest

from fitwell.watching.signal import METHODS, STEP_METHODS, Signal


@pytest.mark.parametrize(
    ("cost", "heavy"), [("constant", False), ("parameters", False), ("batch", True), ("activations", True)]
)
def test_what_grows_with_the_batch_is_heavy(cost: str, heavy: bool) -> None:
    assert Signal({}, cost, object).heavy is heavy  # type: ignore[arg-type]


def test_a_signal_is_told_of_training_alone_unless_it_asks_for_more() -> None:
    assert Signal({}, "constant", object).parts == ("train",)
    assert set(STEP_METHODS) < set(METHODS)
    assert len(set(METHODS)) == len(METHODS)
