"""What the callback records of a net, and that it is trained the same without it."""

import importlib
import sys

import numpy as np
import pytest
import torch
from sklearn.model_selection import GridSearchCV
from skorch import NeuralNetClassifier
from skorch.callbacks import Checkpoint
from torch import nn

from fitwell.errors import FitwellError
from fitwell.integrations.skorch import Watch
from fitwell.run import Run, list_runs

pytestmark = pytest.mark.filterwarnings("ignore")
EPOCHS = 3
random = np.random.default_rng(0)
X = random.normal(size=(100, 8)).astype(np.float32)
Y = X[:, :3].argmax(1)


class Net(nn.Module):
    def __init__(self, width=12):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(8, width), nn.ReLU(), nn.Dropout(0.2))
        self.head = nn.Linear(width, 3)

    def forward(self, x):
        if torch.isnan(x).any():
            raise ValueError("a wall")
        return self.head(self.body(x))


def net(*callbacks, **settings):
    torch.manual_seed(0)
    settings = {"max_epochs": EPOCHS, "lr": 0.1, "batch_size": 16, "verbose": 0} | settings
    return NeuralNetClassifier(Net, criterion=nn.CrossEntropyLoss, callbacks=[*callbacks], **settings)


def logged(history, name):
    return [(epoch, pytest.approx(value)) for epoch, value in enumerate(history[:, name], 1)]


def test_the_fit_is_the_same_and_what_is_recorded_is_what_skorch_averaged(tmp_path):
    plain = net().fit(X, Y)
    stream = torch.get_rng_state()
    watch = Watch(tmp_path, budget=1.0)
    watched = net(watch).fit(X, Y)
    assert torch.equal(torch.get_rng_state(), stream)
    weights = plain.module_.state_dict().values(), watched.module_.state_dict().values()
    assert all(map(torch.equal, *weights))

    run = Run(watch.run.path)
    assert run.state == "done"
    assert run.info["data"] == "Net"
    assert run.curve("loss/train") == logged(watched.history, "train_loss")
    assert run.curve("loss/val") == logged(watched.history, "valid_loss")
    assert run.curve("accuracy/val") == logged(watched.history, "valid_acc")
    layers = {name.split("/")[1] for name in run.signals() if name.startswith("layer/")}
    assert {"body.0", "head"} <= layers <= {"body.0", "body.1", "body.2", "head"}
    assert (run.result["steps"], run.result["epochs"]) == (EPOCHS * 5, EPOCHS)
    assert not run.facts["unseen"]


def test_a_net_can_be_saved_while_it_is_watched(tmp_path):
    watch = Watch(tmp_path / "runs")
    net(watch, Checkpoint(dirname=tmp_path, f_pickle="net.pkl", monitor=None)).fit(X, Y)
    assert (tmp_path / "net.pkl").exists()
    assert Run(watch.run.path).state == "done"


def test_each_fit_of_a_search_is_a_run_and_one_that_failed_has_failed(tmp_path):
    broken = np.where(np.arange(100)[:, None] == 0, np.nan, X).astype(np.float32)
    grid = {"module__width": [4, 8]}
    GridSearchCV(net(Watch(tmp_path)), grid, cv=2, refit=False, error_score=0.0).fit(broken, Y)
    net(Watch(tmp_path)).fit(X, Y)
    states = [run.state for run in list_runs(tmp_path)]
    assert sorted(states) == ["done", "done", "done", "failed", "failed"]


def test_without_the_library_it_is_told_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "skorch.callbacks", None)
    monkeypatch.delitem(sys.modules, "fitwell.integrations.skorch")
    with pytest.raises(FitwellError, match=r"(?s)skorch.*fix: pip install 'fitwell\[skorch\]'"):
        importlib.import_module("fitwell.integrations.skorch")
