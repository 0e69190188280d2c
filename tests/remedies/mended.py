"""What patches of remedies make of small programs."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from typing import Any

from fitwell.diagnosis import numbered
from fitwell.discovery import members
from fitwell.evidence import View
from fitwell.patch import Code
from fitwell.remedy import About, Remedy

REMEDIES: dict[str, Remedy] = members("fitwell.remedies", "REMEDY")
HEAD = """import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

"""
MARK = "  # <-"  # at the end of the line that a finding names; it is not in the program


def mended(
    remedy: str, text: str, *, finding: str | None = None, dose: int = 0, facts: Mapping[str, Any] | None = None,
    **signals: list[float],
) -> str:  # fmt: skip
    """The program after a remedy; as it was if that makes no edit.

    Args:
        remedy: its name.
        text: the program; the finding lies in the line that ends with MARK, if there is one.
        finding: what it is to mend; the first that it treats if none is given.
        dose: the place of the dose among those of the remedy.
        facts: of the run.
        signals: values by their names, with ``__`` for the slash.
    """
    lines = text.splitlines()
    line = next((number for number, each in enumerate(lines, start=1) if each.endswith(MARK)), None)
    code = Code(plain(text), "train.py")
    made = REMEDIES[remedy]
    assert made.patch is not None
    assert finding is None or finding in made.treats
    named = {name.replace("__", "/"): numbered(values) for name, values in signals.items()}
    about = About(finding or next(iter(made.treats)), View(facts or {}, named), line, made.doses[dose])
    edited = code.edited(made.patch(code, about))
    ast.parse(edited)
    return edited


def plain(text: str) -> str:
    """A program without the mark."""
    return "".join(each.removesuffix(MARK) + "\n" for each in text.splitlines())


def patched(
    remedy: str, finding: str, text: str, facts: Mapping[str, Any] | None = None, dose: int = 0
) -> str | None:
    """The program after a remedy for a finding, both without their imports; None if it makes no edit."""
    new = mended(remedy, HEAD + text, finding=finding, facts=facts, dose=dose)
    assert new.startswith(HEAD)
    return new.removeprefix(HEAD) if new != plain(HEAD + text) else None


def place(line_of: str, text: str, **seen: Any) -> dict[str, Any]:
    """The facts of the loss that is called in a line."""
    lines = (HEAD + text).replace(MARK, "").splitlines()
    (at,) = [number for number, line in enumerate(lines, start=1) if line_of in line]
    where = {"file": "train.py", "line": at}
    return {"signals": {"loss_inputs": {"places": [{"part": "train", "where": where} | seen]}}}


def ended(message: str, *operands: Mapping[str, Any]) -> dict[str, Any]:
    """The facts of a program that an error ended."""
    return {"failure": {"type": "RuntimeError", "message": message, "operands": list(operands)}}


def tensor(name: str, shape: Sequence[int], **more: Any) -> dict[str, Any]:
    """An operand of the line that failed."""
    return {"name": name, "shape": list(shape), "dtype": "torch.float32"} | more


def module(name: str, kind: str, *weight: int) -> dict[str, Any]:
    """A module that was called in the line that failed."""
    return {"name": name, "class": kind, "parameters": {"weight": list(weight)} if weight else {}}
