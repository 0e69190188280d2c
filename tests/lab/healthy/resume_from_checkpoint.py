"""Train, save everything, forget everything, load it, and go on as if nothing had happened."""

import random
import tempfile
from pathlib import Path

import numpy as np
import torch
from digest import digest
from sklearn.datasets import load_breast_cancer
from torch import nn, optim


def get_data():
    cancer = load_breast_cancer()
    x = torch.as_tensor(cancer.data)
    y = torch.as_tensor(cancer.target, dtype=torch.float32).unsqueeze(1)
    shuffled = torch.randperm(len(x), generator=torch.Generator().manual_seed(99))
    train, valid = shuffled[:448], shuffled[448:]
    x = ((x - x[train].mean(0)) / x[train].std(0)).float()
    return (x[train], y[train]), (x[valid], y[valid])


def build():
    model = nn.Sequential(nn.Linear(30, 16), nn.LeakyReLU(0.1), nn.Dropout(0.2), nn.Linear(16, 1))
    optimizer = optim.RMSprop(model.parameters(), lr=1e-3, momentum=0.5, weight_decay=1e-4)
    scheduler = optim.lr_scheduler.ExponentialLR(optimizer, gamma=0.9)
    return model, optimizer, scheduler


def run_epochs(model, optimizer, scheduler, first, last):
    (x, y), (x_valid, y_valid) = get_data()
    loss_function = nn.BCEWithLogitsLoss()
    for epoch in range(first, last):
        model.train()
        epoch_loss = 0.0
        for batch in torch.randperm(len(x)).split(32):
            optimizer.zero_grad()
            loss = loss_function(model(x[batch]), y[batch])
            loss.backward()
            optimizer.step()
            epoch_loss += loss.item() * len(batch) / len(x)
        scheduler.step()
        model.eval()
        with torch.no_grad():
            out = model(x_valid)
            valid_loss = loss_function(out, y_valid).item()
            accuracy = ((out > 0).float() == y_valid).float().mean().item()
        print(f"epoch {epoch}: {epoch_loss:.7f} valid {valid_loss:.7f} accuracy {accuracy:.5f}")


def save(path, epoch, model, optimizer, scheduler):
    torch.save(
        {
            "epoch": epoch,
            "model": model.state_dict(),
            "optimizer": optimizer.state_dict(),
            "scheduler": scheduler.state_dict(),
            "rng": torch.get_rng_state(),
        },
        path,
    )


def load(path):
    checkpoint = torch.load(path, weights_only=True)
    model, optimizer, scheduler = build()
    model.load_state_dict(checkpoint["model"])
    optimizer.load_state_dict(checkpoint["optimizer"])
    scheduler.load_state_dict(checkpoint["scheduler"])
    torch.set_rng_state(checkpoint["rng"])
    return checkpoint["epoch"], model, optimizer, scheduler


if __name__ == "__main__":
    random.seed(1234)
    np.random.seed(1234)
    torch.manual_seed(1234)
    with tempfile.TemporaryDirectory() as folder:
        checkpoint_path = Path(folder) / "checkpoint.pt"
        parts = build()
        run_epochs(*parts, 0, 8)
        save(checkpoint_path, 8, *parts)
        del parts
        start, *parts = load(checkpoint_path)
        print(f"resuming at epoch {start}, lr {parts[2].get_last_lr()[0]:.8f}")
        run_epochs(*parts, start, 16)
    print(digest(parts[0]))
