"""Two tasks on one body: the cultivar of a wine and its alcohol, weighed by learned uncertainties."""

import random

import numpy as np
import torch
from digest import digest
from sklearn.datasets import load_wine
from torch import nn, optim


class MultiTaskNet(nn.Module):
    def __init__(self, in_features, n_classes):
        super().__init__()
        self.shared = nn.Sequential(nn.Linear(in_features, 24), nn.ReLU())
        self.classify = nn.Linear(24, n_classes)
        self.regress = nn.Linear(24, 1)
        # Weighed as by Kendall, Gal and Cipolla, 2018.
        self.log_vars = nn.Parameter(torch.zeros(2))

    def forward(self, x):
        h = self.shared(x)
        return self.classify(h), self.regress(h).squeeze(-1)


def load(seed):
    wine = load_wine()
    alcohol, rest = wine.data[:, 0], wine.data[:, 1:]
    order = np.random.RandomState(seed).permutation(len(rest))
    rest, alcohol, kind = rest[order], alcohol[order], wine.target[order]
    rest = (rest - rest[:130].mean(axis=0)) / rest[:130].std(axis=0)
    alcohol = (alcohol - alcohol[:130].mean()) / alcohol[:130].std()
    return torch.FloatTensor(rest), torch.LongTensor(kind), torch.FloatTensor(alcohol)


def main():
    random.seed(8)
    np.random.seed(8)
    torch.manual_seed(8)
    x, kind, alcohol = load(seed=8)
    model = MultiTaskNet(12, 3)
    ce, huber = nn.CrossEntropyLoss(), nn.SmoothL1Loss()
    optimizer = optim.NAdam(model.parameters(), lr=5e-3)

    for epoch in range(1, 31):
        model.train()
        sums = np.zeros(2)
        for idx in torch.randperm(130).split(26):
            logits, value = model(x[idx])
            task_losses = torch.stack([ce(logits, kind[idx]), huber(value, alcohol[idx])])
            loss = (task_losses * torch.exp(-model.log_vars) + 0.5 * model.log_vars).sum()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            sums += task_losses.detach().numpy() / 5

        if epoch % 3 == 0:
            model.eval()
            with torch.no_grad():
                logits, value = model(x[130:])
            acc = (logits.argmax(1) == kind[130:]).float().mean().item()
            mae = (value - alcohol[130:]).abs().mean().item()
            print(
                f"epoch {epoch:2d}: class loss {sums[0]:.5f}, alcohol loss {sums[1]:.5f}, "
                f"val accuracy {acc:.4f}, val MAE {mae:.4f}"
            )
    print(digest(model))


if __name__ == "__main__":
    main()
