"""Take longer steps."""

from __future__ import annotations

from dataclasses import replace

from fitwell.remedies.lower_learning_rate import REMEDY as LOWER

REMEDY = replace(
    LOWER,
    treats={
        "learning-rate-too-low": 1,
        "slow-convergence": 1,
        "loss-plateau": 1,
        "vanishing-gradients": 4,
        "underfitting": 6,
    },
    costs="less room until training diverges",
    not_when="the loss jumps",
    doses=tuple({"factor": factor} for factor in (10.0, 100.0, 3.0, 1000.0, 30.0, 300.0)),
)
