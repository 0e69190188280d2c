"""What holds for every remedy: it names what it treats, and what it changes can be changed."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest

from fitwell.diagnosing import rules
from fitwell.discovery import members
from fitwell.evidence import View
from fitwell.experiment import Settings
from fitwell.patch import Code
from fitwell.plan import Plan
from fitwell.remedy import About, Remedy
from fitwell.treating.changing.live import Live, apply, interventions

REMEDIES: dict[str, Remedy] = members("fitwell.remedies", "REMEDY")
RULES = rules()

# Findings that nothing in the program's text or in its training mends for sure, and why.
NOT_REMEDIED = {
    "distribution-shift": "which of the parts is prepared wrongly is not told, or the data must be split anew",
    "labels-unrelated-to-input": "inputs and labels must be joined anew",
}

# Plans with everything decided.
DECIDED = {
    "family": "mlp", "hidden": (64, 32), "activation": "relu", "norm": "none", "dropout": 0.2, "embedding": "none",
    "task": "classes", "validation": 0.2, "test": 0.2, "function": "cross-entropy", "lr": 0.01, "weight_decay": 0.01,
    "warmup": 0.0, "augment": (), "epochs": 10, "patience": None, "monitor": "metric", "batch_size": 32,
    "device": "cpu", "threads": 1, "shape": "constant",
}  # fmt: skip
PLANS = {
    "mlp": Plan(data="digits").change(**DECIDED),
    "cnn": Plan(data="digits").change(
        **DECIDED
        | {"family": "cnn", "norm": "batch", "augment": ("shift",), "algorithm": "sgd", "dropout": 0.0}
    ),
    "regression": Plan(data="x.csv").change(
        **DECIDED
        | {"task": "number", "function": "mse", "activation": "tanh", "shape": "one-cycle", "hidden": ()}
    ),
    "largest": Plan(data="digits").change(
        **DECIDED
        | {
            "weight_decay": 10.0,
            "dropout": 0.9,
            "warmup": 0.5,
            "lr": 100.0,
            "clip": 0.1,
            "label_smoothing": 0.9,
        }
    ),
    "undecided": Plan(data="digits"),
}

UNRELATED = {
    "empty": "",
    "prints": "import sys\n\nprint(sys.argv)\n",
    "another library": """\
from sklearn.linear_model import LogisticRegression

model = LogisticRegression(C=0.1)
for epoch in range(10):
    model.fit(x, y)
    print(epoch, model.score(x, y))
""",
}

FLAT = """\
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

LR, EPOCHS = 0.1, 20
x_train, x_val, y_train, y_val = load()
loader = DataLoader(TensorDataset(x_train, y_train), batch_size=2)
model = nn.Sequential(
    nn.Linear(8, 16), nn.BatchNorm1d(16), nn.Sigmoid(), nn.Dropout(0.9), nn.Linear(16, 3), nn.Softmax(1)
)
nn.init.normal_(model[0].weight, std=9.0)
criterion = nn.CrossEntropyLoss()
optimizer = torch.optim.SGD(model.parameters(), lr=LR, weight_decay=1.0)
for epoch in range(EPOCHS):
    for x, y in loader:
        loss = criterion(model(x), y) + torch.log(x).mean()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        print(criterion(model(x_val), y_val).item())
"""
CLASSES = """\
import argparse
import torch, torch.nn as nn
import torch.nn.functional as F

class Net(nn.Module):
    def __init__(self, width=32):
        super().__init__()
        self.a = nn.Linear(4, width); self.b = nn.Linear(width, 1)

    def forward(self, x):
        h = torch.tanh(self.a(x * 0))
        return torch.sigmoid(self.b(h))

class Trainer:
    def __init__(self, model, lr): self.model, self.opt = model, torch.optim.Adam(model.parameters(), lr)
    def step(self, x, y):
        if True: self.opt.zero_grad(); out = self.model(x)
        if True: loss = F.binary_cross_entropy_with_logits(out, y); loss.backward(); self.opt.step()

def main(args):
    trainer = Trainer(Net(), args.lr)
    for _ in range(args.epochs):
        for i in range(0, 100, args.batch): trainer.step(*data[i : i + args.batch])

parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float, default=1e-3), parser.add_argument("--epochs", default=3)
main(parser.parse_args())
"""
ADVERSARIES = """\
import torch
g, d = torch.nn.Linear(2, 2), torch.nn.Linear(2, 1)
g_opt, d_opt = torch.optim.Adam(g.parameters(), lr=1e-3), torch.optim.Adam(d.parameters(), lr=1e-3)
scaler = torch.amp.GradScaler("cpu")
while True:
    fake = g(torch.randn(8, 2))
    d_loss = d(fake.detach()).mean() - d(real()).mean()
    d_opt.zero_grad(); scaler.scale(d_loss).backward(); scaler.step(d_opt); scaler.update()
    g_loss = -d(fake).mean()
    g_opt.zero_grad()
    g_loss.backward()
    g_opt.step()
"""
PROGRAMS = {"flat": FLAT, "classes": CLASSES, "adversaries": ADVERSARIES}


def asked(remedy: Remedy) -> Iterator[tuple[str, Settings]]:
    return ((finding, dose) for finding in remedy.treats for dose in remedy.doses)


def views(finding: str) -> Iterator[View]:
    yield View()
    yield from (example.view for example in RULES[finding].fires)


@pytest.mark.parametrize("name", REMEDIES)
def test_it_names_what_it_treats(name: str) -> None:
    remedy = REMEDIES[name]
    assert remedy.treats
    assert not set(remedy.treats) - set(RULES), "findings that no rule makes"
    assert all(place >= 1 for place in remedy.treats.values())


@pytest.mark.parametrize("name", REMEDIES)
def test_it_is_said_in_sentences_without_a_full_stop(name: str) -> None:
    remedy = REMEDIES[name]
    assert remedy.doses
    texts = [*(remedy.says.format_map(dict(dose)) for dose in remedy.doses), remedy.costs, remedy.not_when]
    for text in texts:
        assert text.strip() == text
        assert text
        assert not text.endswith(".")


@pytest.mark.parametrize("name", REMEDIES)
def test_it_can_act(name: str) -> None:
    remedy = REMEDIES[name]
    assert remedy.plan or remedy.live or remedy.patch


@pytest.mark.parametrize("name", [name for name, remedy in REMEDIES.items() if remedy.plan])
@pytest.mark.parametrize("plan", PLANS)
def test_a_plan_becomes_another_or_is_left(name: str, plan: str) -> None:
    remedy, before = REMEDIES[name], PLANS[plan]
    assert remedy.plan is not None
    kept = before.to_json()
    for finding, dose in asked(remedy):
        about = About(finding, View(), dose=dose)
        after = remedy.plan(before, about)
        assert before.to_json() == kept
        if after is not None:
            assert after.diff(before), "it says that it changes the plan, and does not"
            assert Plan.from_json(after.to_json()) == after
            remedy.plan(after, about)  # once more is allowed


@pytest.mark.parametrize("name", [name for name, remedy in REMEDIES.items() if remedy.plan])
def test_some_plan_is_changed(name: str) -> None:
    remedy = REMEDIES[name]
    assert remedy.plan is not None
    assert any(
        remedy.plan(plan, About(finding, View(), dose=dose))
        for plan in PLANS.values()
        for finding, dose in asked(remedy)
    )


@pytest.mark.parametrize("name", [name for name, remedy in REMEDIES.items() if remedy.live])
def test_its_changes_can_be_made(name: str) -> None:
    remedy = REMEDIES[name]
    assert remedy.live is not None
    for finding, dose in asked(remedy):
        for view in views(finding):
            changes = remedy.live(About(finding, view, dose=dose))
            assert {change.intervention for change in changes} <= set(interventions())
            live = Live()
            try:
                apply(changes, live)
            finally:
                live.undo()


@pytest.mark.parametrize("name", [name for name, remedy in REMEDIES.items() if remedy.patch])
@pytest.mark.parametrize("program", UNRELATED)
def test_an_unrelated_program_is_left_alone(name: str, program: str) -> None:
    remedy = REMEDIES[name]
    assert remedy.patch is not None
    for finding, dose in asked(remedy):
        for view in views(finding):
            for line in (None, 1, 4, 100):
                assert not remedy.patch(Code(UNRELATED[program]), About(finding, view, line, dose))


@pytest.mark.parametrize("name", [name for name, remedy in REMEDIES.items() if remedy.patch])
@pytest.mark.parametrize("program", PROGRAMS)
def test_what_is_patched_is_python_still(name: str, program: str) -> None:
    remedy, code = REMEDIES[name], Code(PROGRAMS[program])
    assert remedy.patch is not None
    finding = next(iter(remedy.treats))
    for line in (None, *range(1, len(code.text.splitlines()) + 1)):
        edits = remedy.patch(code, About(finding, View(), line, remedy.doses[0]))
        after = code.edited(edits)
        ast.parse(after)
        assert bool(edits) == (after != code.text), "edits that change nothing"


def test_every_finding_that_can_be_has_a_remedy() -> None:
    treated = {finding for remedy in REMEDIES.values() for finding in remedy.treats}
    wanted = {name for name, rule in RULES.items() if rule.severity != "advice"}
    assert sorted(wanted - treated - set(NOT_REMEDIED)) == []
    assert sorted(treated.intersection(NOT_REMEDIED)) == [], "there is a remedy now: take it off the list"
