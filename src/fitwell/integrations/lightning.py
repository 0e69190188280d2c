"""Lightning: watch what a Trainer fits.

trainer = lightning.Trainer(callbacks=[fitwell.integrations.lightning.Watch()])
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

from fitwell.integrations._training import Training, missing
from fitwell.run import Run

NAMES = ("lightning.pytorch", "pytorch_lightning")  # the same library; who has one of them imported, uses it


def _library() -> Any:
    error = ImportError()
    for name in sorted(NAMES, key=lambda name: name not in sys.modules):
        try:
            return importlib.import_module(name)
        except ImportError as failed:
            error = failed
    raise missing("Lightning", "lightning", error) from error


class Watch(_library().Callback):  # type: ignore[misc]
    """Watches each ``fit`` of a Trainer, on its first rank.

    Args:
        runs: the folder of runs; by default FITWELL_RUNS, else ``runs`` here.
        budget: the share of the wall time that watching may take.

    Raises:
        StorageError: when a fit begins, and the folder of runs can't be written.
    """

    def __init__(self, runs: str | Path | None = None, budget: float = 0.03) -> None:
        self._training = Training(runs, budget)

    @property
    def run(self) -> Run | None:
        """The run of the last fit; None where nothing was watched."""
        return self._training.run

    def on_fit_start(self, trainer: Any, module: Any) -> None:
        """A fit begins; the tuning callbacks, which come first, have done their trials."""
        if trainer.is_global_zero:
            self._training.begin(module)

    def on_sanity_check_end(self, *_: Any) -> None:
        """A few batches to see whether validation works are no evaluation."""
        self._training.forget()

    def on_exception(self, _trainer: Any, _module: Any, exception: BaseException) -> None:
        """A fit failed."""
        self._training.end(exception)

    def teardown(self, *_: Any, **__: Any) -> None:
        """A fit has ended."""
        self._training.end()
