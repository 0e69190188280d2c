"""Transfer: a net learns the digits 0 to 4, then its frozen body carries a new head for 5 to 9."""

import random

import numpy as np
import torch
from digest import digest
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset, random_split


class Net(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.backbone = nn.Sequential(
            nn.Conv2d(1, 12, 3, padding=1), nn.BatchNorm2d(12), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(12, 24, 3, padding=1), nn.BatchNorm2d(24), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        )  # fmt: skip
        self.head = nn.Linear(24 * 4, classes)

    def forward(self, x):
        return self.head(self.backbone(x))


def loaders(images, labels):
    data = TensorDataset(images, labels)
    n_val = len(data) // 5
    train, val = random_split(data, [len(data) - n_val, n_val])
    return DataLoader(train, batch_size=32, shuffle=True, drop_last=True), DataLoader(val, batch_size=128)


def accuracy(model, loader):
    model.eval()
    with torch.no_grad():
        hits = sum((model(x).argmax(1) == y).sum().item() for x, y in loader)
    return hits / len(loader.dataset)


def fit(model, optimizer, train, val, epochs, frozen=False):
    criterion = nn.CrossEntropyLoss()
    for epoch in range(epochs):
        model.train()
        if frozen:
            # The running statistics belong to the frozen body too.
            model.backbone.eval()
        total = 0.0
        for x, y in train:
            optimizer.zero_grad()
            loss = criterion(model(x), y)
            loss.backward()
            optimizer.step()
            total += loss.item()
        print(f"  epoch {epoch + 1}: loss {total / len(train):.5f}, val acc {accuracy(model, val):.4f}")


def main():
    random.seed(42)
    np.random.seed(42)
    torch.manual_seed(42)
    digits = load_digits()
    images = torch.tensor(digits.images, dtype=torch.float32).unsqueeze(1) / 8 - 1
    labels = torch.tensor(digits.target)
    low = labels < 5

    model = Net(5)
    print("pretraining on 0-4")
    fit(model, torch.optim.Adam(model.parameters(), lr=2e-3), *loaders(images[low], labels[low]), epochs=4)

    for p in model.backbone.parameters():
        p.requires_grad = False
    model.head = nn.Linear(24 * 4, 5)
    trainable = [p for p in model.parameters() if p.requires_grad]
    print(f"new head for 5-9: {sum(p.numel() for p in trainable)} parameters to train")
    optimizer = torch.optim.SGD(trainable, lr=0.05, momentum=0.9)
    fit(model, optimizer, *loaders(images[~low], labels[~low] - 5), epochs=6, frozen=True)
    print(digest(model))


if __name__ == "__main__":
    main()
