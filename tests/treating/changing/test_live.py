"""A live training: what interventions are built from, and that all of it can be undone."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from fitwell.errors import PlanError
from fitwell.experiment import Change
from fitwell.treating.changing.live import Live, apply, described
from fitwell.watching.probe import Probe


@pytest.fixture(params=[False, True], ids=["rerun", "fork"])
def live(request: pytest.FixtureRequest) -> Iterator[Live]:
    live = Live(forked=request.param)
    yield live
    live.undo()


def test_each_model_once(live: Live) -> None:
    seen: list[nn.Module] = []
    live.models(seen.append)
    model, lazy = nn.Sequential(nn.Linear(2, 2)), nn.LazyLinear(2)
    for _ in range(2):
        model(torch.zeros(1, 2))
        model[0](torch.zeros(1, 2))
        lazy(torch.zeros(1, 2))
        nn.ReLU()(torch.zeros(1))
    assert seen == [model, lazy]


def test_steps(live: Live) -> None:
    steps: list[str] = []
    for name in ("outer", "inner"):
        live.before_step(lambda _, name=name: steps.append(f"+{name}"))
        live.after_step(lambda _, name=name: steps.append(f"-{name}"))
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.1)
    optimizer.step()
    live.undo()
    optimizer.step()
    assert steps == ["+outer", "+inner", "-inner", "-outer"]


def test_names_that_are_bound_already_are_replaced_in_a_fork() -> None:
    bound, live = F.elu, Live(forked=True)
    live.replace(F, "elu", lambda old: lambda x: old(x) + 1)
    live.replace(F, "elu", lambda old: lambda x: old(x) * 2)
    assert bound(torch.zeros(())).item() == 2
    live.undo()
    assert bound(torch.zeros(())).item() == 0


def test_methods_that_are_inherited_are_gone_afterwards(live: Live) -> None:
    live.replace(torch.Tensor, "relu", lambda old: lambda self: old(self) + 1)
    assert torch.zeros(()).relu().item() == 1
    live.undo()
    assert "relu" not in vars(torch.Tensor)


@pytest.mark.parametrize("first", [True, False], ids=["probe first", "probe last"])
def test_probes_see_what_the_function_is_given(first: bool) -> None:
    seen: list[float] = []
    live = Live()

    def probe() -> Probe:
        probe = Probe(F.elu, lambda input, *_: seen.append(input.item()), None)
        probe.arm()
        return probe

    probes = [probe()] if first else []
    live.replace(F, "elu", lambda old: lambda x: old(x + 1))
    probes += [] if first else [probe()]
    F.elu(torch.zeros(()))
    probes[0].disarm()
    live.undo()
    assert seen == [1.0]


def test_unknown_changes_are_refused(live: Live) -> None:
    with pytest.raises(PlanError, match="no intervention 'magic'"):
        apply([Change("magic")], live)


def test_a_change_in_words() -> None:
    assert described(Change("rate", {"factor": 0.1})) == "the learning rate times 0.1"
