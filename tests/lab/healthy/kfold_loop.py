"""Cross-validation: a new model and a new optimizer for each of five folds."""

import random

import numpy as np
import torch
import torch.nn.functional as F
from digest import digest
from sklearn.datasets import load_wine
from sklearn.model_selection import StratifiedKFold
from torch import nn

EPOCHS = 12


class Classifier(nn.Module):
    def __init__(self):
        super().__init__()
        self.hidden = nn.Linear(13, 16)
        self.drop = nn.Dropout(0.1)
        self.out = nn.Linear(16, 3)

    def forward(self, x):
        x = self.drop(F.relu(self.hidden(x)))
        return F.log_softmax(self.out(x), dim=1)


def train_fold(X_tr, y_tr, X_va, y_va):
    model = Classifier()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01, weight_decay=1e-3)
    for epoch in range(EPOCHS):
        model.train()
        total = 0.0
        for idx in torch.randperm(len(X_tr)).split(32):
            optimizer.zero_grad()
            loss = F.nll_loss(model(X_tr[idx]), y_tr[idx])
            loss.backward()
            optimizer.step()
            total += loss.item() * len(idx)
        if (epoch + 1) % 3 == 0:
            model.eval()
            with torch.no_grad():
                val_loss = F.nll_loss(model(X_va), y_va).item()
            print(f"  epoch {epoch + 1:2d}: train {total / len(X_tr):.5f} val {val_loss:.5f}")
    model.eval()
    with torch.no_grad():
        return model, (model(X_va).argmax(1) == y_va).float().mean().item()


np.random.seed(10)
random.seed(10)
torch.manual_seed(10)
X, y = load_wine(return_X_y=True)
scores, models = [], []
for fold, (tr, va) in enumerate(StratifiedKFold(5, shuffle=True, random_state=10).split(X, y)):
    print(f"Fold {fold + 1}")
    mean, std = X[tr].mean(axis=0), X[tr].std(axis=0)
    Xn = torch.tensor((X - mean) / std, dtype=torch.float32)
    yt = torch.tensor(y)
    model, acc = train_fold(Xn[tr], yt[tr], Xn[va], yt[va])
    print(f"  accuracy {acc:.4f}")
    scores.append(acc)
    models.append(model)

print(f"mean accuracy {np.mean(scores):.4f} +/- {np.std(scores):.4f}")
print(digest(models))
