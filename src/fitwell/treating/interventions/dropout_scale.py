"""More or less of the dropout that the program has."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn
from torch.nn import functional

from fitwell.treating.changing.arguments import Arguments, rewrite
from fitwell.treating.changing.live import Intervention, Live

DROPOUTS = (
    "dropout", "dropout1d", "dropout2d", "dropout3d", "alpha_dropout", "feature_alpha_dropout",
)  # fmt: skip
MOST = 0.95


def _apply(live: Live, factor: float) -> None:
    def scaled(p: float) -> float:
        return min(MOST, p * factor) if p < 1 else p

    def change(arguments: Arguments) -> None:
        arguments["p"] = scaled(arguments["p"])

    def make(old: Callable[..., Any]) -> Callable[..., Any]:
        def forward(self: Any, *args: Any, **kwargs: Any) -> Any:
            p = self.dropout
            self.dropout = scaled(p)
            try:
                return old(self, *args, **kwargs)
            finally:
                self.dropout = p

        return forward

    for name in DROPOUTS:
        rewrite(live, functional, name, change)
    for cls in (nn.RNN, nn.GRU, nn.LSTM):
        live.replace(cls, "forward", make)


INTERVENTION = Intervention(
    says="dropout times {factor:g}",
    apply=_apply,
    comparable=False,
    examples=({"factor": 0.0}, {"factor": 2.0}),
)
