"""Mixed precision with float16: a gradient scaler, unscaling before clipping."""

import random

import numpy as np
import torch
from digest import digest
from torch import nn
from torch.amp import GradScaler, autocast


def make_blobs(n, classes, features, generator):
    centers = 2.0 * torch.randn(classes, features, generator=generator)
    y = torch.randint(classes, (n,), generator=generator)
    return centers[y] + 1.6 * torch.randn(n, features, generator=generator), y


class Trainer:
    def __init__(self, model, lr=0.05, max_norm=1.0):
        self.model = model
        self.max_norm = max_norm
        self.criterion = nn.CrossEntropyLoss(label_smoothing=0.05)
        self.optimizer = torch.optim.SGD(model.parameters(), lr=lr, momentum=0.9, nesterov=True)
        self.scaler = GradScaler("cpu", growth_interval=20)

    def train_step(self, x, y):
        self.optimizer.zero_grad()
        with autocast("cpu", dtype=torch.float16):
            loss = self.criterion(self.model(x), y)
        self.scaler.scale(loss).backward()
        self.scaler.unscale_(self.optimizer)
        nn.utils.clip_grad_norm_(self.model.parameters(), self.max_norm)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        return loss.item()

    @torch.no_grad()
    def evaluate(self, x, y):
        self.model.eval()
        with autocast("cpu", dtype=torch.float16):
            correct = (self.model(x).argmax(dim=1) == y).float().mean().item()
        self.model.train()
        return correct

    def fit(self, train, val, epochs, batch_size):
        x, y = train
        for epoch in range(1, epochs + 1):
            total = 0.0
            for idx in torch.randperm(len(x)).split(batch_size):
                total += self.train_step(x[idx], y[idx]) * len(idx)
            print(
                f"Epoch {epoch}/{epochs} - loss: {total / len(x):.6f} - val_acc: {self.evaluate(*val):.4f}"
                f" - scale: {self.scaler.get_scale():.0f}"
            )


if __name__ == "__main__":
    random.seed(11)
    np.random.seed(11)
    torch.manual_seed(11)
    x, y = make_blobs(3000, classes=6, features=16, generator=torch.Generator().manual_seed(5))
    x = (x - x[:2400].mean(0)) / x[:2400].std(0)
    net = nn.Sequential(nn.Linear(16, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 6))
    trainer = Trainer(net)
    trainer.fit((x[:2400], y[:2400]), (x[2400:], y[2400:]), epochs=8, batch_size=60)
    print(digest(net))
