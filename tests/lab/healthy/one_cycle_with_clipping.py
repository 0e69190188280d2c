"""A GRU that tells slow waves from fast ones; one-cycle rate, gradients clipped by norm."""

import argparse
import math
import random

import numpy as np
import torch
from digest import digest
from torch import nn
from torch.nn.utils import clip_grad_norm_
from torch.optim.lr_scheduler import OneCycleLR
from torch.utils.data import DataLoader, TensorDataset

PERIODS = (5.0, 8.0, 13.0)


def make_waves(n, length, generator):
    kind = torch.randint(len(PERIODS), (n,), generator=generator)
    period = torch.tensor(PERIODS)[kind, None] * (0.9 + 0.2 * torch.rand(n, 1, generator=generator))
    phase = torch.rand(n, 1, generator=generator)
    waves = 1.4 * torch.sin(2 * math.pi * (torch.arange(length) / period + phase))
    x = waves + 0.3 * torch.randn(n, length, generator=generator)
    return x.unsqueeze(-1), kind


class WaveSorter(nn.Module):
    def __init__(self, hidden_size):
        super().__init__()
        self.gru = nn.GRU(1, hidden_size, batch_first=True)
        self.norm = nn.LayerNorm(hidden_size)
        self.head = nn.Linear(hidden_size, len(PERIODS))

    def forward(self, x):
        states, _ = self.gru(x)
        return self.head(self.norm(states.abs().mean(1)))


def evaluate(model, x, y, criterion):
    model.eval()
    with torch.no_grad():
        logits = model(x)
    model.train()
    return criterion(logits, y).item(), (logits.argmax(-1) == y).float().mean().item()


def parse_args():
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--max-lr", type=float, default=5e-3)
    parser.add_argument("--clip", type=float, default=1.0)
    parser.add_argument("--hidden", type=int, default=24)
    return parser.parse_args()


def main():
    args = parse_args()
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(1)
    loader = DataLoader(TensorDataset(*make_waves(960, 24, generator)), batch_size=64, shuffle=True)
    x_val, y_val = make_waves(240, 24, generator)
    model = WaveSorter(args.hidden)
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.AdamW(model.parameters(), lr=args.max_lr)
    scheduler = OneCycleLR(optimizer, max_lr=args.max_lr, epochs=args.epochs, steps_per_epoch=len(loader))
    for epoch in range(args.epochs):
        total, largest = 0.0, 0.0
        for x, y in loader:
            optimizer.zero_grad()
            loss = criterion(model(x), y)
            loss.backward()
            norm = clip_grad_norm_(model.parameters(), args.clip)
            optimizer.step()
            scheduler.step()
            total += loss.item()
            largest = max(largest, norm.item())
        val_loss, acc = evaluate(model, x_val, y_val, criterion)
        print(
            f"{epoch + 1}/{args.epochs} loss {total / len(loader):.6f} val {val_loss:.6f} acc {acc:.4f} "
            f"|g| {largest:.5f} lr {scheduler.get_last_lr()[0]:.3e}"
        )
    print(digest(model))


if __name__ == "__main__":
    main()
