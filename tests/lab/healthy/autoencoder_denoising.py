"""A denoising autoencoder: noisy pictures of two blobs in, clean pictures out, no labels."""

import random

import numpy as np
import torch
from digest import digest
from torch import nn
from torch.utils.data import DataLoader

SIDE = 10


class Encoder(nn.Module):
    def __init__(self, code_size):
        super().__init__()
        self.fc1 = nn.Linear(SIDE * SIDE, 64)
        self.fc2 = nn.Linear(64, code_size)
        self.act = nn.ELU()

    def forward(self, x):
        return self.fc2(self.act(self.fc1(x)))


class Decoder(nn.Module):
    def __init__(self, code_size):
        super().__init__()
        self.fc1 = nn.Linear(code_size, 64)
        self.fc2 = nn.Linear(64, SIDE * SIDE)
        self.act = nn.ELU()

    def forward(self, code):
        return torch.sigmoid(self.fc2(self.act(self.fc1(code))))


class DenoisingAutoencoder(nn.Module):
    def __init__(self, code_size=16):
        super().__init__()
        self.encoder = Encoder(code_size)
        self.decoder = Decoder(code_size)

    def forward(self, x):
        return self.decoder(self.encoder(x))


def blobs(n):
    """Pictures with one wide blob on the left and one on the right, values from 0 to 1."""
    r, c = np.mgrid[:SIDE, :SIDE]
    pictures = np.zeros((n, SIDE, SIDE))
    for first in (1, 6):
        row, col = np.random.uniform(1, 8, (n, 1, 1)), np.random.uniform(first, first + 2, (n, 1, 1))
        height = np.random.uniform(0.5, 0.9, (n, 1, 1))
        pictures += height * np.exp(-((r - row) ** 2 + (c - col) ** 2) / 5)
    return torch.from_numpy(pictures.clip(0, 1)).float().flatten(1)


def add_noise(x, amount=0.25):
    return x + amount * torch.randn_like(x)


def main():
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)
    train_images, test_images = blobs(2000), blobs(400)
    noisy_test = add_noise(test_images)
    loader = DataLoader(train_images, batch_size=50, shuffle=True)

    model = DenoisingAutoencoder()
    criterion = nn.MSELoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    print(f"mse of the noise itself: {criterion(noisy_test, test_images).item():.6f}")
    for epoch in range(1, 13):
        model.train()
        total = 0.0
        for clean in loader:
            loss = criterion(model(add_noise(clean)), clean)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item()
        model.eval()
        with torch.no_grad():
            test_loss = criterion(model(noisy_test), test_images)
        print(f"epoch [{epoch}/12], loss: {total / len(loader):.6f}, test: {test_loss.item():.6f}")
    print(digest(model, model.encoder(test_images)))


if __name__ == "__main__":
    main()
