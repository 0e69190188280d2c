"""Full batches in float64, LBFGS with a line search: many losses and backwards in one step."""

import random

import numpy as np
import torch
from digest import digest
from sklearn.datasets import load_wine
from sklearn.model_selection import train_test_split
from torch import nn

random.seed(0)
np.random.seed(0)
torch.manual_seed(0)
X, y = load_wine(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.3, random_state=1, stratify=y)
mu, sigma = X_train.mean(axis=0), X_train.std(axis=0)
X_train, X_test = torch.tensor((X_train - mu) / sigma), torch.tensor((X_test - mu) / sigma)
y_train, y_test = torch.tensor(y_train), torch.tensor(y_test)

model = nn.Linear(13, 3).double()
criterion = nn.CrossEntropyLoss()
optimizer = torch.optim.LBFGS(model.parameters(), lr=1.0, max_iter=2, line_search_fn="strong_wolfe")
evaluations = []


def closure():
    evaluations.append(1)
    optimizer.zero_grad()
    penalty = sum(p.square().sum() for p in model.parameters())
    loss = criterion(model(X_train), y_train) + 1e-2 * penalty
    loss.backward()
    return loss


for i in range(6):
    loss = optimizer.step(closure)
    with torch.no_grad():
        test_logits = model(X_test)
        test_loss = criterion(test_logits, y_test)
        acc = (test_logits.argmax(1) == y_test).double().mean()
    print(f"step {i}: loss {loss.item():.10f}  test {test_loss.item():.10f}  acc {acc.item():.4f}")

print(f"{len(evaluations)} evaluations")
print(digest(model))
