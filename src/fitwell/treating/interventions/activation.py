"""Another activation in the place of the hidden ones: of ReLU, or of sigmoid and tanh."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from fitwell.treating.changing.activations import Compute, on_hidden
from fitwell.treating.changing.live import Intervention, Live

NAMES = ("relu", "leaky_relu", "gelu", "elu", "silu", "tanh")
SLOPE = 0.01  # of leaky_relu below 0, torch's own


def _apply(live: Live, name: str) -> None:
    if name not in NAMES:
        raise ValueError(f"there is no activation {name!r} to put in the place of others; choose of {NAMES}")
    new = getattr(functional, name)  # may be replaced itself: it is called within a call of another one

    def change(input: Tensor, _compute: Compute) -> Tensor:
        value: Tensor = new(input)
        return value

    on_hidden(live, [kind for kind in ("relu", "sigmoid", "tanh") if kind != name], change)


INTERVENTION = Intervention(
    says="hidden activations are {name}",
    apply=_apply,
    examples=({"name": "leaky_relu"}, {"name": "relu"}, {"name": "gelu"}),
)
