"""The norm of each layer's trainable parameters after a step."""

from __future__ import annotations

from fitwell.watching.moments import Step
from fitwell.watching.signal import Signal
from fitwell.watching.tensors import by_layer, measurable, norms


class _WeightNorm:
    def after_step(self, step: Step) -> None:
        named = [each for each in step.parameters if measurable(each.tensor)]
        if named:
            norms_T = norms([each.tensor for each in named])
            step.record_layers("weight_norm", *by_layer([each.layer for each in named], norms_T))


SIGNAL = Signal(units={"layer/*/weight_norm": ""}, cost="parameters", start=_WeightNorm)
