"""Every layer holds the contract: stacked, modules do what each of them does alone.

Forward and backward, in training and in evaluation, where members see the same and where each sees its own; all members
and some of them; with widths that differ, whatever pads the narrower ones.
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from fitwell.discovery import members
from fitwell.tuning.populations.stacking import Layer, stack
from fitwell.tuning.populations.stacking.chain import Chain
from fitwell.tuning.populations.stacking.rows import Rows

sys.path.insert(0, str(Path(__file__).parent))
from examples_of_layers import EXAMPLES, MEMBERS, Example

LAYERS: dict[str, Layer] = members("fitwell.tuning.populations.stacking.layers", "LAYER")
K, B = MEMBERS, 6
PADDING = 0.5  # anything but zero: what pads a narrower member must not count


def test_every_kind_has_an_example() -> None:
    """A module list is only ever the layers of something else: of a perceptron."""
    kinds = {kind for layer in LAYERS.values() for kind in layer.of}
    assert {kind for kind, _ in EXAMPLES.values()} == kinds - {nn.ModuleList}


def made(example: Example) -> list[nn.Module]:
    """The members' modules, each as the only child of a model that has weights in any case."""
    torch.manual_seed(0)
    models: list[nn.Module] = [
        nn.ModuleDict({"it": example.make(k), "other": nn.Linear(1, 1)}) for k in range(K)
    ]
    for model in models:
        fields = [field[0] for field in example.draw(1, 2)]
        if any(isinstance(module, nn.LazyLinear) for module in model.modules()):
            model["it"](*fields)  # type: ignore[index,operator]
    return models


def streams() -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed) for seed in range(K)]


def narrowed(x: Tensor, width: int | None) -> Tensor:
    return x if width is None else x[:, :width]


@dataclass
class Alone:
    """What a module gives: outputs, gradients of weights and input, and buffers afterwards."""

    outputs: Tensor
    weights: dict[str, Tensor]
    inputs: Tensor | None
    buffers: dict[str, Tensor]


def alone(model: nn.Module, fields: Sequence[Tensor], seed: int, learns: bool, training: bool) -> Alone:
    """A module by itself, where the gradient of each output is its cosine."""
    module = model.train(training)["it"]  # type: ignore[index]
    fields = [field.clone().requires_grad_(learns) for field in fields]
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        outputs = module(*fields)
    weights: dict[str, Tensor] = {}
    if outputs.requires_grad:
        outputs.backward(outputs.detach().cos())
        weights = {n: torch.zeros_like(p) if p.grad is None else p.grad for n, p in module.named_parameters()}
    buffers = {name: buffer.clone() for name, buffer in module.named_buffers()}
    return Alone(outputs.detach(), weights, fields[0].grad, buffers)


def padded(values: Sequence[Tensor], widest: int = 0) -> Tensor:
    """Tensors of other features as one, as wide as the widest."""
    widest = widest or max(one.shape[1] for one in values)
    whole = values[0].new_full((len(values), len(values[0]), widest, *values[0].shape[2:]), PADDING)
    for row, one in zip(whole, values, strict=True):
        row[:, : one.shape[1]] = one
    return whole


def close(found: Tensor, expected: Tensor, what: str) -> None:
    found = found[tuple(map(slice, expected.shape))]
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4, msg=lambda text: f"{what}: {text}")


def own_fields(example: Example, shared: bool) -> list[list[Tensor]]:
    """What each member reads."""
    torch.manual_seed(1)
    fields = example.draw(1 if shared else K, B)
    widths = example.own or (None,) * K
    return [[narrowed(field[0 if shared else k], widths[k]) for field in fields] for k in range(K)]


def together(own: Sequence[Sequence[Tensor]], example: Example, shared: bool) -> list[Tensor]:
    """The fields of some members, as a stacked module reads them."""
    if shared:
        return [field[None] for field in own[0]]
    if example.own:
        return [padded([one[0] for one in own], max(example.own))]
    return [torch.stack(fields) for fields in zip(*own, strict=True)]


def check(example: Example, part: tuple[int, int], shared: bool, training: bool, chained: bool) -> None:
    models = made(example)
    doubles, rows = copy.deepcopy(models), Rows(models, streams())
    first, last = part
    view = rows.between(first, last)
    stacked = stack([model["it"] for model in models[first:last]], view, "it").train(training)  # type: ignore[index]
    own = own_fields(example, shared)
    learns = example.learns and not shared
    expected = [alone(doubles[k], own[k], k, learns, training) for k in range(first, last)]
    shown = [
        field.requires_grad_(learns and not chained) for field in together(own[first:last], example, shared)
    ]
    view.begin_step()
    chain = Chain(stacked)
    outputs = chain.ahead(*shown) if chained else stacked(*shown)
    # What all members share has no weights.
    gradient = padded([one.outputs.cos() for one in expected], outputs.shape[2])[: len(outputs)]
    if chained:
        chain.back(gradient)
    elif outputs.requires_grad:
        outputs.backward(gradient)
    view.end_step()
    outputs = outputs.detach().expand(last - first, *outputs.shape[1:])
    for place, one in enumerate(expected):
        close(outputs[place], one.outputs, f"outputs of member {place}")
        same_tensors(one, rows, first + place)
        if shown[0].grad is not None and one.inputs is not None:
            close(shown[0].grad[place], one.inputs, f"gradient of the input of member {place}")


def same_tensors(one: Alone, rows: Rows, row: int) -> None:
    """The gradients of the weights and the buffers are in the member's row."""
    for name, weight in one.weights.items():
        close(rows.layout.places[f"it.{name}"].of(rows.gradients_KP)[row], weight, f"gradient of {name}")
    for name, buffer in one.buffers.items():
        close(rows.buffers[f"it.{name}"][row], buffer, f"buffer {name}")


PARTS = pytest.mark.parametrize("part", [(0, K), (0, 1), (1, 3)], ids=["all", "first", "others"])


@PARTS
@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
@pytest.mark.parametrize("shared", [True, False], ids=["shared", "own"])
@pytest.mark.parametrize("name", EXAMPLES)
def test_stacked_modules_do_what_each_does_alone(
    name: str, shared: bool, training: bool, part: tuple[int, int]
) -> None:
    example = EXAMPLES[name][1]
    if not (shared and example.own):  # members that read other features don't see the same
        check(example, part, shared, training, chained=False)


@PARTS
@pytest.mark.parametrize("shared", [True, False], ids=["shared", "own"])
@pytest.mark.parametrize("name", EXAMPLES)
def test_they_go_back_in_a_chain_as_autograd_does(name: str, shared: bool, part: tuple[int, int]) -> None:
    example = EXAMPLES[name][1]
    if not (shared and example.own):
        check(example, part, shared, training=True, chained=True)
