"""Weights drawn anew, once, before each whole model is called next.

``kaiming``: He et al. 2015, arXiv:1502.01852; ``xavier``: Glorot and Bengio 2010; their biases are zero. ``default``:
as torch draws them by itself. Embeddings and recurrent layers are drawn anew only where all values are the same.
Weights that are frozen, or computed from others (``torch.nn.utils.parametrize``), are left alone. Undoing the change
does not bring the old weights back.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from fitwell.treating.changing.live import Intervention, Live

_LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d,
           nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)  # fmt: skip


def _apply(live: Live, scheme: str) -> None:
    if scheme not in SCHEMES:
        raise ValueError(f"there is no scheme {scheme!r} to draw weights by; choose of {', '.join(SCHEMES)}")
    done: set[int] = set()  # addresses of weights that are kept alive by the models
    models: list[nn.Module] = []

    def initialize(model: nn.Module) -> None:
        models.append(model)
        for layer in model.modules():
            new = [each for each in own_weights(layer) if id(layer._parameters[each]) not in done]
            if isinstance(layer, _LAYERS):
                _layer(layer, new, scheme)
            elif isinstance(layer, (nn.Embedding, nn.EmbeddingBag, nn.RNNBase, nn.RNNCellBase)):
                _constant(layer, new)
            done.update(id(layer._parameters[each]) for each in new)

    live.models(initialize)


def own_weights(layer: nn.Module) -> list[str]:
    """The names of a layer's own parameters that are trained."""
    return [name for name, each in layer._parameters.items() if each is not None and each.requires_grad]


def _layer(layer: nn.Module, names: list[str], scheme: str) -> None:
    """Draw the weight and the bias of an affine layer."""
    weight, bias = layer._parameters["weight"], layer._parameters.get("bias")
    with torch.no_grad():
        if "weight" in names and weight is not None:
            SCHEMES[scheme](weight)
        if "bias" in names and bias is not None:
            bound = 1 / math.sqrt(layer.weight[0].numel()) if scheme == "default" else 0.0  # type: ignore[index]
            nn.init.uniform_(bias, -bound, bound)


def _constant(layer: nn.Module, names: list[str]) -> None:
    """Draw those weights of an embedding or a recurrent layer anew that are all the same."""
    with torch.no_grad():
        for name in names:
            weight = layer._parameters[name]
            if weight is None or weight.dim() < 2 or weight.numel() < 2 or not _same(weight):
                continue
            if isinstance(layer, (nn.Embedding, nn.EmbeddingBag)):
                nn.init.normal_(weight)
                if layer.padding_idx is not None:
                    weight[layer.padding_idx] = 0
            else:
                nn.init.xavier_uniform_(weight)


SCHEMES: dict[str, Callable[[Tensor], Tensor]] = {
    "kaiming": partial(nn.init.kaiming_normal_, nonlinearity="relu"),
    "xavier": nn.init.xavier_normal_,
    "default": partial(nn.init.kaiming_uniform_, a=math.sqrt(5)),
}


def _same(weight: Tensor) -> bool:
    low, high = weight.detach().aminmax()
    return bool(low == high)


INTERVENTION = Intervention(
    says="weights drawn anew ({scheme})",
    apply=_apply,
    examples=({"scheme": "kaiming"}, {"scheme": "xavier"}, {"scheme": "default"}),
)
