"""transformers: watch what a Trainer trains.

trainer = transformers.Trainer(model, arguments, callbacks=[fitwell.integrations.transformers.Watch()])
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fitwell.integrations._training import Training, missing
from fitwell.run import Run

try:
    from transformers import TrainerCallback
except ImportError as error:
    raise missing("transformers", "transformers", error) from error


class Watch(TrainerCallback):  # type: ignore[misc]
    """Watches each ``train`` of a Trainer, on its first rank.

    The library does not tell of an exception: then the run has failed when the program ends, or trains again.

    Args:
        runs: the folder of runs; by default FITWELL_RUNS, else ``runs`` here.
        budget: the share of the wall time that watching may take.

    Raises:
        StorageError: when a training begins, and the folder of runs can't be written.
    """

    def __init__(self, runs: str | Path | None = None, budget: float = 0.03) -> None:
        self._training = Training(runs, budget)

    @property
    def run(self) -> Run | None:
        """The run of the last training; None where nothing was watched."""
        return self._training.run

    def on_train_begin(self, _args: Any, state: Any, _control: Any, *, model: Any, **_: Any) -> None:
        """A training begins."""
        if state.is_world_process_zero:
            self._training.begin(model)

    def on_train_end(self, *_: Any, **__: Any) -> None:
        """A training has ended."""
        self._training.end()
