"""The same training in every library: an MLP 32-64-64-2, batch 64, Adam at 1e-3, shuffled every epoch.

Each function makes its library ready and returns ``train(epochs)``. Who can divide the data or be given a
validation part is measured with one where that is its default ("defaults") and without one ("bare").
PyTorch loops get the fused Adam, which is the fastest on offer; Keras and scikit-learn have their own.
"""

from __future__ import annotations

import logging
import tempfile
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

STEPS = 768  # of an epoch
BATCH = 64
TRAIN = STEPS * BATCH  # 49,152 samples
VALIDATION = TRAIN // 4  # a fifth of all samples, which is skorch's default

Train = Callable[[int], dict[str, float] | None]


def data() -> tuple[np.ndarray, np.ndarray]:
    """X (61,440, 32) float32 and two classes that a small net can tell apart, with some noise."""
    rng = np.random.default_rng(0)
    x_NF = rng.standard_normal((TRAIN + VALIDATION, 32), dtype=np.float32)
    hidden = np.tanh(x_NF @ rng.standard_normal((32, 16), dtype=np.float32))
    score = hidden @ rng.standard_normal(16, dtype=np.float32) + rng.standard_normal(len(x_NF))
    return x_NF, (score > 0).astype(np.int64)


def tensors() -> Any:
    """The training part and the validation part as TensorDatasets."""
    import torch
    from torch.utils.data import TensorDataset

    x_NF, y = map(torch.from_numpy, data())
    return TensorDataset(x_NF[:TRAIN], y[:TRAIN]), TensorDataset(x_NF[TRAIN:], y[TRAIN:])


def network() -> Any:
    """A fresh net, the same for everybody who builds on PyTorch."""
    import torch
    from torch import nn

    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(32, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 2))


def raw() -> Train:
    """What one would write by hand for speed: permute once an epoch, slice, fused Adam. Nothing else."""
    import torch
    from torch.nn.functional import cross_entropy

    x_NF, y = tensors()[0].tensors

    def train(epochs: int) -> None:
        model = network()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)
        for _ in range(epochs):
            order = torch.randperm(TRAIN)
            x_epoch, y_epoch = x_NF[order], y[order]
            for start in range(0, TRAIN, BATCH):
                optimizer.zero_grad()
                loss = cross_entropy(model(x_epoch[start : start + BATCH]), y_epoch[start : start + BATCH])
                loss.backward()
                optimizer.step()

    return train


def fitwell_epoch() -> Train:
    """``fitwell.fit`` with every default on: validation, metrics, events, checkpoints, the table."""
    import fitwell
    from fitwell.views.console import Progress

    pair = data()
    same: dict[str, Any] = {"hidden": (64, 64), "activation": "relu", "norm": "none", "dropout": 0.0}
    same |= {"algorithm": "adam", "lr": 1e-3, "weight_decay": 0.0, "batch_size": BATCH, "threads": 1}
    plan = fitwell.Plan(data=pair, model="mlp").change(**same, validation=VALIDATION, test=0)

    class Timed(Progress):
        """The time from the first step to the last epoch's end: the report and the boosting come once."""

        def begin(self, info: Any) -> None:
            super().begin(info)
            self.start = time.perf_counter(), time.process_time()

        def end(self) -> None:
            if not hasattr(self, "stop"):
                self.stop = time.perf_counter(), time.process_time()
            super().end()

    def train(epochs: int) -> dict[str, float]:
        shown = Timed()
        with tempfile.TemporaryDirectory() as folder:
            fitwell.fit(plan.change(epochs=epochs, patience=epochs), runs=folder, observer=shown)
        return {"wall": shown.stop[0] - shown.start[0], "cpu": shown.stop[1] - shown.start[1]}

    return train


def loader_loop() -> Train:
    """The loop of PyTorch's tutorials: DataLoader over a TensorDataset."""
    import torch
    from torch.nn.functional import cross_entropy
    from torch.utils.data import DataLoader

    loader = DataLoader(tensors()[0], batch_size=BATCH, shuffle=True)

    def train(epochs: int) -> None:
        model = network()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)
        for _ in range(epochs):
            for x_BF, y in loader:
                optimizer.zero_grad()
                cross_entropy(model(x_BF), y).backward()
                optimizer.step()

    return train


def lightning_module(logs: bool) -> Any:
    """The LightningModule of the net; its figures are logged on demand."""
    import torch
    from lightning.pytorch import LightningModule
    from torch.nn.functional import cross_entropy

    class Module(LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.model = network()

        def training_step(self, batch: Any) -> Any:
            loss = cross_entropy(self.model(batch[0]), batch[1])
            if logs:
                self.log("train/loss", loss, prog_bar=True)
            return loss

        def validation_step(self, batch: Any) -> None:
            self.log("val/loss", cross_entropy(self.model(batch[0]), batch[1]), prog_bar=True)

        def configure_optimizers(self) -> Any:
            return torch.optim.Adam(self.parameters(), lr=1e-3, fused=True)

    return Module()


def lightning_trainer(bare: bool) -> Train:
    """Lightning's Trainer: bare, or with its defaults and two logged figures."""
    from lightning.pytorch import Trainer
    from torch.utils.data import DataLoader

    warnings.simplefilter("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    training, validation = tensors()
    loaders = [DataLoader(training, BATCH, shuffle=True)]
    if not bare:
        loaders.append(DataLoader(validation, 1024))
    parts = ("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary")
    off: dict[str, Any] = dict.fromkeys(parts, False) if bare else {}

    def train(epochs: int) -> None:
        with tempfile.TemporaryDirectory() as folder:
            trainer = Trainer(accelerator="cpu", default_root_dir=folder, max_epochs=epochs, **off)
            trainer.fit(lightning_module(logs=not bare), *loaders)

    return train


def skorch_net(bare: bool) -> Train:
    """The NeuralNetClassifier of skorch: bare, or with its defaults (a fifth for validation, printed log)."""
    import torch
    from skorch import NeuralNetClassifier

    x_NF, y = data()
    if bare:
        x_NF, y = x_NF[:TRAIN], y[:TRAIN]
    options: dict[str, Any] = {"train_split": None, "callbacks": "disable", "verbose": 0} if bare else {}

    def train(epochs: int) -> None:
        net = NeuralNetClassifier(
            network(), criterion=torch.nn.CrossEntropyLoss, optimizer=torch.optim.Adam, optimizer__fused=True,
            lr=1e-3, batch_size=BATCH, max_epochs=epochs, iterator_train__shuffle=True, **options,
        )  # fmt: skip
        net.fit(x_NF, y)

    return train


def keras_model() -> Train:
    """Keras 3 on the torch backend: compile and fit, nothing printed."""
    import keras

    x_NF, y = data()
    x_NF, y = x_NF[:TRAIN], y[:TRAIN]

    def train(epochs: int) -> None:
        dense = keras.layers.Dense
        model = keras.Sequential([dense(64, activation="relu"), dense(64, activation="relu"), dense(2)])
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(optimizer=keras.optimizers.Adam(1e-3), loss=loss)
        model.fit(x_NF, y, batch_size=BATCH, epochs=epochs, verbose=0)

    return train


def scikit_learn_mlp() -> Train:
    """scikit-learn's MLPClassifier, which has its own NumPy loop."""
    from sklearn.neural_network import MLPClassifier

    warnings.simplefilter("ignore")
    x_NF, y = data()
    x_NF, y = x_NF[:TRAIN], y[:TRAIN]

    def train(epochs: int) -> None:
        MLPClassifier(
            (64, 64), batch_size=BATCH, learning_rate_init=1e-3, alpha=0.0, max_iter=epochs,
            tol=0.0, n_iter_no_change=epochs + 1, random_state=0,
        ).fit(x_NF, y)  # fmt: skip

    return train


PEERS: dict[str, Callable[[], Train]] = {
    "raw slicing loop": raw,
    "fitwell, every default on": fitwell_epoch,
    "PyTorch DataLoader loop": loader_loop,
    "Lightning, bare": lambda: lightning_trainer(bare=True),
    "Lightning, defaults": lambda: lightning_trainer(bare=False),
    "skorch, bare": lambda: skorch_net(bare=True),
    "skorch, defaults": lambda: skorch_net(bare=False),
    "Keras 3 on torch": keras_model,
    "scikit-learn MLPClassifier": scikit_learn_mlp,
}
