"""Which modules run: whole models, whatever ends their calls."""

from __future__ import annotations

import threading
import warnings

import pytest
import torch
from torch import nn

from fitwell.treating.changing.live import Live
from fitwell.treating.changing.running import is_model


def counted(live: Live) -> list[str]:
    calls: list[str] = []
    live.calls(
        lambda module, _: calls.append(f"+{type(module).__name__}"),
        lambda module, _: calls.append(f"-{type(module).__name__}"),
    )
    return calls


class Broken(nn.Module):
    def __init__(self, error: type[BaseException]) -> None:
        super().__init__()
        self.inner, self.error = nn.Linear(2, 2), error

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.inner(x)
        raise self.error


def test_only_calls_of_whole_models_count(live: Live) -> None:
    calls = counted(live)
    nn.Sequential(nn.Linear(2, 2), nn.Sequential(nn.ReLU()))(torch.zeros(1, 2))
    nn.MSELoss()(torch.zeros(1), torch.zeros(1))
    assert calls == ["+Sequential", "-Sequential", "+MSELoss", "-MSELoss"]


def test_a_failed_call_ends_too(live: Live) -> None:
    calls = counted(live)
    with pytest.raises(ValueError):  # noqa: PT011
        nn.Sequential(Broken(ValueError))(torch.zeros(1, 2))
    nn.ReLU()(torch.zeros(1))
    assert calls == ["+Sequential", "-Sequential", "+ReLU", "-ReLU"]


def test_an_interrupted_call_ends_with_the_next(live: Live) -> None:
    calls, model = counted(live), Broken(KeyboardInterrupt)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            model(torch.zeros(1, 2))
    assert calls == ["+Broken", "-Broken", "+Broken"]


def test_a_hook_that_fails_before_ours_does_no_harm(live: Live) -> None:
    calls = counted(live)
    model = nn.Sequential(nn.Linear(2, 2))
    handle = model[0].register_forward_pre_hook(lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        model(torch.zeros(1, 2))
    handle.remove()
    model(torch.zeros(1, 2))
    assert calls == ["+Sequential", "-Sequential"] * 2


def test_wrappers_are_whole_models(live: Live) -> None:
    calls = counted(live)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        nn.DataParallel(nn.Linear(2, 2))(torch.zeros(1, 2))
        compiled = torch.compile(nn.Sequential(nn.Linear(2, 2), nn.ReLU()), backend="eager")
        for _ in range(2):
            compiled(torch.zeros(1, 2)).sum().backward()
    assert calls == ["+DataParallel", "-DataParallel", *["+OptimizedModule", "-OptimizedModule"] * 2]


def test_what_is_computed_again_for_backward_is_no_call(live: Live) -> None:
    from torch.utils.checkpoint import checkpoint

    calls, layer = counted(live), nn.Linear(2, 2)
    checkpoint(layer, torch.ones(1, 2), use_reentrant=False).sum().backward()
    assert calls == ["+Linear", "-Linear"]


def test_inputs_can_be_replaced(live: Live) -> None:
    live.calls(lambda _, inputs: (inputs[0] + 1,))
    assert nn.Sequential(nn.Identity(), nn.Identity())(torch.zeros(1)).item() == 1


class Then(nn.Module):
    """Does something while it runs."""

    def __init__(self, act) -> None:
        super().__init__()
        self.act = act

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.act()
        return x


def test_calls_of_another_thread_within_a_call_are_not_of_whole_models(live: Live) -> None:
    def elsewhere() -> None:
        thread = threading.Thread(target=nn.ReLU(), args=(torch.zeros(1),))
        thread.start()
        thread.join()

    calls = counted(live)
    Then(elsewhere)(torch.zeros(1))
    assert calls == ["+Then", "-Then"]


def test_what_runs_now_is_a_path_from_the_whole_model(live: Live) -> None:
    paths: list[list[nn.Module]] = []
    inner = Then(lambda: paths.append(list(live.running.modules)))
    model = nn.Sequential(nn.ReLU(), nn.Sequential(inner))
    live.calls(None)
    model(torch.zeros(1))
    assert paths == [[model, model[1], inner]]
    assert live.running.modules == []


def test_the_output_is_there_as_long_as_it_is_told(live: Live) -> None:
    seen: list[torch.Tensor] = []
    live.calls(None, lambda *_: seen.append(live.running.output))
    given = nn.Identity()(torch.ones(1))
    assert seen[0] is given
    assert live.running.output is None


def test_the_innermost_module_tells_whether_it_is_trained(live: Live) -> None:
    seen: list[bool] = []
    part = Then(lambda: seen.append(live.running.training))
    model = nn.Sequential(part)
    live.calls(None)
    model(torch.zeros(1))
    part.eval()
    model(torch.zeros(1))
    assert seen == [True, False]
    assert live.running.training
    with torch.no_grad():
        assert not live.running.training


def test_nothing_is_followed_afterwards(live: Live) -> None:
    calls = counted(live)
    live.undo()
    nn.ReLU()(torch.zeros(1))
    assert calls == []


@pytest.mark.parametrize(
    ("module", "wanted"),
    [
        (nn.Linear(1, 1), True),
        (nn.Sequential(nn.Linear(1, 1)), True),
        (nn.ReLU(), False),
        (nn.LazyLinear(1), False),
    ],
)
def test_models_have_parameters_of_known_shape(module: nn.Module, wanted: bool) -> None:
    assert is_model(module) is wanted
