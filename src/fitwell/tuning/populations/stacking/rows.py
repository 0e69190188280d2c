"""Rows: the weights of many models side by side, a row a model.

A population of K models is one matrix of weights (K, P), one of gradients, and as many as its optimizer keeps. Each
model's own parameters are views of its row, so what is written of a model, evaluated or saved is what was trained.
Models of different widths share a layout as wide as the widest; what pads a narrower one is zero and stays zero.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

import torch
from torch import Tensor, nn

from fitwell.training.optimizers import parameter_groups


class Unstackable(Exception):  # noqa: N818 - nothing went wrong: such models train alone
    """Models that can't be stacked, and why."""


@dataclass(frozen=True)
class Place:
    """Where a parameter lies in a row: its first column and its shape, as wide as the widest member's."""

    start: int
    shape: tuple[int, ...]

    @property
    def end(self) -> int:
        """The column after its last."""
        return self.start + math.prod(self.shape)

    def of(self, rows_KP: Tensor) -> Tensor:
        """(K, ...) view of the parameter in every row."""
        return rows_KP[:, self.start : self.end].view(len(rows_KP), *self.shape)


class Layout:
    """Where each parameter lies in a row: those with weight decay first, so that decay is one slice.

    Args:
        models: of one form: the same modules, with parameters of the same names and dimensions.

    Raises:
        Unstackable: some parameters are not trained, so that there is no place for them.
    """

    def __init__(self, models: Sequence[nn.Module]) -> None:
        own = [dict(model.named_parameters()) for model in models]
        frozen = [name for parameters in own for name, value in parameters.items() if not value.requires_grad]
        if frozen:
            raise Unstackable(f"{frozen[0]} is not trained")
        decayed, free = _groups(models[0])
        self.places: dict[str, Place] = {}
        start = 0
        for name in (*decayed, *free):
            shapes = [tuple(parameters[name].shape) for parameters in own]
            self.places[name] = Place(start, tuple(map(max, zip(*shapes, strict=True))) if shapes[0] else ())
            start = self.places[name].end
        self.width = start
        self.decayed = sum(math.prod(self.places[name].shape) for name in decayed)
        self.ragged = any(
            tuple(parameters[name].shape) != place.shape
            for parameters in own
            for name, place in self.places.items()
        )

    def of(self, row_P: Tensor, model: nn.Module) -> Iterator[tuple[str, nn.Parameter, Tensor]]:
        """Each parameter of a model with the view of its row that has the parameter's own shape."""
        for name, parameter in model.named_parameters():
            whole = self.places[name].of(row_P[None])[0]
            yield name, parameter, whole[tuple(map(slice, parameter.shape))]

    def mask(self, models: Sequence[nn.Module]) -> Tensor:
        """(K, P): 1 where a model has a weight, 0 where its row is padded."""
        mask_KP = torch.zeros(len(models), self.width)
        for row_P, model in zip(mask_KP, models, strict=True):
            for _, _, view in self.of(row_P, model):
                view.fill_(1.0)
        return mask_KP


def _groups(model: nn.Module) -> tuple[list[str], list[str]]:
    """The names of the parameters with weight decay, and of those without."""
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    groups = parameter_groups(model, 1.0)
    decayed = [names[id(p)] for group in groups if group["weight_decay"] for p in group["params"]]
    free = [names[id(p)] for group in groups if not group["weight_decay"] for p in group["params"]]
    return decayed, free


class Rows:
    """Weights, gradients and buffers of models that train together.

    Args:
        models: of one form. Their parameters and buffers become views of what is made here.
        streams: the random generator of each.
    """

    def __init__(self, models: Sequence[nn.Module], streams: Sequence[torch.Generator]) -> None:
        self.models, self.streams, self.layout = list(models), list(streams), Layout(models)
        device = next(models[0].parameters()).device
        self.weights_KP = torch.zeros(len(models), self.layout.width, device=device)
        self.gradients_KP = torch.zeros_like(self.weights_KP)
        self.mask_KP = self.layout.mask(models).to(device) if self.layout.ragged else None
        for row_P, gradient_P, model in zip(self.weights_KP, self.gradients_KP, models, strict=True):
            gradients = {name: view for name, _, view in self.layout.of(gradient_P, model)}
            for name, parameter, view in self.layout.of(row_P, model):
                view.copy_(parameter.data)
                parameter.data = view
                parameter.grad = gradients[name]
        # Some members may have none of a name: class weights, which a criterion keeps for itself.
        names = [name for name, _ in models[0].named_buffers() if all(_has(model, name) for model in models)]
        self.buffers = {name: _stacked_buffer(self.models, name) for name in names}

    def between(self, first: int, last: int) -> View:
        """The rows from ``first`` to before ``last``, as layers read them."""
        return View(self, first, last)


def _has(model: nn.Module, buffer: str) -> bool:
    return any(name == buffer for name, _ in model.named_buffers())


def _stacked_buffer(models: Sequence[nn.Module], name: str) -> Tensor:
    """(K, ...) of all models' buffers of a name, which become views of it; as wide as the widest."""
    own = [model.get_buffer(name) for model in models]
    shape = tuple(map(max, zip(*(tuple(buffer.shape) for buffer in own), strict=True))) if own[0].ndim else ()
    stacked = own[0].new_zeros(len(own), *shape)
    for whole, buffer, model in zip(stacked, own, models, strict=True):
        view = whole[tuple(map(slice, buffer.shape))] if buffer.ndim else whole
        view.copy_(buffer)
        path, _, last = name.rpartition(".")
        model.get_submodule(path)._buffers[last] = view
    return stacked


class View:
    """Some consecutive rows, as the layers of a stacked module read them.

    ``own`` is the share of the features that are each member's where the stacking is: what is left pads it.
    """

    def __init__(self, rows: Rows, first: int, last: int) -> None:
        self.rows, self.part = rows, slice(first, last)
        self.count = last - first
        self.streams = rows.streams[self.part]
        self.own = [Fraction(1)] * self.count
        self.adding = False  # whether this is a further batch of a step, whose gradients are added
        self.leaves: dict[str, Tensor] = {}

    def put_out(self, widths: Sequence[int], widest: int) -> None:
        """Remember how many features each member puts out, of as many as the widest member of all rows does."""
        self.own = [Fraction(width, widest) for width in widths]

    @property
    def ragged(self) -> bool:
        """Whether some members have fewer features than others where the stacking is."""
        return any(share != 1 for share in self.own)

    def leaf(self, name: str) -> Tensor:
        """(K, ...) parameter that autograd knows; its gradient is copied into the matrix when a step has ended."""
        return self.leaves.setdefault(name, self.value(name).requires_grad_())

    def value(self, name: str) -> Tensor:
        """(K, ...) parameter, for a layer that writes its gradient itself."""
        return self._place(name).of(self.rows.weights_KP[self.part]).detach()

    def gradient(self, name: str) -> Tensor:
        """(K, ...) the place of the parameter's gradient."""
        return self._place(name).of(self.rows.gradients_KP[self.part])

    def _place(self, name: str) -> Place:
        name = name.lstrip(".")  # a model may be one layer, without a name
        if name not in self.rows.layout.places:
            raise Unstackable(f"{name} is shared by several modules")
        return self.rows.layout.places[name]

    def buffer(self, name: str) -> Tensor:
        """(K, ...) buffer."""
        name = name.lstrip(".")
        if name not in self.rows.buffers:
            raise Unstackable(f"not every member has {name}")
        return self.rows.buffers[name][self.part]

    def begin_step(self) -> None:
        """Forget the gradients of the step before."""
        self.adding = False
        for leaf in self.leaves.values():
            leaf.grad = None

    def end_step(self) -> None:
        """Bring the gradients that autograd made to their place in the matrix."""
        for name, leaf in self.leaves.items():
            if leaf.grad is None:
                self.gradient(name).zero_()
            else:
                self.gradient(name).copy_(leaf.grad)
