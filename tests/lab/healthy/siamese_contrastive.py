"""A siamese net on pairs of digits: the same module runs twice for one loss."""

import random

import numpy as np
import torch
import torch.nn.functional as F
from digest import digest
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, Dataset


class Pairs(Dataset):
    """Each item with a partner, of the same class in half of the cases."""

    def __init__(self, x, y):
        self.x, self.y = x, y
        self.by_class = [torch.nonzero(y == c).squeeze(1) for c in range(10)]

    def __len__(self):
        return len(self.x)

    def __getitem__(self, i):
        label = int(self.y[i])
        same = torch.rand(()).item() < 0.5
        if not same:
            label = (label + int(torch.randint(1, 10, ()))) % 10
        pool = self.by_class[label]
        j = pool[torch.randint(len(pool), ())]
        return self.x[i], self.x[j], torch.tensor(float(same))


class ContrastiveLoss(nn.Module):
    def __init__(self, margin=1.0):
        super().__init__()
        self.margin = margin

    def forward(self, a, b, same):
        distance = F.pairwise_distance(a, b)
        together = same * distance.square()
        apart = (1 - same) * (self.margin - distance).clamp(min=0).square()
        return (together + apart).mean()


class Siamese(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Sequential(
            nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 8)
        )

    def forward(self, a, b):
        return self.embed(a), self.embed(b)


def nearest_neighbour(model, x, y, x_val, y_val):
    model.eval()
    with torch.no_grad():
        nearest = torch.cdist(model.embed(x_val), model.embed(x)).argmin(dim=1)
    model.train()
    return (y[nearest] == y_val).float().mean().item()


random.seed(6)
np.random.seed(6)
torch.manual_seed(6)
digits = load_digits()
order = torch.randperm(len(digits.data))
x = (torch.tensor(digits.data, dtype=torch.float32)[order] - 5.0) / 6.0
y = torch.tensor(digits.target)[order]
pairs = DataLoader(Pairs(x[:1400], y[:1400]), batch_size=64, shuffle=True)

net = Siamese()
contrastive = ContrastiveLoss()
optimizer = torch.optim.Adam(net.parameters(), lr=2e-3)
for epoch in range(8):
    epoch_loss = 0.0
    for left, right, same in pairs:
        optimizer.zero_grad()
        loss = contrastive(*net(left, right), same)
        loss.backward()
        optimizer.step()
        epoch_loss += loss.item()
    acc = nearest_neighbour(net, x[:1400], y[:1400], x[1400:], y[1400:])
    print(f"Epoch {epoch}: contrastive loss {epoch_loss / len(pairs):.6f}, 1-NN accuracy {acc:.4f}")

print(digest(net))
