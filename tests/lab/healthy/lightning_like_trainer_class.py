"""A home-made trainer: a module with steps, callbacks, and a forward hook on a layer."""

import logging
import random
import sys

import numpy as np
import torch
import torch.nn.functional as F
from digest import digest
from sklearn.datasets import load_breast_cancer
from torch import nn
from torch.utils.data import DataLoader, TensorDataset, random_split

logging.basicConfig(stream=sys.stdout, level=logging.INFO, format="%(name)s: %(message)s")
log = logging.getLogger("trainer")


class Classifier(nn.Module):
    def __init__(self):
        super().__init__()
        self.backbone = nn.Sequential(nn.Linear(30, 24), nn.BatchNorm1d(24), nn.ReLU())
        self.head = nn.Linear(24, 2)

    def training_step(self, batch):
        return F.cross_entropy(self.head(self.backbone(batch[0])), batch[1])

    def validation_step(self, batch):
        logits = self.head(self.backbone(batch[0]))
        accuracy = (logits.argmax(1) == batch[1]).float().mean()
        return {"val_loss": F.cross_entropy(logits, batch[1]), "val_acc": accuracy}

    def configure_optimizers(self):
        groups = [{"params": self.backbone.parameters()}, {"params": self.head.parameters(), "lr": 1e-3}]
        return torch.optim.AdamW(groups, lr=2e-3, weight_decay=1e-2)


class LayerWatch:
    def on_fit_start(self, module):
        self.active, self.norms = [], []
        self.handle = module.backbone[-1].register_forward_hook(self.hook)

    def hook(self, layer, inputs, output):
        self.active.append((output > 0).float().mean().item())

    def on_after_backward(self, module):
        self.norms.append(torch.stack([p.grad.norm() for p in module.parameters()]).norm().item())

    def on_fit_end(self, module):
        self.handle.remove()
        log.info("active %.6f, gradient norm %.6f", np.mean(self.active), np.mean(self.norms))


class Trainer:
    def __init__(self, max_epochs, callback):
        self.max_epochs, self.callback = max_epochs, callback

    def fit(self, module, train_loader, val_loader):
        optimizer = module.configure_optimizers()
        self.callback.on_fit_start(module)
        for epoch in range(self.max_epochs):
            module.train()
            for batch in train_loader:
                optimizer.zero_grad()
                loss = module.training_step(batch)
                loss.backward()
                self.callback.on_after_backward(module)
                optimizer.step()
            metrics = {"loss": loss.item(), **self.validate(module, val_loader)}
            log.info("epoch %d %s", epoch, " ".join(f"{k}={v:.6f}" for k, v in metrics.items()))
        self.callback.on_fit_end(module)

    @torch.no_grad()
    def validate(self, module, loader):
        module.eval()
        outputs = [module.validation_step(batch) for batch in loader]
        return {key: np.mean([output[key] for output in outputs]) for key in outputs[0]}


if __name__ == "__main__":
    for seed in (random.seed, np.random.seed, torch.manual_seed):
        seed(10)
    x, y = map(torch.tensor, load_breast_cancer(return_X_y=True))
    train_set, val_set = random_split(TensorDataset(((x - x.mean(0)) / x.std(0)).float(), y), [429, 140])
    model = Classifier()
    trainer = Trainer(max_epochs=8, callback=LayerWatch())
    trainer.fit(model, DataLoader(train_set, 32, shuffle=True, drop_last=True), DataLoader(val_set, 70))
    print(digest(model))
