"""Stacking: many models of one form as one module with a leading model dimension. One kind of layer a file.

Shape legend: K members, B samples, F features, C channels, H height, W width. Tensors between layers have the shape
(K, B, ...), or (1, B, ...) as long as all members see the same. In memory features come before samples, (K, F, B) and
(B, K, C, H, W): then a layer of all members is one batched matrix product, and a norm reads what lies together.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass

from torch import nn

from fitwell.discovery import members
from fitwell.tuning.populations.stacking.rows import Unstackable, View

__all__ = ["Layer", "Unstackable", "find_layer", "settings", "stack", "with_stacked_children"]


@dataclass(frozen=True)
class Layer:
    """How modules of a kind are stacked: the constant ``LAYER`` of one file of ``layers/``.

    Args:
        of: the types of modules, exactly: a subclass may do something else.
        stack: from the members' modules, their rows and the modules' name to the one that does what all of them do.
            It takes (K, B, ...) and gives (K, B, ...).
        mixes: whether one member's module may be of another of these types than another's.
    """

    of: tuple[type[nn.Module], ...]
    stack: Callable[[Sequence[nn.Module], View, str], nn.Module]
    mixes: bool = False


def stack(modules: Sequence[nn.Module], rows: View, name: str = "") -> nn.Module:
    """One module that does what those of all members do.

    Args:
        modules: one of each member, of the same type or of types that one layer mixes.
        rows: where the members' weights lie.
        name: the modules' path within their models.

    Raises:
        Unstackable: there is no layer for them, nor can they be mapped.
    """
    types = {type(module) for module in modules}
    layer = find_layer(types)
    if layer is not None:
        return layer.stack(modules, rows, name)
    if len(types) > 1:
        raise Unstackable(f"{name} is {' and '.join(sorted(kind.__name__ for kind in types))}")
    from fitwell.tuning.populations.stacking.mapped import Mapped

    return Mapped(modules, rows, name)


def find_layer(types: Set[type[nn.Module]]) -> Layer | None:
    """The layer that takes modules of all these types; of several the one that takes the fewest others."""
    found: dict[str, Layer] = members("fitwell.tuning.populations.stacking.layers", "LAYER")
    taking = [
        layer for layer in found.values() if types <= set(layer.of) and (layer.mixes or len(types) == 1)
    ]
    return min(taking, key=lambda layer: len(layer.of), default=None)


def settings(module: nn.Module) -> dict[str, object]:
    """What was set of a module and of those within it, apart from their weights: to be compared between members."""
    return {
        f"{path}.{name}": value
        for path, inner in module.named_modules()
        for name, value in [("type", type(inner)), *vars(inner).items()]
        if not name.startswith("_") and name != "training"
    }


def with_stacked_children(modules: Sequence[nn.Module], rows: View, name: str) -> nn.Module:
    """The module itself, with stacked children: for one whose forward only passes tensors from child to child.

    Raises:
        Unstackable: the children can't be stacked, or not all members have them.
    """
    if len({tuple(module._modules) for module in modules}) > 1:
        raise Unstackable(f"{name} has different layers")
    made = copy.copy(modules[0])
    made._modules = {
        child: stack([module._modules[child] for module in modules], rows, f"{name}.{child}".lstrip("."))  # type: ignore[misc]
        for child in modules[0]._modules
        if child != "criterion"
    }
    return made
