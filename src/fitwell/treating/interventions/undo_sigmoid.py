"""The binary cross-entropy of logits is given the logits of what are probabilities already."""

from __future__ import annotations

from types import CodeType

import torch
from torch import Tensor
from torch.nn import functional

from fitwell.treating.changing.arguments import Arguments, rewrite
from fitwell.treating.changing.live import Intervention, Live
from fitwell.watching.source import user_frame


def _apply(live: Live) -> None:
    others: set[tuple[CodeType, int] | None] = set()  # lines that gave numbers that are no probabilities

    def change(arguments: Arguments) -> None:
        input, line = arguments["input"], _line()
        if not _in_unit_interval(input):
            others.add(line)
        elif line not in others:
            arguments["input"] = input.logit(torch.finfo(input.dtype).eps)

    rewrite(live, functional, "binary_cross_entropy_with_logits", change)


def _in_unit_interval(input: Tensor) -> bool:
    if not input.is_floating_point() or not input.numel():
        return False
    low, high = input.detach().aminmax()
    return low.item() >= 0 and high.item() <= 1


def _line() -> tuple[CodeType, int] | None:
    frame = user_frame()
    return None if frame is None else (frame.f_code, frame.f_lineno)


INTERVENTION = Intervention(
    says="the binary cross-entropy is given the logits of the probabilities", apply=_apply, comparable=False
)
