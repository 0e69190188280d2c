"""A two-layer network from scratch: no nn.Module, no optimizer, double precision."""

import random

import numpy as np
import torch
from digest import digest
from sklearn.datasets import load_diabetes

random.seed(7)
np.random.seed(7)
torch.manual_seed(7)
dtype = torch.float64

features, progression = load_diabetes(return_X_y=True)
x = torch.tensor(features, dtype=dtype)
x = (x - x.mean(0)) / x.std(0)
t = torch.tensor(progression, dtype=dtype).reshape(-1, 1)
t = (t - t.mean()) / t.std()

order = torch.randperm(len(x))
x_train, t_train = x[order[:352]], t[order[:352]]
x_test, t_test = x[order[352:]], t[order[352:]]

n_in, n_hidden = x.shape[1], 16
w1 = (torch.randn(n_in, n_hidden, dtype=dtype) / n_in**0.5).requires_grad_()
b1 = torch.zeros(n_hidden, dtype=dtype, requires_grad=True)
w2 = (torch.randn(n_hidden, 1, dtype=dtype) / n_hidden**0.5).requires_grad_()
b2 = torch.zeros(1, dtype=dtype, requires_grad=True)
params = [w1, b1, w2, b2]


def forward(inputs):
    hidden = torch.tanh(inputs @ w1 + b1)
    return hidden @ w2 + b2


lr = 0.02
batch_size = 32
for epoch in range(20):
    total = 0.0
    for idx in torch.randperm(len(x_train)).split(batch_size):
        loss = ((forward(x_train[idx]) - t_train[idx]) ** 2).mean()
        loss.backward()
        with torch.no_grad():
            for p in params:
                p -= lr * p.grad  # noqa: PLW2901
                p.grad.zero_()
        total += loss.item() * len(idx)
    with torch.no_grad():
        test_loss = ((forward(x_test) - t_test) ** 2).mean().item()
    print(f"epoch {epoch:2d}  train mse {total / len(x_train):.8f}  test mse {test_loss:.8f}")

print(digest(params))
