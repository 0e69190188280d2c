"""Functions are called with other arguments."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest
import torch
from torch import nn

from fitwell.treating.changing.arguments import learns, rewrite
from fitwell.treating.changing.live import Live


@pytest.fixture
def module() -> ModuleType:
    """One that has a function ``f``."""
    module = ModuleType("module")

    def f(a: int, b: int = 2, *rest: int, scale: int = 1, **more: int) -> tuple[Any, ...]:
        return a, b, rest, scale, more

    module.f = f  # type: ignore[attr-defined]
    return module


@pytest.mark.parametrize(
    ("args", "kwargs"),
    [((1,), {}), ((), {"a": 1}), ((1, 7, 8, 9), {"scale": 3, "other": 4}), ((1,), {"b": 5})],
)
def test_arguments_that_are_not_changed_arrive_as_they_were_given(
    live: Live, module: ModuleType, args: tuple[int, ...], kwargs: dict[str, int]
) -> None:
    wanted = module.f(*args, **kwargs)
    rewrite(live, module, "f", lambda _: None)
    assert module.f(*args, **kwargs) == wanted


def test_all_arguments_are_known_by_name_with_their_defaults(live: Live, module: ModuleType) -> None:
    seen: list[dict[str, Any]] = []
    rewrite(live, module, "f", lambda arguments: seen.append(dict(arguments)))
    module.f(1)
    module.f(b=2, a=1)
    assert seen == [{"a": 1, "b": 2, "rest": (), "scale": 1, "more": {}}] * 2


def test_changes_follow_one_another(live: Live, module: ModuleType) -> None:
    rewrite(live, module, "f", lambda arguments: arguments.update(b=arguments["b"] + 1))
    rewrite(live, module, "f", lambda arguments: arguments.update(b=arguments["b"] * 10))
    assert module.f(1)[1] == 21
    live.undo()
    assert module.f(1)[1] == 2


def test_wrong_calls_fail_as_ever(live: Live, module: ModuleType) -> None:
    rewrite(live, module, "f", lambda arguments: arguments.update(a=0))
    with pytest.raises(TypeError, match=r"f\(\) missing 1 required positional argument: 'a'"):
        module.f()


def test_a_loss_is_trained_on_where_there_are_gradients() -> None:
    x = torch.zeros(1)
    prediction = nn.Linear(1, 1)(x)
    assert learns(prediction)
    assert not learns(prediction.detach())
    assert not learns([prediction])
    with torch.no_grad():
        assert not learns(prediction)
