"""A small transformer learns to turn sequences round; the rate warms up, then decays as 1/sqrt(step)."""

import random

import numpy as np
import torch
import torch.nn.functional as F
from digest import digest
from torch import nn

VOCAB, LENGTH, WARMUP = 8, 6, 40


class Reverser(nn.Module):
    def __init__(self, d_model=32, heads=2, layers=2):
        super().__init__()
        self.token = nn.Embedding(VOCAB, d_model)
        self.position = nn.Parameter(0.3 * torch.randn(LENGTH, d_model))
        layer = nn.TransformerEncoderLayer(d_model, heads, 64, dropout=0.0, batch_first=True, norm_first=True)
        self.encoder = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        self.norm = nn.LayerNorm(d_model)
        self.project = nn.Linear(d_model, VOCAB)

    def forward(self, tokens):
        x = self.token(tokens) + self.position
        return self.project(self.norm(self.encoder(x)))


def batch(size):
    tokens = torch.randint(VOCAB, (size, LENGTH))
    return tokens, tokens.flip(1)


def noam(step):
    step += 1
    return min(step / WARMUP, (WARMUP / step) ** 0.5)


def validate(model, inputs, targets):
    model.eval()
    with torch.inference_mode():
        logits = model(inputs)
        loss = F.cross_entropy(logits.transpose(1, 2), targets)
        acc = (logits.argmax(-1) == targets).float().mean()
    model.train()
    return loss.item(), acc.item()


def train(steps=240, log_every=40):
    model = Reverser()
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3, betas=(0.9, 0.98), weight_decay=0.01)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, noam)
    held_out = batch(256)
    for step in range(1, steps + 1):
        inputs, targets = batch(64)
        # cross entropy wants the classes on the second axis
        loss = F.cross_entropy(model(inputs).transpose(1, 2), targets)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        scheduler.step()
        if step % log_every == 0:
            val_loss, val_acc = validate(model, *held_out)
            lr = scheduler.get_last_lr()[0]
            print(f"{step=} {lr=:.6f} loss={loss.item():.6f} {val_loss=:.6f} {val_acc=:.4f}")
    return model


if __name__ == "__main__":
    random.seed(20)
    np.random.seed(20)
    torch.manual_seed(20)
    trained = train()
    print(digest(trained))
