"""The moments that signals are told of."""

from __future__ import annotations

import torch
from torch import nn

from fitwell.watching.moments import ModuleCall, PassEnd, Step


def test_what_a_step_and_a_pass_record() -> None:
    step = Step("net", 1, None, [], [], {}, False, None)
    step.record("lr", 0.1)
    step.record_layers("gradient_norm", ["a", "b"], torch.tensor([1.0, 2.0]))
    assert step.signals == {"lr": 0.1}
    (column,) = step.columns
    assert column.names == ("layer/a/gradient_norm", "layer/b/gradient_norm")
    assert list(column.values.tolist()) == [1.0, 2.0]
    end = PassEnd("val", "net")
    end.record("loss/val", 0.5)
    assert end.signals == {"loss/val": 0.5}
    assert Step("net", 2, None, [], [], {}, False, None).signals == {}  # its own


def test_a_layer_has_no_modules_within() -> None:
    inner = nn.Linear(2, 2)
    for module, layer in ((inner, True), (nn.Sequential(inner), False), (nn.ReLU(), True)):
        assert ModuleCall(module, (), None, "train", 0, None).is_layer is layer
