"""The norm of the gradient that a step used, in all and by layer, and what it was before clipping."""

from __future__ import annotations

from torch import Tensor

from fitwell.watching.moments import Call, Step
from fitwell.watching.signal import Signal
from fitwell.watching.tensors import by_layer, gradients, norms, total


class _GradientNorm:
    def __init__(self) -> None:
        self._clipped: list[Tensor] = []  # norms that clipping returned since the last step

    def on_call(self, call: Call) -> None:
        if call.what == "clip" and isinstance(call.result, Tensor) and call.result.dim() == 0:
            self._clipped.append(call.result.detach().clone())

    def after_step(self, step: Step) -> None:
        clipped, self._clipped = self._clipped, []
        if len(clipped) == 1:  # the norms of several calls are of parts, or of the same gradient again
            step.record("gradient/norm_before_clipping", clipped[0])
        named, found = gradients(step)
        if not found:
            return
        norms_T = norms(found)
        step.record("gradient/norm", total(norms_T))
        step.record_layers("gradient_norm", *by_layer([each.layer for each in named], norms_T))


SIGNAL = Signal(
    units={"gradient/norm": "", "gradient/norm_before_clipping": "", "layer/*/gradient_norm": ""},
    cost="parameters",
    start=_GradientNorm,
)
