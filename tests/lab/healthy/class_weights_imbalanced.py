"""One sample in twenty is of the rare class: a weighted cross entropy keeps its recall up."""

import random

import numpy as np
import torch
from digest import digest
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


def sample(rng, n_common, n_rare):
    common = rng.normal(0, 1, (n_common, 4))
    rare = rng.normal(0, 1, (n_rare, 4)) * 0.7 + np.array([1.9, -1.4, 1.1, 0.0])
    x = np.concatenate([common, rare]).astype(np.float32)
    y = np.repeat([0, 1], [n_common, n_rare])
    order = rng.permutation(len(y))
    return torch.from_numpy(x[order]), torch.from_numpy(y[order])


def recalls(pred, y):
    return [(pred[y == c] == c).float().mean().item() for c in (0, 1)]


class Experiment:
    def __init__(self, seed=0):
        random.seed(seed)
        np.random.seed(seed)
        torch.manual_seed(seed)
        rng = np.random.default_rng(seed)
        x, y = sample(rng, 1900, 100)
        self.loader = DataLoader(TensorDataset(x, y), batch_size=100, shuffle=True)
        self.x_val, self.y_val = sample(rng, 760, 40)
        counts = torch.bincount(y)
        weights = len(y) / (2.0 * counts)
        print(f"counts {counts.tolist()}, weights {[round(w, 4) for w in weights.tolist()]}")
        self.model = nn.Sequential(nn.Linear(4, 16), nn.Tanh(), nn.Linear(16, 2))
        self.criterion = nn.CrossEntropyLoss(weight=weights)
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=0.01, momentum=0.9)

    def train_epoch(self):
        self.model.train()
        losses = []
        for x, y in self.loader:
            self.optimizer.zero_grad()
            loss = self.criterion(self.model(x), y)
            loss.backward()
            self.optimizer.step()
            losses.append(loss.item())
        return np.mean(losses)

    @torch.no_grad()
    def validate(self):
        self.model.eval()
        logits = self.model(self.x_val)
        return self.criterion(logits, self.y_val).item(), recalls(logits.argmax(1), self.y_val)

    def run(self, epochs):
        for epoch in range(epochs):
            train_loss = self.train_epoch()
            val_loss, (common, rare) = self.validate()
            print(
                f"epoch {epoch:2d} train {train_loss:.6f} val {val_loss:.6f} "
                f"recall common {common:.4f} rare {rare:.4f}"
            )


if __name__ == "__main__":
    experiment = Experiment()
    experiment.run(epochs=12)
    print(digest(experiment.model))
