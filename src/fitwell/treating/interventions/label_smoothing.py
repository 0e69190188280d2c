"""Targets that are not quite certain, in training alone (Szegedy et al. 2015, arXiv:1512.00567)."""

from __future__ import annotations

from torch.nn import functional

from fitwell.treating.changing.arguments import Arguments, learns, rewrite
from fitwell.treating.changing.live import Intervention, Live


def _apply(live: Live, share: float) -> None:
    def change(arguments: Arguments) -> None:
        if learns(arguments["input"]) and not arguments["label_smoothing"]:
            arguments["label_smoothing"] = share

    rewrite(live, functional, "cross_entropy", change)


INTERVENTION = Intervention(
    says="{share:.0%} of each target is spread over all classes",
    apply=_apply,
    comparable=False,
    examples=({"share": 0.1},),
)
