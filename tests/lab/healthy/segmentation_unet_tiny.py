"""A U-Net of two levels finds discs and boxes: cross entropy for every pixel."""

import random

import numpy as np
import torch
import torch.nn.functional as F
from digest import digest
from torch import nn
from torch.utils.data import DataLoader, Dataset

SIZE = 16
N_CLASSES = 3  # background, disc, box


class Shapes(Dataset):
    def __init__(self, n, seed):
        rng = np.random.RandomState(seed)
        rows, cols = np.mgrid[:SIZE, :SIZE]
        self.images = rng.normal(0, 0.3, (n, 1, SIZE, SIZE)).astype(np.float32)
        self.masks = np.zeros((n, SIZE, SIZE), dtype=np.int64)
        for i in range(n):
            r, c, radius = rng.randint(4, 12), rng.randint(4, 7), rng.randint(3, 5)
            self.masks[i][(rows - r) ** 2 + (cols - c) ** 2 <= radius**2] = 1
            r, c = rng.randint(1, 9), rng.randint(9, 11)
            self.masks[i, r : r + 5, c : c + 5] = 2
            self.images[i, 0] += np.array([-0.5, 1.0, 1.2])[self.masks[i]]

    def __getitem__(self, i):
        return self.images[i], self.masks[i]

    def __len__(self):
        return len(self.masks)


def double_conv(n_in, n_out):
    return nn.Sequential(
        nn.Conv2d(n_in, n_out, 3, padding=1, bias=False), nn.BatchNorm2d(n_out), nn.ReLU(inplace=True),
        nn.Conv2d(n_out, n_out, 3, padding=1, bias=False), nn.BatchNorm2d(n_out), nn.ReLU(inplace=True),
    )  # fmt: skip


class UNet(nn.Module):
    def __init__(self, width=8):
        super().__init__()
        self.enc1 = double_conv(1, width)
        self.enc2 = double_conv(width, 2 * width)
        self.pool = nn.MaxPool2d(2)
        self.bottom = double_conv(2 * width, 4 * width)
        self.up2 = nn.ConvTranspose2d(4 * width, 2 * width, 2, stride=2)
        self.dec2 = double_conv(4 * width, 2 * width)
        self.up1 = nn.ConvTranspose2d(2 * width, width, 2, stride=2)
        self.dec1 = double_conv(2 * width, width)
        self.out = nn.Conv2d(width, N_CLASSES, 1)

    def forward(self, x):
        s1 = self.enc1(x)
        s2 = self.enc2(self.pool(s1))
        x = self.bottom(self.pool(s2))
        x = self.dec2(torch.cat([self.up2(x), s2], dim=1))
        return self.out(self.dec1(torch.cat([self.up1(x), s1], dim=1)))


def iou(pred, mask):
    pairs = [(pred == c, mask == c) for c in range(N_CLASSES)]
    return " ".join(f"{((a & b).sum() / (a | b).sum()).item():.4f}" for a, b in pairs)


if __name__ == "__main__":
    for f in (torch.manual_seed, random.seed, np.random.seed):
        f(8)
    train_loader = DataLoader(Shapes(192, seed=1), batch_size=16, shuffle=True)
    val_image, val_mask = next(iter(DataLoader(Shapes(48, seed=2), batch_size=48)))
    net = UNet()
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-2)
    for epoch in range(5):
        net.train()
        train_loss = 0.0
        for image, mask in train_loader:
            loss = F.cross_entropy(net(image), mask)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            train_loss += loss.item() * len(image) / 192
        net.eval()
        with torch.no_grad():
            logits = net(val_image)
        scores = f"val {F.cross_entropy(logits, val_mask):.6f} | IoU {iou(logits.argmax(1), val_mask)}"
        print(f"epoch {epoch}: train {train_loss:.6f} {scores}")
    print(digest(net))
