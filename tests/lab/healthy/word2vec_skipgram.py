"""Skip-gram with negative sampling; the embeddings have sparse gradients."""

import random
from collections import Counter

import numpy as np
import torch
import torch.nn.functional as F
from digest import digest
from torch import nn

TOPICS = [
    ["bread", "butter", "cheese", "honey", "jam", "milk", "soup", "salt"],
    ["river", "lake", "ocean", "wave", "tide", "harbour", "sail", "shore"],
    ["piano", "violin", "drum", "flute", "song", "choir", "chord", "tune"],
    ["snow", "frost", "ice", "winter", "sledge", "scarf", "mitten", "cold"],
]
FILLERS = ["the", "a", "and", "with", "of"]
WINDOW = 2
NEGATIVES = 5


def corpus(n_sentences):
    for _ in range(n_sentences):
        topic = random.choice(TOPICS)
        yield [random.choice(FILLERS if random.random() < 0.2 else topic) for _ in range(8)]


def skip_grams(sentences, index):
    for sentence in sentences:
        for i, centre in enumerate(sentence):
            for j in range(max(0, i - WINDOW), min(len(sentence), i + WINDOW + 1)):
                if i != j:
                    yield index[centre], index[sentence[j]]


class SkipGram(nn.Module):
    def __init__(self, n_words, dim):
        super().__init__()
        self.centre = nn.Embedding(n_words, dim, sparse=True)
        self.context = nn.Embedding(n_words, dim, sparse=True)
        nn.init.normal_(self.centre.weight, std=0.3)
        nn.init.normal_(self.context.weight, std=0.3)

    def forward(self, centre, positive, negative):
        c = self.centre(centre)
        score = (c * self.context(positive)).sum(1)
        noise_score = torch.bmm(self.context(negative), c.unsqueeze(2)).squeeze(2)
        return -(F.logsigmoid(score) + F.logsigmoid(-noise_score).sum(1)).mean()


def neighbours(model, vocab, word, k=4):
    vectors = F.normalize(model.centre.weight.detach(), dim=1)
    likeness = vectors @ vectors[vocab.index(word)]
    return [vocab[i] for i in likeness.topk(k + 1).indices.tolist()[1:]]


random.seed(3)
np.random.seed(3)
torch.manual_seed(3)
sentences = list(corpus(400))
counts = Counter(word for sentence in sentences for word in sentence)
vocab = sorted(counts)
noise = torch.tensor([counts[word] for word in vocab]).pow(0.75)
pairs = torch.tensor(list(skip_grams(sentences, {word: i for i, word in enumerate(vocab)})))
print(f"vocabulary {len(vocab)}, pairs {len(pairs)}")

model = SkipGram(len(vocab), dim=16)
optimizer = torch.optim.SparseAdam(model.parameters(), lr=0.01)
for epoch in range(6):
    total, steps = 0.0, 0
    for rows in torch.randperm(len(pairs)).split(128):
        centre, positive = pairs[rows].unbind(1)
        negative = torch.multinomial(noise, len(rows) * NEGATIVES, replacement=True).view(-1, NEGATIVES)
        loss = model(centre, positive, negative)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total, steps = total + loss.item(), steps + 1
    print(f"epoch {epoch + 1}  loss {total / steps:.6f}")
for word in ("milk", "tide", "choir", "frost"):
    print(word, "->", ", ".join(neighbours(model, vocab, word)))
print(digest(model))
