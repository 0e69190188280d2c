"""Hidden layers of more units: each is made with so many outputs, and takes what comes in when it is first called.

Outputs whose number is among ``widths`` are multiplied; ``fitwell.measures.widths`` finds those in the facts of a
run. Inputs need no settings: a layer is fitted to the first input that it gets, before there is a gradient. A program
that writes widths elsewhere, as in ``x.view(-1, 320)`` or ``torch.zeros(1, batch, hidden)``, may end with an error.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any
from weakref import WeakSet

from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_pre_hook

from fitwell.treating.changing.live import Intervention, Live
from fitwell.treating.changing.widths import fit

_OUTPUTS = {
    nn.Linear: "out_features", nn.RNNBase: "hidden_size", nn.Embedding: "embedding_dim",
    nn.Conv1d: "out_channels", nn.Conv2d: "out_channels", nn.Conv3d: "out_channels",
    nn.ConvTranspose1d: "out_channels", nn.ConvTranspose2d: "out_channels", nn.ConvTranspose3d: "out_channels",
}  # fmt: skip


def _apply(live: Live, factor: float, widths: Sequence[int]) -> None:
    fitted: WeakSet[nn.Module] = WeakSet()

    def widen(output: str, arguments: dict[str, Any]) -> None:
        width = arguments[output]
        if width not in widths:
            return
        arguments[output] = max(1, round(width * factor))
        groups = arguments.get("groups", 1)
        if groups > 1 and groups == arguments["in_channels"]:  # each channel by itself
            arguments["groups"] = arguments["in_channels"] = max(1, round(groups * factor))

    def first(module: nn.Module, inputs: tuple[Any, ...]) -> None:
        if module not in fitted and inputs and isinstance(inputs[0], Tensor):
            fitted.add(module)
            fit(module, inputs[0])

    for cls, output in _OUTPUTS.items():
        live.replace(cls, "__init__", partial(_making, partial(widen, output)))
    live.hook(register_module_forward_pre_hook(first))


def _making(change: Callable[[dict[str, Any]], None], old: Callable[..., Any]) -> Callable[..., Any]:
    """The ``__init__`` of a layer with other arguments."""
    signature = inspect.signature(old)

    def init(*args: Any, **kwargs: Any) -> None:
        try:
            given = signature.bind(*args, **kwargs)
        except TypeError:  # the layer itself says best what is wrong
            old(*args, **kwargs)
            return
        change(given.arguments)
        old(*given.args, **given.kwargs)

    return init


INTERVENTION = Intervention(
    says="hidden layers of {factor:g} times the width",
    apply=_apply,
    forks=False,
    examples=({"factor": 2.0, "widths": [16, 32]},),
)
