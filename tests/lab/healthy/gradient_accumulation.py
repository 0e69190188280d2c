"""Small batches, four of them to each step of the optimizer."""

import argparse
import random

import numpy as np
import torch
from digest import digest
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


def get_data(batch_size):
    X, y = load_breast_cancer(return_X_y=True)
    X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.25, random_state=0, stratify=y)
    scaler = StandardScaler().fit(X_train)
    train = TensorDataset(torch.tensor(scaler.transform(X_train)).float(), torch.tensor(y_train).float())
    test = TensorDataset(torch.tensor(scaler.transform(X_test)).float(), torch.tensor(y_test).float())
    return DataLoader(train, batch_size=batch_size, shuffle=True), DataLoader(test, batch_size=256)


def train_one_epoch(model, loader, criterion, optimizer, accumulate):
    model.train()
    running_loss = 0.0
    optimizer.zero_grad()
    for i, (x, y) in enumerate(loader, start=1):
        loss = criterion(model(x).squeeze(1), y)
        (loss / accumulate).backward()
        running_loss += loss.item() * len(x)
        if i % accumulate == 0 or i == len(loader):
            optimizer.step()
            optimizer.zero_grad()
    return running_loss / len(loader.dataset)


@torch.no_grad()
def evaluate(model, loader, criterion):
    model.eval()
    loss, correct = 0.0, 0
    for x, y in loader:
        logits = model(x).squeeze(1)
        loss += criterion(logits, y).item() * len(x)
        correct += ((logits > 0) == y.bool()).sum().item()
    return loss / len(loader.dataset), correct / len(loader.dataset)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--accumulate", type=int, default=4)
    parser.add_argument("--lr", type=float, default=2e-3)
    args = parser.parse_args()

    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)
    train_loader, test_loader = get_data(args.batch_size)
    model = nn.Sequential(nn.Linear(30, 32), nn.ReLU(), nn.Dropout(0.2), nn.Linear(32, 1))
    criterion = nn.BCEWithLogitsLoss()
    optimizer = torch.optim.AdamW(model.parameters(), lr=args.lr, weight_decay=1e-2)
    for epoch in range(args.epochs):
        train_loss = train_one_epoch(model, train_loader, criterion, optimizer, args.accumulate)
        val_loss, val_acc = evaluate(model, test_loader, criterion)
        print(f"Epoch {epoch:2d}: train {train_loss:.6f} val {val_loss:.6f} acc {val_acc:.4f}")
    print(digest(model))


if __name__ == "__main__":
    main()
