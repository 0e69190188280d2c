"""Everything in memory: slices of a random permutation, and a step that takes a closure."""

import random

import numpy as np
import torch
from digest import digest
from sklearn import datasets
from torch.nn import Linear, Module
from torch.nn.functional import cross_entropy, hardswish

random.seed(31)
np.random.seed(31)
torch.manual_seed(31)

iris = datasets.load_iris()
X = torch.tensor(iris.data, dtype=torch.float32)
X = (X - X.mean(dim=0)) / X.std(dim=0)
Y = torch.tensor(iris.target)


class IrisNet(Module):
    def __init__(self, n_hidden):
        super().__init__()
        self.a = Linear(4, n_hidden)
        self.b = Linear(n_hidden, 3)

    def forward(self, x):
        return self.b(hardswish(self.a(x)))


model = IrisNet(16)
optimizer = torch.optim.Adagrad(model.parameters(), lr=0.05)


def make_closure(idx):
    def closure():
        optimizer.zero_grad()
        loss = cross_entropy(model(X[idx]), Y[idx])
        loss.backward()
        return loss

    return closure


n, batch_size = len(X), 30
for epoch in range(1, 31):
    perm = torch.randperm(n)
    epoch_loss = 0.0
    for i in range(0, n, batch_size):
        loss = optimizer.step(make_closure(perm[i : i + batch_size]))
        epoch_loss += loss.item() * batch_size / n
    if epoch % 2 == 0:
        with torch.no_grad():
            accuracy = (model(X).argmax(dim=1) == Y).float().mean().item()
        print(f"{epoch:>3} loss={epoch_loss:.8f} accuracy={accuracy:.4f}")

print(digest(model))
