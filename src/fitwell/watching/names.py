"""Names: what a program calls its models, and the layer that each parameter belongs to."""

from __future__ import annotations

import itertools
import re
import weakref
from collections.abc import Collection, Iterable, Sequence
from types import FrameType

from torch import Tensor, nn

from fitwell.watching.source import variable_name, visible

WRAPPERS = ("module.", "_orig_mod.")  # of DataParallel, DistributedDataParallel, torch.compile


class Models:
    """The models of a program: modules with parameters that were called by no other module."""

    def __init__(self) -> None:
        self._models: dict[int, tuple[weakref.ref[nn.Module], str]] = {}
        self.order: list[tuple[str, str]] = []  # name and class of each, in order of their first call

    def called(self, module: nn.Module, frame: FrameType | None) -> None:
        """A module was called from the program."""
        if id(module) in self._models and self._models[id(module)][0]() is module:
            return
        if next(module.parameters(), None) is None:
            return
        if any(module is part for _, model in self.all() for part in model.modules()):
            return
        name = self._unique(variable_name(module, frame) or type(module).__name__)
        self._models[id(module)] = (weakref.ref(module), name)
        self.order.append((name, type(module).__name__))

    def search(self, parameters: Iterable[Tensor], frame: FrameType | None) -> list[tuple[str, nn.Module]]:
        """The models that hold any of these parameters, though they were not seen to be called.

        Between the looks calls are not seen, and a closure calls its model within the step.
        """
        wanted = {id(parameter) for parameter in parameters}
        for _, value in visible(frame):
            if isinstance(value, nn.Module) and any(id(p) in wanted for p in value.parameters()):
                self.called(value, frame)
                break
        return self.of(parameters)

    def all(self) -> list[tuple[str, nn.Module]]:
        """The models that are still there, with their names."""
        alive = [(name, model()) for model, name in self._models.values()]
        return [(name, model) for name, model in alive if model is not None]

    def of(self, parameters: Iterable[Tensor]) -> list[tuple[str, nn.Module]]:
        """The models that hold any of these parameters; a model within another one is left out."""
        wanted = {id(parameter) for parameter in parameters}
        found = [(n, m) for n, m in self.all() if any(id(p) in wanted for p in m.parameters())]
        inner = {id(part) for _, m in found for part in m.modules() if part is not m}
        return [(name, model) for name, model in found if id(model) not in inner]

    def _unique(self, name: str) -> str:
        return unique(name, {other for other, _ in self.order})


def unique(name: str, taken: Collection[str]) -> str:
    """The name, or with a number that makes it another one than those that are taken: ``net-2``."""
    numbered = (f"{name}-{number}" for number in itertools.count(2))
    return next(each for each in itertools.chain([name], numbered) if each not in taken)


def name_parameters(
    parameters: Sequence[Tensor], models: Sequence[tuple[str, nn.Module]]
) -> tuple[list[tuple[str, str]], dict[int, str]]:
    """The layer and the own name of each parameter, and the name of each module (by identity) with its own.

    With several models a layer is called by the name of its model first.
    """
    layers: dict[int, str] = {}
    owners: dict[int, tuple[str, str]] = {}
    for model_name, model in models:
        prefix = f"{model_name}." if len(models) > 1 else ""
        for path, module in model.named_modules():
            own = unwrapped(path)
            layer = prefix + own if own else model_name
            layers.setdefault(id(module), layer)
            for name, parameter in module.named_parameters(recurse=False):
                owners.setdefault(id(parameter), (layer, name))
    unknown = ((f"parameter_{number}", "weight") for number in range(len(parameters)))
    labels = [owners.get(id(p), other) for p, other in zip(parameters, unknown, strict=True)]
    return labels, layers


def unwrapped(path: str) -> str:
    """A module's path without what wrappers add to it; weights that are parametrized count to their layer.

    >>> unwrapped("_orig_mod.module.encoder.parametrizations.weight.0")
    'encoder'
    """
    while path.startswith(WRAPPERS):
        path = path.partition(".")[2]
    return re.split(r"(?:^|\.)parametrizations(?:\.|$)", path)[0]
