"""Stop when the validation loss stops falling, and keep the best weights."""

import copy
import random
from dataclasses import dataclass

import numpy as np
import torch
from digest import digest
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


@dataclass
class Config:
    batch_size: int = 60
    learning_rate: float = 4e-3
    weight_decay: float = 1e-3
    patience: int = 2
    max_epochs: int = 100
    seed: int = 0


class EarlyStopping:
    def __init__(self, patience, min_delta=3e-3):
        self.patience = patience
        self.min_delta = min_delta
        self.best = float("inf")
        self.best_weights = None
        self.bad_epochs = 0

    def __call__(self, value, model):
        if value < self.best - self.min_delta:
            self.best = value
            self.best_weights = copy.deepcopy(model.state_dict())
            self.bad_epochs = 0
        else:
            self.bad_epochs += 1
        return self.bad_epochs >= self.patience


def as_loader(x, y, batch_size, shuffle=False):
    dataset = TensorDataset(torch.tensor(x).float(), torch.tensor(y))
    return DataLoader(dataset, batch_size=batch_size, shuffle=shuffle)


def epoch_pass(model, loader, criterion, optimizer=None):
    model.train(optimizer is not None)
    losses = []
    with torch.set_grad_enabled(optimizer is not None):
        for x, y in loader:
            loss = criterion(model(x), y)
            if optimizer is not None:
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            losses.append(loss.item())
    return float(np.mean(losses))


def main(cfg: Config):
    for set_seed in (random.seed, np.random.seed, torch.manual_seed):
        set_seed(cfg.seed)
    x, y = load_digits(return_X_y=True)
    x = x / 8 - 0.6
    x_rest, x_test, y_rest, y_test = train_test_split(x, y, test_size=300, random_state=cfg.seed)
    x_train, x_val, y_train, y_val = train_test_split(x_rest, y_rest, test_size=300, random_state=cfg.seed)
    train_loader = as_loader(x_train, y_train, cfg.batch_size, shuffle=True)
    val_loader = as_loader(x_val, y_val, cfg.batch_size)

    model = nn.Sequential(nn.Linear(64, 48), nn.ReLU(), nn.Dropout(0.2), nn.Linear(48, 10))
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.AdamW(model.parameters(), cfg.learning_rate, weight_decay=cfg.weight_decay)
    stopper = EarlyStopping(cfg.patience)
    for epoch in range(cfg.max_epochs):
        train_loss = epoch_pass(model, train_loader, criterion, optimizer)
        val_loss = epoch_pass(model, val_loader, criterion)
        print(f"Epoch {epoch:03d} | train {train_loss:.6f} | val {val_loss:.6f}")
        if stopper(val_loss, model):
            print(f"Early stopping. Best validation loss: {stopper.best:.6f}")
            break
    model.load_state_dict(stopper.best_weights)
    print(f"Test loss: {epoch_pass(model, as_loader(x_test, y_test, cfg.batch_size), criterion):.6f}")
    print(digest(model))


if __name__ == "__main__":
    main(Config())
