"""The next evaluation is expected as long after the last one as that came after the one before."""

from __future__ import annotations

from fitwell.watching.awaited import Awaited
from fitwell.watching.threads import Thread


def test_an_evaluation_is_expected_once_and_of_its_own_thread() -> None:
    thread, other = Thread("net", 0, [], steps=30), Thread("other", 1, [], steps=60)
    awaited = Awaited()
    assert awaited.steps(thread, 100) == 100
    awaited.late(None)
    awaited.late(thread)
    thread.steps = 50
    assert (awaited.steps(thread, 100), awaited.steps(thread, 3), awaited.steps(other, 100)) == (10, 3, 100)
    thread.steps = 60
    assert not awaited.due(other)
    assert awaited.due(thread)
    assert not awaited.due(thread)
