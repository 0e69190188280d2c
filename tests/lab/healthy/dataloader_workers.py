"""Two worker processes that read and augment; every worker draws its own noise."""

import random

import numpy as np
import torch
from digest import digest
from torch import nn
from torch.utils.data import DataLoader, Dataset

N_SHAPES = 5  # two bars, two diagonals, a ring


class ShapeDataset(Dataset):
    """Items are drawn when they are asked for: position, brightness and noise differ in every epoch."""

    def __init__(self, n):
        self.labels = np.random.randint(N_SHAPES, size=n)
        self.shifts = np.random.randint(-2, 3, size=(n, 2))
        r, c = np.mgrid[-5:7, -5:7]
        ring = abs(np.hypot(r, c) - 3.5)
        self.shapes = np.stack([abs(d) < 1 for d in (r, c, r + c, r - c, ring)]).astype(np.float32)

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, i):
        image = np.roll(self.shapes[self.labels[i]], self.shifts[i], axis=(0, 1)) * 2 - 0.4
        image = np.roll(image, random.choice([-1, 0, 1]), axis=1) * random.uniform(0.8, 1.2)
        image = image + np.random.normal(0, 0.5, image.shape)
        return torch.as_tensor(image, dtype=torch.float32).unsqueeze(0), int(self.labels[i])


def seed_worker(worker_id):
    np.random.seed(torch.initial_seed() % 2**32)
    random.seed(torch.initial_seed())


def make_model():
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(2),
        nn.Conv2d(8, 16, 3, padding=1),
        nn.ReLU(inplace=True),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(16 * 4, N_SHAPES),
    )


def evaluate(model, loader, criterion):
    model.eval()
    loss, right = 0.0, 0
    with torch.inference_mode():
        for images, labels in loader:
            out = model(images)
            loss += criterion(out, labels).item() * len(labels)
            right += (out.argmax(1) == labels).sum().item()
    return loss / len(loader.dataset), right / len(loader.dataset)


def main():
    for seed in (torch.manual_seed, np.random.seed, random.seed):
        seed(11)
    train_set, test_set = ShapeDataset(1000), ShapeDataset(200)
    options = {"num_workers": 2, "worker_init_fn": seed_worker, "persistent_workers": True}
    train_loader = DataLoader(train_set, batch_size=50, shuffle=True, **options)
    test_loader = DataLoader(test_set, batch_size=100)
    model = make_model()
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.9, nesterov=True)
    for epoch in range(5):
        model.train()
        for images, labels in train_loader:
            optimizer.zero_grad(set_to_none=True)
            loss = criterion(model(images), labels)
            loss.backward()
            optimizer.step()
        test_loss, accuracy = evaluate(model, test_loader, criterion)
        print(f"epoch {epoch + 1}: last {loss.item():.6f}, test {test_loss:.6f}, accuracy {accuracy:.4f}")
    print(digest(model))


if __name__ == "__main__":
    main()
