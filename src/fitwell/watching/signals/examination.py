"""What each model computes, tried in a forked child on the inputs of one training call; and in which mode it is called.

The child is forked at the second watched step, when a first one has shown which losses follow the call.
"""

from __future__ import annotations

import weakref
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from fitwell.watching import fork
from fitwell.watching.activations import PerModule, first_tensor, tensors_in
from fitwell.watching.examine import Subject, examine
from fitwell.watching.moments import Batch, Call, LossCall, ModuleCall, Step
from fitwell.watching.signal import Signal
from fitwell.watching.signals.running_statistics import content
from fitwell.watching.source import origin, place, where

MOST_MODELS = 4  # that are examined: each costs a fork, some milliseconds
SECONDS = 5.0  # of a child
PATIENCE = 0.8  # seconds that the end of the program waits for children
ROW_BY_ROW = (nn.Linear, nn.modules.batchnorm._NormBase, nn.LayerNorm, nn.modules.dropout._DropoutNd, nn.Sequential,
              nn.ModuleList, nn.Identity, nn.Flatten, nn.Softmax, nn.ReLU, nn.Tanh, nn.Sigmoid, nn.GELU, nn.SiLU,
              nn.LeakyReLU, nn.ELU, nn.Softplus)  # fmt: skip
LARGEST = 2**24  # elements of the inputs


@dataclass(slots=True)
class _Model:
    """What is known of a model, by the calls of it from the program."""

    calls: dict[str, int] = field(default_factory=lambda: {"train": 0, "held_out": 0})
    in_evaluation_mode: dict[str, int] = field(default_factory=lambda: {"train": 0, "held_out": 0})
    steps: int = 0
    repeated: int = 0  # held-out calls with the inputs of the call before, as for Monte Carlo dropout
    content: Any = None  # what tells the inputs of the last call from others
    evals: int = 0  # calls of ``eval``
    fresh: bool = False  # whether the last call was given other values of the same shape than the one before
    where: dict[str, Any] | None = None
    child: fork.Child | None = None
    refused: str | None = None

    def count(self, call: ModuleCall) -> None:
        """One more call."""
        kind = "train" if call.part == "train" else "held_out"
        self.calls[kind] += 1
        self.in_evaluation_mode[kind] += not call.module.training
        given = first_tensor(call.inputs)
        now = None if given is None else content(given)
        self.fresh = (
            now is not None and self.content is not None and now[0] == self.content[0] and now != self.content
        )
        self.repeated += kind == "held_out" and now is not None and now == self.content
        self.content = now

    def plain(self) -> dict[str, Any]:
        """As JSON."""
        found: dict[str, Any] = {
            "calls": self.calls,
            "in_evaluation_mode": self.in_evaluation_mode,
            "evals": self.evals,
            "repeated": self.repeated,
        }
        if self.child is not None:
            found |= self.child.result() or {}
        if self.refused:
            found["refused"] = self.refused
        return found | {"where": self.where}


class _Examination:
    def __init__(self) -> None:
        self._models: PerModule[_Model] = PerModule(_Model)
        self._known: dict[str, dict[str, _Model]] = {}
        self._loaded: set[int] = set()  # lengths of the tensors in the last batch of a loader
        self._targets: set[int] = set()  # lengths of the targets of the losses since the last step
        self._targets_before: set[int] = set()
        self._ran: list[weakref.ref[nn.Module]] = []
        self._children: list[fork.Child] = []

    def on_batch(self, batch: Batch) -> None:
        self._loaded = {len(t) for t in tensors_in(batch.content) if t.dim()}

    def on_loss(self, loss: LossCall) -> None:
        if loss.part == "train" and isinstance(loss.target, Tensor) and loss.target.dim():
            self._targets.add(len(loss.target))

    def on_call(self, call: Call) -> None:
        if call.what == "eval" and isinstance(call.on, nn.Module):
            self._models.of(call.on).evals += 1

    def on_module(self, call: ModuleCall) -> None:
        if call.depth or next(call.module.parameters(), None) is None:
            return
        model = self._models.of(call.module)
        model.count(call)
        if call.part != "train":
            return
        self._ran.append(weakref.ref(call.module))
        if model.steps and model.child is None and not model.refused:
            self._examine(call, model)

    def after_step(self, step: Step) -> None:
        self._targets_before, self._targets, self._loaded = self._targets, set(), set()
        for model in {id(m): self._models.of(m) for ref in self._ran if (m := ref()) is not None}.values():
            model.steps += 1
        self._ran.clear()
        known = self._known.setdefault(step.thread, {})
        for name, _, model in self._models.named(step.modules):
            known[name] = model

    def at_end(self, _: None) -> None:
        wait = PATIENCE
        for child in self._children:
            child.result(wait)
            wait = wait if child.done else 0.0
            child.stop()

    def facts(self) -> dict[str, Any]:
        """By thread and model: how often it was called in which mode, and what was found out about it."""
        return {
            "threads": {
                thread: {name: model.plain() for name, model in known.items()}
                for thread, known in self._known.items()
                if known
            }
        }

    def _examine(self, call: ModuleCall, model: _Model) -> None:
        model.where = _line(call.module)
        model.refused = self._refusal(call)
        if model.refused:
            return
        subject = Subject(
            call.module, call.inputs, call.names, self._independent(call, model), self._either(call)
        )
        try:
            model.child = fork.forked(lambda: examine(subject, SECONDS), SECONDS)
        except OSError as error:
            model.refused = str(error)
            return
        self._children.append(model.child)

    def _refusal(self, call: ModuleCall) -> str | None:
        if len(self._children) >= MOST_MODELS:
            return "enough other models were examined"
        tensors = [*call.module.parameters(), *call.module.buffers(), *tensors_in(list(call.inputs))]
        if any(t.device.type != "cpu" for t in tensors):
            return "it is not on the CPU"
        weights = [*call.module.parameters(), *call.module.buffers()]
        if any(t.is_shared() for t in weights if not t.is_sparse):
            return "it shares memory with other processes"
        if sum(t.numel() for t in tensors_in(list(call.inputs))) > LARGEST:
            return "its inputs are large"
        return fork.refusal()

    def _either(self, call: ModuleCall) -> bool:
        """Whether each number of a matrix of indices has a label: rows or columns are samples, the others moments."""
        first = next((t for t in call.inputs if isinstance(t, Tensor) and t.dim()), None)
        indices = first is not None and first.dim() == 2 and not first.is_floating_point()
        return (
            indices and first is not None and first.numel() in self._targets_before and min(first.shape) > 2
        )

    def _independent(self, call: ModuleCall, model: _Model) -> bool:
        """Whether the rows of the inputs are samples: a loader gave so many, or so many were labelled.

        The rows of a matrix may be the nodes of a graph or moments of time, whose labels are as many; but hardly the
        rows of what has more axes, unless the next axis has one element: a batch of one sequence.
        """
        tensors = [t for t in call.inputs if isinstance(t, Tensor) and t.dim()]
        if not tensors:
            return False
        first, rows = tensors[0], len(tensors[0])
        labelled = rows in self._targets_before
        deep = first.dim() > 2 or (first.dim() == 2 and not first.is_floating_point())
        outputs = [t for t in tensors_in(call.output) if t.dim()]
        single = bool(outputs) and len(outputs[0]) == rows and outputs[0].dim() <= 2
        if not self._targets_before and not self._loaded and first.dim() == 2 and first.is_floating_point():
            # A loss of its own: batches that are drawn from a table, for a model with no other use of rows.
            return model.fresh and single and all(isinstance(m, ROW_BY_ROW) for m in _built_in(call.module))
        if rows in self._loaded:
            return labelled or not self._targets_before
        return labelled and deep and single and first.shape[1] > 1


def _built_in(model: nn.Module) -> list[nn.Module]:
    """The modules of torch in a model."""
    return [module for module in model.modules() if type(module).__module__.startswith("torch.")]


def _line(module: nn.Module) -> dict[str, Any] | None:
    """Where the model's ``forward`` is written, if the program did that; else the line that calls it."""
    code = getattr(type(module).forward, "__code__", None)
    if code is not None and origin(code.co_filename) == "program":
        return place(code, code.co_firstlineno).plain()
    line = where()
    return line.plain() if line else None


SIGNAL = Signal(units={}, cost="activations", start=_Examination, parts=("train", "held-out"))
