"""Every file of the folder is a signal that keeps to the contract."""

from __future__ import annotations

import json
import random
import re
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fitwell.discovery import members
from fitwell.watching.details import Details
from fitwell.watching.moments import Backward, Batch, Call, LossCall, ModuleCall, Named, PassEnd, Step
from fitwell.watching.signal import METHODS, Signal
from fitwell.watching.source import Where

SIGNALS: dict[str, Any] = members("fitwell.watching.signals", "SIGNAL")
FACTS_LIMIT = 50_000  # letters
EACH = pytest.mark.parametrize("name", SIGNALS)
HERE = Where("train.py", 3, "train", "loss.backward()")


@EACH
def test_it_is_a_signal(name: str) -> None:
    signal = SIGNALS[name]
    assert isinstance(signal, Signal)
    assert signal.units or hasattr(signal.start(), "facts"), "it records nothing"
    assert all(isinstance(unit, str) for unit in signal.units.values())
    assert all(re.fullmatch(r"[a-z0-9_*]+(/[a-z0-9_*]+)*", each) for each in signal.units), list(signal.units)
    assert signal.cost in ("constant", "parameters", "batch", "activations")
    assert set(signal.parts) <= {"train", "held-out"}
    assert signal.parts


@EACH
def test_its_methods_are_those_that_are_called(name: str) -> None:
    measuring = SIGNALS[name].start()
    own = {each for each in dir(measuring) if not each.startswith("_") and callable(getattr(measuring, each))}
    told = own & set(METHODS)
    assert told, "it is told of nothing"
    assert {each for each in own if each.startswith(("on_", "before_", "after_", "end_"))} <= set(METHODS)
    assert SIGNALS[name].start() is not measuring


def test_no_two_record_the_same() -> None:
    units = [unit for signal in SIGNALS.values() for unit in signal.units]
    assert len(units) == len(set(units))


@dataclass
class World:
    """Everything that a moment may hold: what a program might have, as odd as it may be."""

    model: nn.Module
    input: Any
    output: Any
    target: Any
    loss: Tensor
    optimizer: Any = None
    gradients: list[Tensor | None] | None = None
    parameters: list[Named] = field(default_factory=list)

    def tensors(self) -> Iterator[Tensor]:
        """All of them."""
        things = (
            self.input,
            self.output,
            self.target,
            self.loss,
            self.gradients,
            *self.model.state_dict().values(),
        )
        found = torch.utils._pytree.tree_leaves([*things, *(each.tensor for each in self.parameters)])
        return (thing for thing in found if isinstance(thing, Tensor))


def named(model: nn.Module) -> list[Named]:
    layers = ((path or "model", module) for path, module in model.named_modules())
    return [
        Named(layer, own, parameter)
        for layer, module in layers
        for own, parameter in module.named_parameters(recurse=False)
    ]


def plain(model: nn.Module | None = None, x: Tensor | None = None, backward: bool = True) -> World:
    model = model or nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.BatchNorm1d(8), nn.Linear(8, 3))
    x = torch.randn(16, 4) if x is None else x
    output = model(x)
    target = torch.randint(0, 3, (len(x),))
    loss = F.cross_entropy(output.float(), target)
    if backward:
        loss.backward()
    parameters = named(model)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    return World(model, x, output, target, loss, optimizer, [p.tensor.grad for p in parameters], parameters)


def half() -> World:
    return plain(
        nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3)).bfloat16(), torch.randn(16, 4).bfloat16()
    )


def complex_numbers() -> World:
    weight = nn.Parameter(torch.randn(4, 3, dtype=torch.complex64))
    model = nn.Module()
    model.register_parameter("weight", weight)
    x = torch.randn(16, 4, dtype=torch.complex64)
    loss = (x @ weight).abs().sum()
    loss.backward()
    target = torch.zeros(16, dtype=torch.int64)
    return World(
        model, x, x @ weight, target, loss, torch.optim.SGD([weight], 0.1), [weight.grad], named(model)
    )


def empty_batch() -> World:
    world = plain(nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3)), torch.randn(0, 4))
    assert world.loss.isnan()
    return world


def one_sample() -> World:
    return plain(nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3)), torch.randn(1, 4))


def not_finite() -> World:
    world = plain(x=torch.full((16, 4), torch.nan))
    assert world.gradients is not None
    return world


def no_gradients() -> World:
    world = plain(backward=False)
    world.gradients = [None] * len(world.parameters)
    return world


def no_parameters() -> World:
    x = torch.randn(4, 3)
    return World(nn.ReLU(), x, x.relu(), torch.zeros(4, dtype=torch.int64), x.mean(), None, [], [])


def sparse() -> World:
    model = nn.Sequential(nn.Embedding(50, 4, sparse=True), nn.Flatten(), nn.Linear(8, 3))
    return plain(model, torch.randint(0, 50, (16, 2)))


def empty_parameter() -> World:
    world = plain()
    nothing = nn.Parameter(torch.zeros(0, 3))
    world.parameters.append(Named("nothing", "weight", nothing))
    assert world.gradients is not None
    world.gradients.append(torch.zeros(0, 3))
    return world


def scalars() -> World:
    weight = nn.Parameter(torch.tensor(2.0))
    model = nn.Module()
    model.register_parameter("weight", weight)
    x = torch.tensor(3.0)
    loss = F.mse_loss(weight * x, torch.tensor(1.0))
    loss.backward()
    optimizer = torch.optim.SGD([weight], 0.1)
    return World(model, x, weight * x, torch.tensor(1.0), loss, optimizer, [weight.grad], named(model))


def tuples_and_none() -> World:
    model = nn.LSTM(4, 3, batch_first=True)
    x = torch.randn(5, 6, 4)
    output = model(x)
    loss = F.cross_entropy(output[0].flatten(0, 1), torch.randint(0, 3, (30,)))
    loss.backward()
    parameters = named(model)
    optimizer = torch.optim.Adam(model.parameters())
    gradients = [parameter.grad for parameter in model.parameters()]
    return World(model, (x, None), output, None, loss, optimizer, gradients, parameters)


def dictionaries() -> World:
    world = plain()
    world.input = {"x": world.input, "name": "a", "none": None}
    world.output = {"logits": world.output, "loss": world.loss}
    return world


def integers() -> World:
    world = plain()
    world.output = torch.arange(12).view(4, 3)
    world.target = torch.rand(4, 3) > 0.5
    return world


def on_meta() -> World:
    model = nn.Linear(4, 3, device="meta")
    x = torch.randn(16, 4, device="meta")
    output = model(x)
    loss = output.sum()
    loss.backward()
    gradients = [parameter.grad for parameter in model.parameters()]
    target = torch.zeros(16, dtype=torch.int64, device="meta")
    return World(model, x, output, target, loss, torch.optim.SGD(model.parameters()), gradients, named(model))


def images() -> World:
    model = nn.Sequential(
        nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(6, 3),
    )  # fmt: skip
    return plain(model, torch.randn(4, 3, 40, 40))


def quantized() -> World:
    world = plain()
    world.input = torch.quantize_per_tensor(torch.randn(4, 4), 0.1, 0, torch.qint8)
    return world


WORLDS: list[Callable[[], World]] = [
    plain, half, complex_numbers, empty_batch, one_sample, not_finite, no_gradients, no_parameters, sparse,
    empty_parameter, scalars, tuples_and_none, dictionaries, integers, on_meta, images, quantized,
]  # fmt: skip
QUIET = pytest.mark.filterwarnings("ignore:.*quantize:UserWarning", "ignore:.*TypedStorage:UserWarning")
ODD = pytest.mark.parametrize("world", WORLDS, ids=lambda world: world.__name__)


def sgd() -> torch.optim.Optimizer:
    return torch.optim.SGD([nn.Parameter(torch.ones(1))], 0.1)


def moments(world: World, number: int = 1, part: str = "train") -> Iterator[tuple[str, Any]]:
    """A step from its first line to its last, as the watcher tells of it."""
    yield from looking(world, part)
    yield from stepping(world, number, part)


def looking(world: World, part: str) -> Iterator[tuple[str, Any]]:
    optimizer, model = world.optimizer, world.model
    inputs = world.input if isinstance(world.input, tuple) else (world.input,)
    yield "on_batch", Batch((world.input, world.target), part, 0.01)
    yield "on_batch", Batch(None, part, 0.0)
    yield "on_batch", Batch(world.input, part, 0.0)
    yield "on_call", Call("zero_grad", optimizer, None, HERE)
    yield "on_call", Call("train", model, None, None)
    before = None
    for module in reversed(list(model.modules())):
        call = ModuleCall(module, inputs, world.output, part, int(module is not model), before)
        yield "on_module", call
        call.before = None
        before = call if call.is_layer else before
    yield "on_module", ModuleCall(model, (), None, part, 0, None)
    for function in ("cross_entropy", "mse_loss", "binary_cross_entropy_with_logits", "ctc_loss"):
        arguments = {"input": world.output, "target": world.target, "reduction": "mean", "weight": None}
        if isinstance(world.output, Tensor):
            yield "on_loss", LossCall(function, world.loss, world.output, world.target, arguments, part, HERE)


def stepping(world: World, number: int, part: str) -> Iterator[tuple[str, Any]]:
    optimizer = world.optimizer
    modules = {id(module): name or "model" for name, module in world.model.named_modules()}
    parameters = [each.tensor for each in world.parameters]
    backward = Backward([world.loss], number == 1, parameters, HERE)
    yield "on_backward", backward
    yield "on_call", Call("backward", None, None, HERE)
    yield "after_backward", backward
    yield "on_call", Call("clip", parameters, torch.tensor(1.0), HERE)
    yield "on_call", Call("clip", iter(parameters), None, HERE)
    yield "on_call", Call("unscale", torch.amp.GradScaler("cpu"), None, None)
    gradients = world.gradients or [None] * len(parameters)
    for method in ("before_step", "after_step"):
        yield method, Step("model", number, optimizer, world.parameters, gradients, modules, False, 0.1, 0.5)
    yield "on_call", Call("step", optimizer, None, HERE)
    yield "on_call", Call("scheduler", torch.optim.lr_scheduler.ReduceLROnPlateau(sgd()), None, HERE)
    yield "end_of_pass", PassEnd("train", "model")
    yield "end_of_pass", PassEnd("val", "model")


def tell(measuring: Any, world: World, steps: int = 3) -> Iterator[Any]:
    with torch.no_grad():
        for number in range(1, steps + 1):
            for method, moment in moments(world, number, "val" if number == 2 else "train"):
                if hasattr(measuring, method):
                    getattr(measuring, method)(moment)
                    yield moment


@QUIET
@EACH
@ODD
def test_it_survives_whatever_a_program_does(name: str, world: Callable[[], World]) -> None:
    signal, found = SIGNALS[name], world()
    measuring = signal.start()
    for moment in tell(measuring, found):
        recorded = list(getattr(moment, "signals", {}))
        recorded += [each for column in getattr(moment, "columns", []) for each in column.names]
        for each in recorded:
            pattern = re.sub(r"^layer/.*/", "layer/*/", each)
            assert pattern in signal.units or each in signal.units, f"{each} is recorded without a unit"
        for column in getattr(moment, "columns", []):
            assert not column.values.requires_grad  # type: ignore[attr-defined]
            if found.loss.device.type != "meta":
                column.values.tolist()
        for value in getattr(moment, "signals", {}).values():
            if not (isinstance(value, Tensor) and value.device.type == "meta"):
                float(value)


@QUIET
@EACH
@pytest.mark.parametrize(
    "world", [each for each in WORLDS if each is not on_meta], ids=lambda world: world.__name__
)
def test_its_facts_are_small_json(name: str, world: Callable[[], World]) -> None:
    measuring = SIGNALS[name].start()
    facts = getattr(measuring, "facts", lambda: None)
    assert not facts() or json.dumps(facts())
    list(tell(measuring, world(), steps=5))
    assert len(json.dumps(facts())) < FACTS_LIMIT


@QUIET
@EACH
@ODD
def test_it_changes_nothing_and_draws_nothing(name: str, world: Callable[[], World]) -> None:
    found = world()
    tensors = [tensor for tensor in found.tensors() if tensor.device.type != "meta"]

    def state() -> Any:
        content = [(t._version, t.detach().clone(), t.requires_grad) for t in tensors]
        return content, torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()  # type: ignore[index]

    before = state()
    list(tell(SIGNALS[name].start(), found))
    after = state()
    for (version, content, *rest), (version_after, content_after, *rest_after) in zip(
        before[0], after[0], strict=True
    ):
        assert (version, rest) == (version_after, rest_after)
        assert same(content, content_after)
    assert torch.equal(before[1], after[1])
    assert np.array_equal(before[2], after[2])
    assert before[3] == after[3]


def same(one: Tensor, other: Tensor) -> bool:
    if one.is_quantized:
        one, other = one.int_repr(), other.int_repr()
    if one.is_sparse:
        one, other = one.to_dense(), other.to_dense()
    if one.is_floating_point() or one.is_complex():
        return torch.equal(one.nan_to_num(7.0), other.nan_to_num(7.0))
    return torch.equal(one, other)


@QUIET
@EACH
@ODD
def test_it_keeps_nothing_of_the_program(name: str, world: Callable[[], World]) -> None:
    measuring = SIGNALS[name].start()
    found = world()
    things = [*found.tensors(), found.model, *found.model.modules()]
    references = [weakref.ref(thing) for thing in things]
    if found.optimizer is not None:
        references.append(weakref.ref(found.optimizer))
    list(tell(measuring, found))
    del things, found
    kept = [reference() for reference in references]
    assert [type(thing).__name__ for thing in kept if thing is not None] == []


def test_one_that_fails_does_not_stop_the_others() -> None:
    details = Details()
    world = plain()

    def fail(_: Any) -> None:
        raise RuntimeError("no")

    for listeners in details._told.values():
        listeners.insert(0, ("loss", fail))
    with torch.no_grad():
        for number in range(1, 4):
            for method, moment in moments(world, number):
                details.tell(method, moment)
                if method == "after_step":
                    recorded = moment.signals
    assert details.dropped == {"loss": "RuntimeError: no"}
    assert "lr" in recorded
    assert "loss/batch" not in recorded
