"""Right answers of a classifier that is evaluated without a loss: its outputs beside the labels of the batch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from fitwell.watching.answers import answers
from fitwell.watching.losses import Seen, read, right_answers
from fitwell.watching.passes import Origin
from fitwell.watching.tensors import measurable

if TYPE_CHECKING:
    from fitwell.watching.watcher import Watcher

MOST_LABELS = 32_768
CLASSES = ("cross_entropy", "nll_loss")
BINARY = ("binary_cross_entropy_with_logits", "binary_cross_entropy")


class Scores:
    """Counts right answers where an evaluation computes none of torch's losses.

    What a model says of a batch waits until the next batch: if a loss is computed by then, or a step is taken, that
    tells more, and the answers are forgotten. So they are if the model is called twice.
    """

    def __init__(self, watcher: Watcher) -> None:
        self.watcher = watcher
        self.counted = False  # any
        self._trained: tuple[str, int] | None = (
            None  # the loss of classes that is trained on, and its outputs
        )
        self._labels: list[Tensor] = []  # copies of what may be labels in the last batch
        self._without_graphs = False  # when the last batch was given
        self._waiting: tuple[Seen, Origin] | None = None

    def trained(self, function: str, input: Any) -> None:
        """A loss with a graph was computed."""
        self.stepped()
        if function in (*CLASSES, *BINARY) and isinstance(input, Tensor):
            outputs = input.shape[1] if input.dim() == 2 else 1 if input.dim() == 1 else 0
            self._trained = function, outputs

    def forget(self) -> None:
        """A loss was computed of the last batch."""
        self._labels, self._waiting = [], None

    def stepped(self) -> None:
        """Training goes on: perhaps with the last batch, as where a teacher was asked first."""
        if self._without_graphs:
            self.settle()
        self.forget()

    def batch(self, content: Any) -> None:
        """A loader gave a batch; what was said of the last one is settled."""
        self._without_graphs = not torch.is_grad_enabled()
        known = self._trained is not None and self.watcher.level
        self._labels = list(_labels(content)) if known else []

    def answered(self, output: Any) -> None:
        """A whole model returned something without a graph."""
        output = output[0] if isinstance(output, (tuple, list)) and output else output
        if self._trained is None or not isinstance(output, Tensor) or not measurable(output):
            return
        found = _judged(*self._trained, output.detach(), self._labels)
        if found is not None and self._waiting is not None:
            self.forget()
        elif found is not None:
            self._waiting = found, self.watcher.phases.passes.origin()

    def settle(self) -> None:
        """What was said of the last batch counts."""
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            self.counted = True
            self.watcher.catch_up()
            self.watcher.phases.scored(*waiting)
            self.watcher.quick.countdown = 1  # the next step resumes training


def _labels(content: Any) -> Iterator[Tensor]:
    """Copies of what may be labels in a batch, the last one first."""
    found = list(content.values()) if isinstance(content, Mapping) else content
    if not isinstance(found, (tuple, list)):
        return
    for label in reversed(found[-8:]):
        flat = isinstance(label, Tensor) and (label.dim() == 1 or (label.dim() == 2 and label.shape[1] == 1))
        if flat and type(label) is Tensor and 0 < label.numel() <= MOST_LABELS:
            yield label.detach().clone()


def _judged(function: str, outputs: int, output: Tensor, labels: list[Tensor]) -> Seen | None:
    """How many answers are right, if output and labels are like those that are trained on."""
    rows = output.shape[0] if output.dim() else 0
    label = next((each for each in labels if len(each) == rows), None)
    if label is None or not rows:
        return None
    label = label.reshape(-1)
    if function in CLASSES:
        fits = output.dim() == 2 and output.shape[1] == outputs > 1 and not label.is_floating_point()
        fits = fits and int(label.min()) >= 0 and int(label.max()) < outputs
    else:
        fits = outputs == 1 and output.numel() == rows and bool(((label == 0) | (label == 1)).all())
        output = output.reshape(-1)
    found = right_answers(function, output, label.to(output.device), {}) if fits else None
    if found is None:
        return None
    told = answers(function, output, label.to(output.device), *found)
    return Seen("", 0.0, 0, correct=read(found[0].sum()), judged=rows, answers=told)
