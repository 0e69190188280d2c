"""What programs do that is no plain training: transforms, traces, modes, exceptions. Nothing of it is disturbed."""

from __future__ import annotations

import gc
import re
import warnings
import weakref
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from fitwell.watching.watcher import Watcher

SHARES = pytest.mark.parametrize("share", [1.0, 1e-9], ids=["whole", "seldom"])


class Program:
    """A small training."""

    def __init__(self, model: nn.Module | None = None) -> None:
        torch.manual_seed(0)
        self.x, self.y = torch.randn(32, 4), torch.randint(0, 3, (32,))
        self.model = model or nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
        self.optimizer = torch.optim.SGD(self.model.parameters(), 0.1)

    def loss(self) -> Tensor:
        return F.cross_entropy(self.model(self.x), self.y)

    def step(self, loss: Tensor | None = None) -> None:
        loss = self.loss() if loss is None else loss
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()

    def weights(self) -> Tensor:
        return torch.cat([p.detach().flatten() for p in self.model.parameters()])


class WithLoss(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 3)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return F.cross_entropy(self.layer(x), y)


def trace(model: nn.Module, x: Tensor, y: Tensor) -> str:
    return plain(torch.jit.trace(model, (x, y)).graph)  # type: ignore[no-untyped-call]


def script(model: nn.Module, x: Tensor, y: Tensor) -> str:
    return plain(torch.jit.script(model).graph)


def plain(graph: Any) -> str:
    return re.sub(r"___torch_mangle_\d+\.", "", str(graph))


def symbolic_trace(model: nn.Module, x: Tensor, y: Tensor) -> str:
    return torch.fx.symbolic_trace(model).code


def export(model: nn.Module, x: Tensor, y: Tensor) -> str:
    return str(torch.export.export(model, (x, y)).graph)


def make_fx(model: nn.Module, x: Tensor, y: Tensor) -> str:
    from torch.fx.experimental.proxy_tensor import make_fx

    return make_fx(model)(x, y).code


@SHARES
@pytest.mark.parametrize(
    "way", [trace, script, symbolic_trace, export, make_fx], ids=lambda way: way.__name__
)
def test_a_graph_of_the_model_is_the_same(way: Callable[..., str], share: float, watched: Any) -> None:
    program = Program(WithLoss())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        before = way(program.model, program.x, program.y)
        found = []
        with watched(share) as record:
            for number in range(12):
                program.step(program.model(program.x, program.y))
                if number in (1, 7, 10):
                    found.append(way(program.model, program.x, program.y))
    assert found == [before] * 3
    assert record.facts["threads"][0]["steps"] == 12


class Operators(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.seen.append(str(function))
        return function(*args, **(kwargs or {}))


@SHARES
def test_a_mode_of_the_program_sees_the_program_alone(share: float, watched: Any) -> None:
    def run() -> list[str]:
        program = Program()
        with Operators() as active:
            for _ in range(9):
                program.step()
        return active.seen

    alone = run()
    with watched(share):
        assert run() == alone


@SHARES
def test_floating_point_operations_are_counted_as_without(share: float, watched: Any) -> None:
    def count(program: Program) -> int:
        with FlopCounterMode(display=False) as counter:
            program.step()
        return int(counter.get_total_flops())

    alone = count(Program())
    program = Program()
    with watched(share):
        for _ in range(3):
            program.step()
        assert count(program) == alone
        for _ in range(9):
            program.step()
        assert count(program) == alone


@SHARES
def test_function_transforms(share: float, watched: Any) -> None:
    from torch.func import functional_call, grad, jacrev, vmap

    def run() -> list[Tensor]:
        program = Program()
        found = []
        for _ in range(10):
            program.step()
            weights = {name: p.detach() for name, p in program.model.named_parameters()}

            def loss(weights: Any, x: Tensor, y: Tensor, model: nn.Module = program.model) -> Tensor:
                return F.cross_entropy(functional_call(model, weights, (x[None],)), y[None])

            found.extend(vmap(grad(loss), (None, 0, 0))(weights, program.x, program.y).values())
            found.append(jacrev(program.model)(program.x[0]))
            found.append(vmap(program.model)(program.x))
        return found

    alone = run()
    with watched(share) as record:
        found = run()
    assert all(torch.equal(one, other) for one, other in zip(alone, found, strict=True))
    (thread,) = record.facts["threads"]
    assert thread["steps"] == 10
    assert not record.values("loss/val")


@SHARES
def test_torch_compile(share: float, tmp_path: Any) -> None:
    def run() -> Tensor:
        program = Program()
        compiled = torch.compile(program.model, backend="eager")
        for _ in range(8):
            program.step(F.cross_entropy(compiled(program.x), program.y))
        return program.weights()

    alone = run()
    torch._dynamo.reset()
    watcher = Watcher(tmp_path, share)
    watcher.attach()
    try:
        watched = run()
    finally:
        watcher.detach()
    assert torch.equal(alone, watched)
    assert list(watcher.unseen) == ["modules"]
    assert [thread.steps for thread in watcher.threads.all] == [8]


def test_a_profile_shows_nothing_of_ours(watched: Any) -> None:
    program = Program()
    with watched() as record:
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
            for _ in range(3):
                program.step()
        for _ in range(30):
            program.step()
    counts = {event.key: event.count for event in profile.key_averages()}
    assert counts["aten::linear"] == 6
    assert "aten::_foreach_norm" not in counts
    assert record.facts["threads"][0]["steps"] == 33
    assert record.values("loss/batch")


@SHARES
def test_inference_mode_and_autocast(share: float, watched: Any) -> None:
    program, hand = Program(), []
    with watched(share) as record:
        for _ in range(10):
            with torch.autocast("cpu", dtype=torch.bfloat16):
                loss = F.cross_entropy(program.model(program.x), program.y)
            program.step(loss)
            with torch.inference_mode():
                hand.append(F.cross_entropy(program.model(program.x + 1), program.y.clone()).item())
    assert record.values("loss/val") == pytest.approx(hand, rel=1e-5)


@SHARES
def test_a_backward_that_fails_is_no_step(share: float, watched: Any) -> None:
    class Fails(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Tensor:
            return x.clone()

        @staticmethod
        def backward(ctx: Any, gradient: Tensor) -> Tensor:  # type: ignore[override]
            raise MemoryError("no room")

    program, failed = Program(), 0
    with watched(share) as record:
        for number in range(20):
            loss = program.loss()
            try:
                program.step(Fails.apply(loss) if number % 4 == 3 else loss)  # type: ignore[no-untyped-call]
            except MemoryError:
                failed += 1
    assert failed == 5
    assert record.facts["threads"][0]["steps"] == 15


@SHARES
def test_nothing_of_the_program_is_kept_after_a_step(share: float, watched: Any) -> None:
    program = Program()

    def step() -> list[weakref.ref[Any]]:
        x, y = program.x.clone(), program.y.clone()
        output = program.model(x)
        loss = F.cross_entropy(output, y)
        program.step(loss)
        gradients = [parameter.grad for parameter in program.model.parameters()]
        references = [weakref.ref(thing) for thing in (x, y, output, loss, *gradients)]
        program.optimizer.zero_grad(set_to_none=True)
        return references

    with watched(share):
        for _ in range(12):
            references = step()
            kept = [reference() for reference in references if reference() is not None]
            assert not kept
            del kept


@SHARES
def test_a_model_that_the_program_gives_up_is_gone(share: float, watched: Any) -> None:
    with watched(share):
        for _ in range(3):
            program = Program()
            for _ in range(7):
                program.step()
            references = [weakref.ref(program.model), weakref.ref(program.model[0].weight)]  # type: ignore[index]
            del program
            gc.collect()
            assert [reference() for reference in references] == [None, None]


@SHARES
def test_a_module_that_is_scripted_or_shared_or_nested(share: float, watched: Any) -> None:
    shared = nn.Linear(4, 4)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        scripted = torch.jit.script(nn.Sequential(nn.Linear(4, 4), nn.ReLU()))
    program = Program(nn.Sequential(shared, nn.Sequential(shared, scripted), nn.Linear(4, 3)))
    with watched(share) as record:
        for _ in range(10):
            program.step()
    assert record.facts["threads"][0]["steps"] == 10
    assert record.facts["threads"][0]["models"] == ["model"]
