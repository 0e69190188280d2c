"""Functional training: the parameters are a dict, the gradient is a function."""

import random

import numpy as np
import torch
import torch.nn.functional as F
from digest import digest
from sklearn.datasets import load_wine
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler
from torch import nn
from torch.func import functional_call, grad


def set_seed(seed):
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def load():
    x, y = load_wine(return_X_y=True)
    x_train, x_test, y_train, y_test = train_test_split(x, y, test_size=0.25, stratify=y, random_state=0)
    scaler = StandardScaler().fit(x_train)
    as_x = [torch.tensor(scaler.transform(a), dtype=torch.float32) for a in (x_train, x_test)]
    return as_x[0], torch.tensor(y_train), as_x[1], torch.tensor(y_test)


def main():
    set_seed(3)
    x_train, y_train, x_test, y_test = load()
    model = nn.Sequential(nn.Linear(13, 24), nn.GELU(), nn.Linear(24, 3))
    params = {name: p.detach().clone() for name, p in model.named_parameters()}

    def loss_fn(params, x, y):
        logits = functional_call(model, params, (x,))
        loss = F.cross_entropy(logits, y)
        return loss, logits

    gradient = grad(loss_fn, has_aux=True)
    lr, decay = 0.1, 1e-3
    for epoch in range(1, 21):
        hits = 0
        for idx in torch.randperm(len(x_train)).split(19):
            grads, logits = gradient(params, x_train[idx], y_train[idx])
            params = {name: p - lr * (grads[name] + decay * p) for name, p in params.items()}
            hits += int((logits.argmax(1) == y_train[idx]).sum())
        with torch.no_grad():
            train_loss, _ = loss_fn(params, x_train, y_train)
            test_loss, test_logits = loss_fn(params, x_test, y_test)
        test_accuracy = (test_logits.argmax(1) == y_test).float().mean()
        print(
            f"{epoch:3d} train {train_loss:.7f} ({hits / len(x_train):.4f})"
            f" test {test_loss:.7f} ({test_accuracy:.4f})"
        )
    print(digest(params))


if __name__ == "__main__":
    main()
