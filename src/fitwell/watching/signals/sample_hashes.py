"""Hashes of the samples that enter a model: which of the held-out ones were trained on, how many there are.

Shapes: B rows of a batch, N of them hashed, F numbers a row.
"""

from __future__ import annotations

import math
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fitwell.watching.moments import LossCall, ModuleCall, Step
from fitwell.watching.signal import Signal
from fitwell.watching.source import Where

MOST_ROWS = 128  # of a batch
MOST_NUMBERS = 1 << 20  # of a batch that are read; a row is hashed whole or not at all
MOST_KEPT = 200_000  # hashes of a part
MOST_MODELS = 20
MOST_PLACES = 5
MOST_LOOKS = 100  # training batches that are told one by one
LIKELY = 4  # standard deviations that a batch may be off
ROUNDS = 20  # in which the size of the training set is narrowed down
Hashes = NDArray[np.int64]
INTEGERS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


@dataclass(slots=True)
class _Rows:
    """Hashes (N,) of a batch of so many rows, and the number of the step that used it, once that is known.

    ``turn`` tells the time from one step to the next, of whatever model.
    """

    hashes: Tensor
    rows: int
    step: int = 0
    turn: int = -1


@dataclass
class _Part:
    batches: list[_Rows] = field(default_factory=list)
    kept: int = 0
    seen: int = 0
    turn: int = -1  # which rows of a large batch were hashed last
    rows: int = 0  # of the last batch
    masked: bool = False  # a loss was computed of some of the rows only, such as the nodes of a graph
    losses: set[Where] = field(default_factory=set)

    def add(self, entered: Tensor, turn: int) -> None:
        """Hash a batch and keep the hashes, if there is room."""
        if self.kept < MOST_KEPT:
            same = bool(self.batches) and self.batches[-1].turn == turn
            self.turn = self.turn + 1 if same else max(turn, self.turn + 1)
            rows = _Rows(_hashes(_some(entered, self.turn)), len(entered), turn=turn)
            self.batches.append(rows)
            self.kept += len(rows.hashes)
        self.seen += 1
        self.rows = len(entered)


@dataclass
class _Model:
    module: weakref.ref[nn.Module]
    thread: str = ""
    parts: dict[str, _Part] = field(default_factory=dict)

    def stepped(self, step: Step) -> None:
        """The batches since the last step were used by this one."""
        self.thread = self.thread or step.thread
        for rows in reversed(self.parts["train"].batches if "train" in self.parts else []):
            if rows.step:
                break
            rows.step = step.number


class _SampleHashes:
    def __init__(self) -> None:
        self._models: list[_Model] = []
        self._last: _Part | None = None  # that rows were added to
        self._turn = 0  # steps seen

    def on_module(self, call: ModuleCall) -> None:
        if call.depth or next(call.module.parameters(), None) is None:
            return
        entered = next((each for each in call.inputs if isinstance(each, Tensor)), None)
        if entered is None or not _is_plain(entered):
            return
        model = next((each for each in self._models if each.module() is call.module), None)
        if model is None and len(self._models) < MOST_MODELS:
            model = _Model(weakref.ref(call.module))
            self._models.append(model)
        if model is not None:
            self._last = model.parts.setdefault(call.part, _Part())
            self._last.add(entered.detach(), self._turn)

    def on_loss(self, call: LossCall) -> None:
        if self._last is None or not call.input.dim():
            return
        self._last.masked |= len(call.input) < self._last.rows
        if call.where is not None and len(self._last.losses) < MOST_PLACES:
            self._last.losses.add(call.where)

    def after_step(self, step: Step) -> None:
        self._turn += 1
        for model in self._models:
            if id(model.module()) in step.modules:
                model.stepped(step)

    def facts(self) -> dict[str, Any]:
        """Of each thread, for the model of it that was called first."""
        found: dict[str, Any] = {}
        for model in self._models:
            if model.thread and model.thread not in found and "train" in model.parts:
                others = [m.parts["train"] for m in self._models if m is not model and "train" in m.parts]
                parts = {n: p if n == "train" else _validating(p, others) for n, p in model.parts.items()}
                found[model.thread] = _about({name: part for name, part in parts.items() if part.batches})
        return found


def _validating(part: _Part, others: Sequence[_Part]) -> _Part:
    """A held-out part without the batches that another model is trained on in the same step, as by a teacher."""
    given: dict[int, list[Tensor]] = {}
    for rows in (rows for other in others for rows in other.batches):
        given.setdefault(rows.turn, []).append(rows.hashes)
    kept = [b for b in part.batches if not any(torch.equal(b.hashes, h) for h in given.get(b.turn, []))]
    return replace(part, batches=kept, seen=part.seen - len(part.batches) + len(kept))


def _is_plain(tensor: Tensor) -> bool:
    dense = tensor.layout == torch.strided and not tensor.is_meta and not tensor.is_quantized
    return dense and tensor.dim() > 0 and tensor.numel() > 0


def _some(tensor: Tensor, turn: int) -> Tensor:
    """Whole rows, spread over a batch; each time others, so that in the end all are seen."""
    wanted = min(MOST_ROWS, MOST_NUMBERS // tensor[0].numel())
    if not wanted:
        return tensor[:0]
    every = -(-len(tensor) // wanted)
    return tensor[turn % every :: every]


def _hashes(rows: Tensor) -> Tensor:
    """A hash (N,) of each row (N, ...): its bits as integers, times odd weights, summed up modulo 2**64."""
    plain = torch.view_as_real(rows.resolve_conj()) if rows.is_complex() else rows
    bits_NF = plain.view(INTEGERS[plain.element_size()]).reshape(len(rows), math.prod(plain.shape[1:]))
    return (bits_NF.long() * _weights(bits_NF.shape[1], rows.device)).sum(1)


@lru_cache(4)
def _weights(count: int, device: torch.device) -> Tensor:
    """Odd 64-bit numbers without a pattern (SplitMix64: Steele, Lea and Flood 2014)."""
    mixed = np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    odd = (mixed ^ (mixed >> np.uint64(31))) | np.uint64(1)
    return torch.from_numpy(odd.view(np.int64)).to(device)


def _about(parts: Mapping[str, _Part]) -> dict[str, Any]:
    """The parts as JSON, the held-out ones compared with the training data."""
    hashes = {name: [rows.hashes.cpu().numpy() for rows in part.batches] for name, part in parts.items()}
    trained = np.unique(np.concatenate(hashes["train"]))
    samples = _training_samples(parts["train"].batches, hashes["train"])
    coverage = None if samples is None else min(1.0, len(trained) / samples)
    told: dict[str, Any] = {}
    for name, batches in hashes.items():
        told[name] = _counted(batches) | {"batches": parts[name].seen, "masked": parts[name].masked}
        if name != "train":
            told[name] |= _overlap(batches, trained, coverage)
            told[name]["losses"] = [f"{where.function}: {where.text}" for where in parts[name].losses]
    looks = [[rows.step, rows.rows, len(rows.hashes)] for rows in parts["train"].batches[:MOST_LOOKS]]
    return {"parts": told, "estimated_samples": samples, "coverage": coverage, "looks": looks}


def _counted(batches: Sequence[Hashes]) -> dict[str, int]:
    every = np.concatenate(batches)
    alike = sum(len(batch) - len(np.unique(batch)) for batch in batches)
    return {"rows": len(every), "distinct": len(np.unique(every)), "duplicates_in_batches": alike}


def _overlap(batches: Sequence[Hashes], trained: Hashes, coverage: float | None) -> dict[str, Any]:
    """Which share of the distinct held-out rows was seen in training.

    Only part of the training data was hashed: ``corrected`` is the share if the rest is like that part.
    """
    distinct = np.unique(np.concatenate(batches))
    found = int(np.isin(distinct, trained).sum())
    share = found / max(len(distinct), 1)
    each = sorted(float(np.isin(batch, trained).mean()) for batch in batches if len(batch))
    return {
        "found_in_train": found,
        "share": share,
        "corrected": min(1.0, share / coverage) if coverage else None,
        "by_batch": [each[0], each[len(each) // 2], each[-1]] if each else None,
        "even": _even(batches, trained, share),
    }


def _even(batches: Sequence[Hashes], trained: Hashes, share: float) -> bool:
    """Whether all batches share about as much with the training data: else some are that data, evaluated."""
    for batch in batches:
        expected = share * len(batch)
        if abs(np.isin(batch, trained).sum() - expected) > 1 + LIKELY * math.sqrt(
            expected * (1 - share) + 1e-9
        ):
            return False
    return True


def _training_samples(batches: Sequence[_Rows], hashes: Sequence[Hashes]) -> float | None:
    """An estimate of the number of training samples from those that were seen again (Schnabel 1938).

    Two batches of m and n hashed rows from different passes over N samples have m n / N rows in common. Which
    batches belong to one pass depends on N, so it is computed again and again. None if none was seen again.
    """
    counts = np.array([len(each) for each in hashes], dtype=float)
    seen_again = _equal_pairs(np.concatenate(hashes)) - sum(_equal_pairs(each) for each in hashes)
    if not seen_again:
        return None
    steps = np.array([rows.step or batches[-1].step for rows in batches])
    rows_a_step = sum(rows.rows for rows in batches) / len(set(steps.tolist()))
    least = max(*(rows.rows for rows in batches), len(np.unique(np.concatenate(hashes))))
    samples = max(least, (counts.sum() ** 2 - np.square(counts).sum()) / 2 / seen_again)
    for _ in range(ROUNDS):
        passes = np.unique((steps - 1) * rows_a_step // samples, return_inverse=True)[1]
        apart = (counts.sum() ** 2 - np.square(np.bincount(passes, weights=counts)).sum()) / 2
        samples = max(least, (samples + apart / seen_again) / 2)
    return float(samples)


def _equal_pairs(hashes: Hashes) -> int:
    often = np.unique(hashes, return_counts=True)[1]
    return int((often * (often - 1) // 2).sum())


SIGNAL = Signal(units={}, cost="batch", start=_SampleHashes, parts=("train", "held-out"))
