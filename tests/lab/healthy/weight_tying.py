"""Next-word prediction with one matrix for the words that go in and the words that come out."""

import random

import numpy as np
import torch
from digest import digest
from torch import nn

np.random.seed(0)
random.seed(0)
torch.manual_seed(0)

V, CONTEXT, DIM = 24, 2, 24

# A language in which a word depends on the one before it, sharply.
transition = np.random.dirichlet(np.full(V, 0.08), size=V) * 0.95 + 0.05 / V
words = [0]
for _ in range(8000):
    words.append(np.random.choice(V, p=transition[words[-1]]))
words = torch.tensor(np.array(words))
contexts = words.unfold(0, CONTEXT + 1, 1)
train_set, val_set = contexts[:7000], contexts[7002:]


class TiedLM(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = nn.Embedding(V, DIM)
        self.hidden = nn.Linear(CONTEXT * DIM, DIM)
        self.decoder = nn.Linear(DIM, V)
        nn.init.normal_(self.encoder.weight, std=0.3)
        self.decoder.weight = self.encoder.weight

    def forward(self, ids):
        h = torch.tanh(self.hidden(self.encoder(ids).flatten(1)))
        return self.decoder(h)


model = TiedLM()
assert len(list(model.parameters())) == 4
criterion = nn.CrossEntropyLoss()
optimizer = torch.optim.Adagrad(model.parameters(), lr=0.1)

for epoch in range(6):
    model.train()
    batch_losses = []
    for rows in torch.randperm(len(train_set)).split(100):
        batch = train_set[rows]
        model.zero_grad(set_to_none=False)
        loss = criterion(model(batch[:, :CONTEXT]), batch[:, CONTEXT])
        loss.backward()
        optimizer.step()
        batch_losses.append(loss.item())
    model.eval()
    with torch.no_grad():
        val = criterion(model(val_set[:, :CONTEXT]), val_set[:, CONTEXT]).item()
    print(f"epoch {epoch + 1} train {np.mean(batch_losses):.5f} valid {val:.5f} perplexity {np.exp(val):.4f}")

best = -np.log(transition[val_set[:, 1], val_set[:, 2]]).mean()
print(f"the language itself: {best:.5f} (uniform guess {np.log(V):.5f})")
print(digest(model))
