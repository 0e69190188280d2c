"""A tiny BERT on a toy grammar: 20 % of the words are hidden, all others are ignored by the loss."""

import itertools
import random

import numpy as np
import torch
from digest import digest
from torch import nn

random.seed(0)
np.random.seed(0)
torch.manual_seed(0)

ANIMALS = {
    "cat": ("purrs", "house"), "dog": ("barks", "garden"), "cow": ("moos", "meadow"), "bee": ("hums", "hive"),
    "owl": ("hoots", "tree"), "pig": ("grunts", "sty"), "hen": ("clucks", "coop"), "duck": ("quacks", "pond"),
}  # fmt: skip
THINGS = {
    "ball": "red",
    "bone": "white",
    "leaf": "green",
    "stone": "grey",
    "feather": "brown",
    "straw": "yellow",
}
SIZES = ("small", "big", "old", "young")
LINKS = ("beside", "behind", "above")

sentences = [
    f"the {size} {animal} {verb} {link} the {THINGS[thing]} {thing} in the {home}".split()
    for size, (animal, (verb, home)), link, thing in itertools.product(SIZES, ANIMALS.items(), LINKS, THINGS)
]
random.shuffle(sentences)
vocab = ["[PAD]", "[MASK]", *sorted({word for sentence in sentences for word in sentence})]
index = {word: i for i, word in enumerate(vocab)}
tokens = torch.tensor([[index[word] for word in sentence] for sentence in sentences])
train_tokens, val_tokens = tokens[:480], tokens[480:]
print(f"{len(vocab)} words, {len(train_tokens)} sentences to train, {len(val_tokens)} to validate")


def mask(batch, share=0.2):
    chosen = torch.rand(batch.shape) < share
    labels = batch.masked_fill(~chosen, -100)
    return batch.masked_fill(chosen, index["[MASK]"]), labels


class TinyBert(nn.Module):
    def __init__(self, n_words, length, d_model=32, n_layers=2):
        super().__init__()
        self.words = nn.Embedding(n_words, d_model)
        self.positions = nn.Parameter(0.02 * torch.randn(length, d_model))
        layer = nn.TransformerEncoderLayer(
            d_model, nhead=4, dim_feedforward=64, dropout=0.1, activation="gelu", batch_first=True
        )
        self.encoder = nn.TransformerEncoder(layer, n_layers)
        self.to_words = nn.Linear(d_model, n_words)

    def forward(self, batch):
        return self.to_words(self.encoder(self.words(batch) + self.positions))


val_inputs, val_labels = mask(val_tokens)
hidden = val_labels != -100
model = TinyBert(len(vocab), tokens.shape[1])
criterion = nn.CrossEntropyLoss(ignore_index=-100)
optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
warmup = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min(1.0, (step + 1) / 12))

for epoch in range(1, 11):
    model.train()
    total = 0.0
    for rows in torch.randperm(len(train_tokens)).split(40):
        inputs, labels = mask(train_tokens[rows])
        loss = criterion(model(inputs).flatten(0, 1), labels.flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        warmup.step()
        total += loss.item() / 12
    model.eval()
    with torch.no_grad():
        logits = model(val_inputs)
        val_loss = criterion(logits.transpose(1, 2), val_labels).item()
        right = (logits.argmax(-1) == val_labels)[hidden].float().mean().item()
    print(f"epoch {epoch:2d}  loss {total:.6f}  val {val_loss:.6f}  masked words right {right:.4f}")
print(digest(model, logits))
