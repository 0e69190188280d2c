"""The loop of PyTorch's tutorials on MNIST, as a script of its own: train until the test part is 97 % right.

    python benchmarks/tutorial.py {linear|quickstart} {tensors|images}

Nets: ``linear`` 784-128-10, ``quickstart`` 784-512-512-10 (the PyTorch quickstart's). Adam at 1e-3, batch 64,
DataLoader with shuffling, evaluated on the test part after each epoch. Data sets: ``tensors`` is a
TensorDataset of floats that were scaled beforehand, the fastest that the tutorial's loop can be; ``images``
turns one image at a time into a tensor, as torchvision's MNIST with ToTensor does. Prints JSON: seconds from
reading the files on, epochs, accuracy.
"""

from __future__ import annotations

import gzip
import json
import os
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, TensorDataset

GOAL = 0.97
FOLDER = Path(os.environ.get("FITWELL_DATA", "data")) / "mnist"
HIDDEN = {"linear": (128,), "quickstart": (512, 512)}


def read(part: str) -> tuple[np.ndarray, np.ndarray]:
    """Images (N, 28, 28) uint8 and labels (N,) of "train" or "t10k"."""
    images = gzip.decompress((FOLDER / f"{part}-images-idx3-ubyte.gz").read_bytes())
    labels = gzip.decompress((FOLDER / f"{part}-labels-idx1-ubyte.gz").read_bytes())
    return (
        np.frombuffer(images, np.uint8, offset=16).reshape(-1, 28, 28).copy(),
        np.frombuffer(labels, np.uint8, offset=8).astype(np.int64),
    )


class Images(Dataset[tuple[Tensor, int]]):
    """torchvision's MNIST with ToTensor, without torchvision: an image is made, copied and scaled."""

    def __init__(self, images: np.ndarray, labels: np.ndarray) -> None:
        self.images, self.labels = torch.from_numpy(images), torch.from_numpy(labels)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        from PIL import Image

        picture = Image.fromarray(self.images[index].numpy())
        x_HWC = torch.from_numpy(np.array(picture, np.uint8, copy=True)).view(28, 28, 1)
        return x_HWC.permute(2, 0, 1).contiguous().to(torch.float32).div(255), int(self.labels[index])


def dataset(form: str, part: str) -> Dataset[Any]:
    """A part of MNIST in one of the two forms."""
    images, labels = read(part)
    if form == "images":
        return Images(images, labels)
    return TensorDataset(torch.from_numpy(images).unsqueeze(1) / 255, torch.from_numpy(labels))


def network(name: str) -> nn.Module:
    """The net of this name."""
    widths = (784, *HIDDEN[name])
    layers = [layer for i, o in pairwise(widths) for layer in (nn.Linear(i, o), nn.ReLU())]
    return nn.Sequential(nn.Flatten(), *layers, nn.Linear(widths[-1], 10))


def accuracy(model: nn.Module, loader: DataLoader[Any]) -> float:
    """The share that is right."""
    model.eval()
    right = 0
    with torch.no_grad():
        for x, y in loader:
            right += (model(x).argmax(1) == y).sum().item()
    model.train()
    return right / 10_000


def train(net: str, form: str) -> dict[str, float]:
    """Train until the goal is reached."""
    start = time.perf_counter()
    training = DataLoader(dataset(form, "train"), batch_size=64, shuffle=True)
    testing = DataLoader(dataset(form, "t10k"), batch_size=64)
    model = network(net)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    reached, epochs = 0.0, 0
    while reached < GOAL and epochs < 20:
        for x, y in training:
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
        epochs += 1
        reached = accuracy(model, testing)
    return {"seconds": time.perf_counter() - start, "epochs": epochs, "accuracy": reached}


if __name__ == "__main__":
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    torch.manual_seed(int(os.environ.get("SEED", "0")))
    print(json.dumps(train(*sys.argv[1:3])))
