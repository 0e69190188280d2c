"""Stochastic weight averaging with torch's own tools; batch norm statistics are measured anew at the end."""

import random

import numpy as np
import torch
from digest import digest
from sklearn.datasets import load_digits
from torch import nn
from torch.optim.lr_scheduler import CosineAnnealingLR
from torch.optim.swa_utils import SWALR, AveragedModel, update_bn
from torch.utils.data import DataLoader, TensorDataset

EPOCHS, SWA_START = 10, 6


def build():
    return nn.Sequential(
        nn.Linear(64, 64, bias=False), nn.BatchNorm1d(64), nn.ReLU(), nn.Dropout(0.1), nn.Linear(64, 10)
    )


def evaluate(model, loader, loss_fn):
    model.eval()
    loss, right, n = 0.0, 0, 0
    with torch.no_grad():
        for x, y in loader:
            out = model(x)
            loss += loss_fn(out, y).item() * len(y)
            right += (out.argmax(1) == y).sum().item()
            n += len(y)
    return loss / n, right / n


def get_loaders():
    bunch = load_digits()
    x = torch.as_tensor(bunch.data, dtype=torch.float32).div(8).sub(1)
    y = torch.as_tensor(bunch.target)
    mix = torch.randperm(len(x))
    train_set = TensorDataset(x[mix[:1400]], y[mix[:1400]])
    test_set = TensorDataset(x[mix[1400:]], y[mix[1400:]])
    return DataLoader(train_set, batch_size=50, shuffle=True), DataLoader(test_set, batch_size=200)


def main():
    random.seed(31)
    np.random.seed(31)
    torch.manual_seed(31)
    loader, test_loader = get_loaders()
    model, loss_fn = build(), nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=1e-4)
    scheduler = CosineAnnealingLR(optimizer, T_max=SWA_START, eta_min=0.01)
    swa_model = AveragedModel(model)
    swa_scheduler = SWALR(optimizer, swa_lr=0.02, anneal_epochs=2)

    for epoch in range(EPOCHS):
        model.train()
        total = 0.0
        for xb, yb in loader:
            optimizer.zero_grad()
            loss = loss_fn(model(xb), yb)
            loss.backward()
            optimizer.step()
            total += loss.item()
        if epoch >= SWA_START:
            swa_model.update_parameters(model)
            swa_scheduler.step()
        else:
            scheduler.step()
        val_loss, val_acc = evaluate(model, test_loader, loss_fn)
        lr = optimizer.param_groups[0]["lr"]
        print(
            f"{epoch}: loss {total / len(loader):.6f} val {val_loss:.6f} acc {val_acc:.4f} next lr {lr:.5f}"
        )

    update_bn(loader, swa_model)
    val_loss, val_acc = evaluate(swa_model, test_loader, loss_fn)
    print(f"swa: val {val_loss:.6f} acc {val_acc:.4f}")
    print(digest(model, swa_model))


if __name__ == "__main__":
    main()
