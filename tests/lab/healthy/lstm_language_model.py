"""A language model over characters: the state goes on from window to window, the text is read in order."""

import math
import random

import numpy as np
import torch
from digest import digest
from torch import nn

random.seed(4)
np.random.seed(4)
torch.manual_seed(4)

NOUNS = ["cat", "dog", "bird", "horse", "child", "sailor"]
VERBS = ["sees", "likes", "follows", "hears", "finds"]
PLACES = ["by the sea", "in the house", "under a tree", "at night"]


def sentence():
    words = ["the", random.choice(NOUNS), random.choice(VERBS), random.choice(["a", "the"])]
    words.append(random.choice(NOUNS))
    if random.random() < 0.5:
        words.append(random.choice(PLACES))
    return " ".join(words) + ". "


text = "".join(sentence() for _ in range(500))
alphabet = sorted(set(text))
codes = torch.tensor([alphabet.index(c) for c in text])


def batchify(codes, bsz):
    length = len(codes) // bsz
    return codes[: length * bsz].view(bsz, length).t().contiguous()


class CharLSTM(nn.Module):
    def __init__(self, tokens, emsize=16, nhid=64):
        super().__init__()
        self.emb = nn.Embedding(tokens, emsize)
        self.rnn = nn.LSTM(emsize, nhid)
        self.out = nn.Linear(nhid, tokens)

    def forward(self, x, hidden=None):
        x, hidden = self.rnn(self.emb(x), hidden)
        return self.out(x).log_softmax(dim=-1).flatten(0, 1), hidden


bptt, cut = 24, int(0.9 * len(codes))
train_data, val_data = batchify(codes[:cut], 16), batchify(codes[cut:], 4)
model = CharLSTM(len(alphabet))
criterion = nn.NLLLoss()
optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)

for epoch in range(1, 5):
    model.train()
    hidden, losses = None, []
    for i in range(0, len(train_data) - 1, bptt):
        n = min(bptt, len(train_data) - 1 - i)
        if hidden is not None:
            hidden = tuple(h.detach() for h in hidden)
        model.zero_grad()
        output, hidden = model(train_data[i : i + n], hidden)
        loss = criterion(output, train_data[i + 1 : i + 1 + n].flatten())
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 0.5)
        optimizer.step()
        losses.append(loss.item())
    model.eval()
    with torch.no_grad():
        val_loss = criterion(model(val_data[:-1])[0], val_data[1:].flatten()).item()
    train_loss = sum(losses) / len(losses)
    print(f"| epoch {epoch} | loss {train_loss:.5f} | valid {val_loss:.5f} | ppl {math.exp(val_loss):.4f}")

token, hidden, written = torch.tensor([[alphabet.index("t")]]), None, "t"
with torch.no_grad():
    for _ in range(60):
        log_probs, hidden = model(token, hidden)
        token = torch.multinomial(log_probs.exp(), 1)
        written += alphabet[token.item()]
print(written)
print(digest(model))
