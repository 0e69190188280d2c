"""What the callback records of real fits, and that they are the same fits without it."""

import importlib
import math
import sys

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from fitwell.errors import FitwellError
from fitwell.run import Run

pytestmark = pytest.mark.filterwarnings("ignore")
PACKAGES = ("lightning.pytorch", "pytorch_lightning")
EPOCHS, BATCH = 3, 16


@pytest.fixture(params=PACKAGES, scope="module")
def lightning(request):
    return importlib.import_module(request.param)


@pytest.fixture
def watch(tmp_path):
    from fitwell.integrations.lightning import Watch

    return Watch(tmp_path, budget=1.0)


def loaders():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(96, 8, generator=generator)
    data = TensorDataset(x, x[:, :3].argmax(1))
    train, validation = torch.utils.data.random_split(data, [64, 32], generator=generator)
    return DataLoader(train, BATCH, shuffle=True), DataLoader(validation, BATCH)


def module(lightning, fails_at=None):
    class Classifier(lightning.LightningModule):
        lr = 1e-2

        def __init__(self):
            super().__init__()
            self.body = nn.Sequential(nn.Linear(8, 12), nn.ReLU(), nn.Dropout(0.2))
            self.head = nn.Linear(12, 3)

        def loss(self, batch):
            x, y = batch
            return F.cross_entropy(self.head(self.body(x)), y)

        def training_step(self, batch, number):
            if self.global_step == fails_at:
                raise ValueError("a wall")
            self.log("train_loss", loss := self.loss(batch), on_step=False, on_epoch=True)
            return loss

        def validation_step(self, batch, number):
            if fails_at == "sanity":
                raise ValueError("a wall")
            self.log("val_loss", self.loss(batch))

        def configure_optimizers(self):
            return torch.optim.Adam(self.parameters(), self.lr)

    return Classifier()


def fit(lightning, *callbacks, fails_at=None, **settings):
    """What was trained, and the losses that Lightning itself averaged in each epoch."""
    seen = {"train_loss": [], "val_loss": []}

    class Logged(lightning.Callback):
        def on_train_epoch_end(self, trainer, _):
            for name, values in seen.items():
                values.append(float(trainer.callback_metrics.get(name, math.nan)))

    torch.manual_seed(0)
    model = module(lightning, fails_at)
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    settings = {"max_epochs": EPOCHS, "accelerator": "cpu", "enable_model_summary": False} | quiet | settings
    trainer = lightning.Trainer(callbacks=[*callbacks, Logged()], **settings)
    trainer.fit(model, *loaders())
    return model, seen


def test_the_fit_is_the_same_and_what_is_recorded_is_what_lightning_averaged(lightning, watch):
    model, _ = fit(lightning)
    stream = torch.get_rng_state()
    watched, seen = fit(lightning, watch)
    assert torch.equal(torch.get_rng_state(), stream)
    assert all(map(torch.equal, model.state_dict().values(), watched.state_dict().values()))

    run = Run(watch.run.path)
    assert run.state == "done"
    assert run.info["data"] == "Classifier"
    assert run.curve("loss/train") == [(n + 1, pytest.approx(v)) for n, v in enumerate(seen["train_loss"])]
    # The two batches before the training are none of these.
    assert run.curve("loss/val") == [(n + 1, pytest.approx(v)) for n, v in enumerate(seen["val_loss"])]
    assert len(run.curve("accuracy/val")) == EPOCHS
    assert not [name for name in run.signals() if "test" in name]
    layers = {name.split("/")[1] for name in run.signals() if name.startswith("layer/")}
    assert {"body.0", "head"} <= layers <= {"body.0", "body.1", "body.2", "head"}
    assert (run.result["steps"], run.result["epochs"]) == (EPOCHS * 4, EPOCHS)
    assert [thread["models"] for thread in run.facts["threads"]] == [["model"]]
    assert not run.facts["unseen"]


@pytest.mark.parametrize("where", [5, "sanity"])
def test_an_exception_is_the_end_of_the_run(lightning, watch, where):
    with pytest.raises(ValueError, match="a wall"):
        fit(lightning, watch, fails_at=where)
    run = Run(watch.run.path)
    assert run.state == "failed"
    assert run.info["error"] == "ValueError: a wall"
    assert run.facts["failure"]["where"]["text"] == 'raise ValueError("a wall")'
    fit(lightning, watch, max_epochs=1)
    assert Run(watch.run.path).state == "done"
    assert run.path != watch.run.path


def test_evaluating_alone_is_not_watched(lightning, watch):
    trainer = lightning.Trainer(callbacks=[watch], logger=False, enable_progress_bar=False, accelerator="cpu")
    trainer.validate(module(lightning), loaders()[1], verbose=False)
    assert watch.run is None


def test_the_search_for_a_rate_is_no_part_of_the_fit(lightning, watch):
    fit(lightning, watch, lightning.callbacks.LearningRateFinder(num_training_steps=9))
    run = Run(watch.run.path)
    assert run.result["steps"] == EPOCHS * 4
    assert len(run.curve("loss/val")) == EPOCHS


def test_other_ranks_are_not_watched(lightning, watch):
    class Other:
        is_global_zero = False

    watch.on_fit_start(Other(), None)
    assert watch.run is None


def test_without_the_library_it_is_told_how_to_get_it(monkeypatch):
    for name in [*sys.modules]:
        if name.partition(".")[0] in ("lightning", "pytorch_lightning"):
            monkeypatch.delitem(sys.modules, name)
    for name in PACKAGES:
        monkeypatch.setitem(sys.modules, name.partition(".")[0], None)
    monkeypatch.delitem(sys.modules, "fitwell.integrations.lightning", raising=False)
    with pytest.raises(FitwellError, match=r"(?s)Lightning.*fix: pip install 'fitwell\[lightning\]'"):
        importlib.import_module("fitwell.integrations.lightning")
