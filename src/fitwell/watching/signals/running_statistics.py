"""The modes in which models run, and what batch norm learns: from how many samples, and during evaluation.

Dropout and batch norm do one thing while training and another while evaluating. A forward pass with a graph
counts as training only if a step follows before the next one: evaluating without ``no_grad`` has one, too.
"""

from __future__ import annotations

import weakref
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd

from fitwell.watching.activations import PerModule, first_tensor
from fitwell.watching.moments import Batch, LossCall, ModuleCall, Step
from fitwell.watching.signal import Signal
from fitwell.watching.tensors import thinned

TINY = 3  # samples in a batch; a mean of so few is noise
MOST_LAYERS = 100  # that facts are kept of


@dataclass(slots=True)
class _Modes:
    """How a layer ran."""

    kind: str = ""
    probability: float = 0.0  # of dropout
    last: tuple[bool, int] | None = None  # mode and samples of the last call with a graph
    training: dict[str, int] = field(default_factory=dict)  # calls in training mode, by part
    evaluation: dict[str, int] = field(default_factory=dict)  # calls in evaluation mode, by part
    losses: int = 0  # on held-out data while in training mode
    batches: int = 0  # of held-out data while in training mode
    apart: int = 0  # held-out calls in training mode, while the whole model was not
    repeated: int = 0  # held-out calls in training mode with the inputs of the call before
    samples: tuple[int, int] | None = None  # fewest and most that batch norm trained on
    tiny: int = 0  # steps with so few
    mean: Tensor | None = None  # the running mean after the last held-out call
    moved: Tensor | None = None  # by how much that changed from one held-out call to the next

    def count(self, part: str, training: bool) -> None:
        """One more call."""
        modes = self.training if training else self.evaluation
        modes[part] = modes.get(part, 0) + 1

    def trained(self) -> None:
        """A step was made from the last call with a graph."""
        if self.last is None:
            return
        training, samples = self.last
        self.last = None
        self.count("train", training)
        if self.kind == "batch_norm" and training:
            low, high = self.samples or (samples, samples)
            self.samples = min(low, samples), max(high, samples)
            self.tiny += samples <= TINY

    def compare(self, mean: Tensor) -> None:
        """A held-out call has left the running mean at this: keep by how much it moved since another."""
        if self.mean is not None and self.mean.shape == mean.shape:
            moved = (mean - self.mean).abs().max()
            self.moved = moved if self.moved is None else torch.maximum(moved, self.moved)
        self.mean = mean.clone()

    def plain(self) -> dict[str, Any]:
        """As JSON."""
        found: dict[str, Any] = {"kind": self.kind, "training": self.training, "evaluation": self.evaluation}
        if self.probability:
            found["probability"] = self.probability
        for name, count in (("apart", self.apart), ("repeated", self.repeated)):
            if count:
                found[f"held_out_calls_{name}"] = count
        if self.batches:
            found["held_out_batches_in_training_mode"] = self.batches
        if self.losses:
            found["held_out_losses_in_training_mode"] = self.losses
        if self.samples:
            found |= {"fewest_samples": self.samples[0], "most_samples": self.samples[1], "tiny": self.tiny}
        if self.moved is not None:
            found["moved_by_evaluation"] = float(self.moved)
        return found


class _RunningStatistics:
    def __init__(self) -> None:
        self._layers: PerModule[_Modes] = PerModule(_Modes)
        self._held: list[weakref.ref[nn.Module]] = []  # ran in training mode since the last held-out loss
        self._known: dict[str, dict[str, _Modes]] = {}
        self._within: list[_Modes] = []  # in training mode in a held-out call of a model that goes on
        self._inputs: tuple[int, Any] | None = None  # of the held-out call before
        self._held_batch = False  # whether a loader has given held-out data, that no call has used yet

    def on_batch(self, batch: Batch) -> None:
        self._held_batch = batch.part != "train"

    def on_module(self, call: ModuleCall) -> None:
        self._see(call)
        if not call.depth:
            self._returned(call)

    def _returned(self, call: ModuleCall) -> None:
        """A whole model returned: what ran in training mode within it did so with the model, or apart from it."""
        given = first_tensor(call.inputs)
        inputs = None if given is None or call.part == "train" else content(given)
        for modes in {id(each): each for each in self._within}.values():
            modes.apart += not call.module.training
            modes.repeated += inputs is not None and inputs == self._inputs
            modes.batches += self._held_batch
        self._within.clear()
        self._inputs = inputs
        if call.part != "train":
            self._held_batch = False

    def _see(self, call: ModuleCall) -> None:
        kind = _kind(call.module)
        if not kind:
            return
        modes = self._layers.of(call.module)
        modes.kind, modes.probability = kind, probability(call.module)
        if call.part == "train":
            given = first_tensor(call.inputs)
            modes.last = call.module.training, len(given) if given is not None and given.dim() else 1
            modes.mean = None
            return
        modes.count(call.part, call.module.training)
        if call.module.training:
            self._held.append(weakref.ref(call.module))
            self._within.append(modes)
        statistic = getattr(call.module, "running_mean", None)
        if isinstance(statistic, Tensor):
            modes.compare(thinned(statistic))

    def on_loss(self, loss: LossCall) -> None:
        if loss.part == "train":
            return
        for module in {id(module): module for each in self._held if (module := each()) is not None}.values():
            self._layers.of(module).losses += 1
        self._held.clear()

    def after_step(self, step: Step) -> None:
        self._held.clear()
        known = self._known.setdefault(step.thread, {})
        for name, _, modes in self._layers.named(step.modules):
            modes.trained()
            if name in known or len(known) < MOST_LAYERS:
                known[name] = modes

    def facts(self) -> dict[str, Any]:
        """By thread and layer: calls by mode and part, samples that batch norm saw, what evaluation moved."""
        return {
            thread: {name: modes.plain() for name, modes in known.items()}
            for thread, known in self._known.items()
            if known
        }


def content(tensor: Tensor) -> tuple[Any, ...] | None:
    """What tells one batch from another: its place in memory does not, for that is used again."""
    if not tensor.is_cpu or tensor.layout != torch.strided or tensor.is_complex() or tensor.is_quantized:
        return None
    return tensor.shape, float(thinned(tensor).double().sum())


def probability(module: nn.Module) -> float:
    """With which dropout sets a value to zero; 0 of other layers."""
    return float(module.p) if isinstance(module, _DropoutNd) else 0.0


def _kind(module: nn.Module) -> str:
    """What a layer is that does something else while training; "" for any other."""
    if isinstance(module, _BatchNorm):
        return "batch_norm"
    dropout = isinstance(module, _DropoutNd) and module.p > 0
    return "dropout" if dropout or (isinstance(module, nn.RNNBase) and module.dropout > 0) else ""


SIGNAL = Signal(units={}, cost="activations", start=_RunningStatistics, parts=("train", "held-out"))
