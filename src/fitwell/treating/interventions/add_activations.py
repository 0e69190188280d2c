"""An activation behind each layer whose output goes straight into the next layer with weights."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.module import register_module_forward_hook

from fitwell.treating.changing.between import Between
from fitwell.treating.changing.graph import Use
from fitwell.treating.changing.live import Intervention, Live

_LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)


def _apply(live: Live, name: str) -> None:
    new = getattr(functional, name)
    between = Between(live, lambda found: Use.WEIGHED in found)

    def after(module: nn.Module, _inputs: Any, output: Any) -> Tensor | None:
        if not isinstance(module, _LAYERS) or not isinstance(output, Tensor) or torch.compiler.is_compiling():
            return None
        site = between.output_of(module, "straight")
        between.saw(site, output)
        value: Tensor | None = new(output) if site.known else None
        return value

    live.hook(register_module_forward_hook(after))  # type: ignore[arg-type]  # it may return another output


INTERVENTION = Intervention(
    says="a {name} between layers that have none", apply=_apply, examples=({"name": "relu"},)
)
