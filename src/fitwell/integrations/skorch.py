"""skorch: watch what a net fits.

net = skorch.NeuralNetClassifier(Net, callbacks=[fitwell.integrations.skorch.Watch()])
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fitwell.integrations._training import Training, missing
from fitwell.run import Run

try:
    from skorch.callbacks import Callback
except ImportError as error:
    raise missing("skorch", "skorch", error) from error


class Watch(Callback):  # type: ignore[misc]
    """Watches each ``fit`` and ``partial_fit`` of a net.

    The library does not tell of an exception: then the run has failed when the program ends, or trains again.

    Args:
        runs: the folder of runs; by default FITWELL_RUNS, else ``runs`` here.
        budget: the share of the wall time that watching may take.

    Raises:
        StorageError: when a fit begins, and the folder of runs can't be written.
    """

    def __init__(self, runs: str | Path | None = None, budget: float = 0.03) -> None:
        self.runs, self.budget = runs, budget
        self.training_ = Training(runs, budget)  # by its name no setting

    @property
    def run(self) -> Run | None:
        """The run of the last fit; None where nothing was watched."""
        return self.training_.run

    def initialize(self) -> Watch:
        """Take the settings as they are now."""
        self.training_ = Training(self.runs, self.budget)
        return self

    def on_train_begin(self, net: Any, **_: Any) -> None:
        """A fit begins."""
        self.training_.begin(net.module_)

    def on_train_end(self, *_: Any, **__: Any) -> None:
        """A fit has ended."""
        self.training_.end()
