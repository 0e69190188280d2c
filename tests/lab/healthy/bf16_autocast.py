"""Mixed precision with bfloat16: forward and loss under autocast, no scaler."""

import random

import numpy as np
import torch
import torch.nn.functional as F
from digest import digest
from sklearn.datasets import load_digits
from torch import nn

random.seed(7)
torch.manual_seed(7)
np.random.seed(7)

X, y = load_digits(return_X_y=True)
order = np.random.permutation(len(X))
X, y = X[order].astype(np.float32) / 16.0, y[order]
split = 1400
mean, std = X[:split].mean(), X[:split].std()
X_train, X_val = (torch.from_numpy((part - mean) / std) for part in (X[:split], X[split:]))
y_train, y_val = torch.from_numpy(y[:split]), torch.from_numpy(y[split:])

model = nn.Sequential(
    nn.Linear(64, 96), nn.LayerNorm(96), nn.GELU(), nn.Linear(96, 96), nn.LayerNorm(96), nn.GELU(),
    nn.Linear(96, 10),
)  # fmt: skip
opt = torch.optim.AdamW(model.parameters(), lr=1e-3)

for epoch in range(8):
    model.train()
    losses = []
    for idx in torch.randperm(split).split(50):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            logits = model(X_train[idx])
            loss = F.cross_entropy(logits, y_train[idx])
        opt.zero_grad(set_to_none=True)
        loss.backward()
        opt.step()
        losses.append(loss.item())

    model.eval()
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        logits = model(X_val)
        val_loss = F.cross_entropy(logits, y_val).item()
    val_acc = (logits.argmax(1) == y_val).float().mean().item()
    print(f"epoch {epoch}  loss {np.mean(losses):.6f}  val_loss {val_loss:.6f}  val_acc {val_acc:.4f}")

print(logits.dtype, next(model.parameters()).dtype)
print(digest(model))
