"""An autoencoder whose encoder and decoder have an optimizer each: one backward, two steps."""

import random

import numpy as np
import torch
from digest import digest
from sklearn.datasets import load_digits
from torch import nn


class AutoEncoder(nn.Module):
    def __init__(self, n_in=64, n_code=10):
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(n_in, 48), nn.ReLU(), nn.Linear(48, n_code))
        self.decoder = nn.Sequential(nn.Linear(n_code, 48), nn.ReLU(), nn.Linear(48, n_in), nn.Sigmoid())

    def forward(self, x):
        return self.decoder(self.encoder(x))


def batches(data, size):
    order = torch.randperm(len(data))
    for start in range(0, len(data), size):
        yield data[order[start : start + size]]


def run_epoch(model, data, optimizers, mse):
    model.train()
    total, count = 0.0, 0
    for batch in batches(data, 64):
        for opt in optimizers:
            opt.zero_grad()
        loss = mse(model(batch), batch)
        loss.backward()
        for opt in optimizers:
            opt.step()
        total += loss.item()
        count += 1
    return total / count


def main():
    random.seed(1234)
    np.random.seed(1234)
    torch.manual_seed(1234)
    pixels = torch.tensor(load_digits().data, dtype=torch.float32) / 16
    pixels = pixels[torch.randperm(len(pixels))]
    train, held_out = pixels[:1500], pixels[1500:]

    model, mse = AutoEncoder(), nn.MSELoss()
    enc_opt = torch.optim.Adam(model.encoder.parameters(), lr=3e-3)
    dec_opt = torch.optim.RMSprop(model.decoder.parameters(), lr=2e-3)

    for epoch in range(15):
        train_mse = run_epoch(model, train, (enc_opt, dec_opt), mse)
        model.eval()
        with torch.inference_mode():
            val_mse = mse(model(held_out), held_out).item()
        print(f"epoch {epoch:2d} | train mse {train_mse:.6f} | held-out mse {val_mse:.6f}")
    print(digest(model))


main()
