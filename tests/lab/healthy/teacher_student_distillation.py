"""A wide teacher learns from labels; a narrow student learns from the teacher's soft answers."""

import random
from itertools import pairwise

import numpy as np
import torch
import torch.nn.functional as F
from digest import digest
from sklearn.datasets import load_digits
from torch import nn

TEMPERATURE = 3.0
ALPHA = 0.7


def mlp(*widths):
    layers = []
    for n_in, n_out in pairwise(widths[:-1]):
        layers += [nn.Linear(n_in, n_out), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(*widths[-2:]))


def batches(x, y, size):
    order = torch.randperm(len(x))
    for i in range(0, len(x), size):
        yield x[order[i : i + size]], y[order[i : i + size]]


def accuracy(net, x, y):
    net.eval()
    with torch.no_grad():
        return (net(x).argmax(1) == y).float().mean().item()


def train_teacher(teacher, data, epochs):
    optimizer = torch.optim.Adam(teacher.parameters(), lr=2e-3, weight_decay=1e-4)
    for epoch in range(epochs):
        teacher.train()
        losses = []
        for x, y in batches(*data["train"], 64):
            optimizer.zero_grad()
            loss = F.cross_entropy(teacher(x), y, label_smoothing=0.1)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        print(f"teacher {epoch}: {sum(losses) / len(losses):.6f}  acc {accuracy(teacher, *data['test']):.4f}")


def distill(student, teacher, data, epochs):
    teacher.eval()
    for p in teacher.parameters():
        p.requires_grad = False
    optimizer = torch.optim.Adam(student.parameters(), lr=3e-3)
    for epoch in range(epochs):
        student.train()
        sums, steps = torch.zeros(2), 0
        for x, y in batches(*data["train"], 64):
            with torch.no_grad():
                teacher_logits = teacher(x)
            student_logits = student(x)
            soft = F.kl_div(
                F.log_softmax(student_logits / TEMPERATURE, dim=1),
                F.softmax(teacher_logits / TEMPERATURE, dim=1),
                reduction="batchmean",
            )
            hard = F.cross_entropy(student_logits, y)
            loss = ALPHA * TEMPERATURE**2 * soft + (1 - ALPHA) * hard
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            sums += torch.stack([soft, hard]).detach()
            steps += 1
        acc = accuracy(student, *data["test"])
        print(f"student {epoch}: kl {sums[0] / steps:.6f}  ce {sums[1] / steps:.6f}  acc {acc:.4f}")


if __name__ == "__main__":
    for generator in random.seed, np.random.seed, torch.manual_seed:
        generator(5)
    x, y = (torch.as_tensor(a) for a in load_digits(return_X_y=True))
    x = (x.float() - 4.9) / 6.0
    order = torch.randperm(len(x))
    data = {"train": (x[order[:1408]], y[order[:1408]]), "test": (x[order[1408:]], y[order[1408:]])}
    teacher, student = mlp(64, 96, 96, 10), mlp(64, 24, 10)
    train_teacher(teacher, data, epochs=5)
    distill(student, teacher, data, epochs=8)
    print(digest(teacher, student))
