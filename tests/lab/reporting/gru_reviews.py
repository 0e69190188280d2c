"""Sentiment of made-up reviews with a GRU on packed, padded sequences; functions and a vocabulary."""

# ruff: noqa: E501 (texts to be exchanged stand as they do in the program)

from program import MARK, Fault, Template

SOURCE = """\
import random

import torch
import torch.nn as nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_sequence

GOOD = "great fine lovely superb charming bright".split()
BAD = "awful poor dull broken boring weak".split()
REST = "the film a plot was with music and actor scene very story of in one".split()
PAD, UNK = 0, 1


def make_review(rng):
    words = [rng.choice(REST) for _ in range(rng.randint(3, 9))]
    label = rng.random() < 0.5
    for _ in range(rng.randint(1, 2)):
        if rng.random() < 0.35:
            phrase = ["not", rng.choice(BAD if label else GOOD)]
        else:
            phrase = [rng.choice(GOOD if label else BAD)]
        at = rng.randint(0, len(words))
        words[at:at] = phrase
    return words, int(label)


def build_vocab(texts):
    vocab = {"<pad>": PAD, "<unk>": UNK}
    for words in texts:
        for word in words:
            vocab.setdefault(word, len(vocab))
    return vocab


class Classifier(nn.Module):
    def __init__(self, vocab_size, emb_dim=24, hidden=32):
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, emb_dim, padding_idx=PAD)
        self.gru = nn.GRU(emb_dim, hidden, batch_first=True, bidirectional=True)
        self.dropout = nn.Dropout(0.2)
        self.fc = nn.Linear(2 * hidden, 1)

    def forward(self, tokens, lengths):
        emb = self.embedding(tokens)
        packed = pack_padded_sequence(emb, lengths, batch_first=True, enforce_sorted=False)
        _, h_n = self.gru(packed)
        h = torch.cat([h_n[0], h_n[1]], dim=1)
        return self.fc(self.dropout(h)).squeeze(1)


def iterate(data, batch_size, shuffle, rng):
    order = list(range(len(data)))
    if shuffle:
        rng.shuffle(order)
    for start in range(0, len(order), batch_size):
        chunk = [data[i] for i in order[start : start + batch_size]]
        tokens = pad_sequence([t for t, _ in chunk], batch_first=True, padding_value=PAD)
        lengths = torch.tensor([len(t) for t, _ in chunk])
        labels = torch.tensor([label for _, label in chunk], dtype=torch.float32)
        yield tokens, lengths, labels


def train_epoch(model, data, optimizer, criterion, rng, batch_size=50):
    model.train()
    epoch_loss, epoch_acc, batches = 0, 0, 0
    for tokens, lengths, labels in iterate(data, batch_size, True, rng):
        optimizer.zero_grad()
        logits = model(tokens, lengths)
        loss = criterion(logits, labels)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimizer.step()
        epoch_loss += loss.item()
        epoch_acc += ((logits > 0) == labels.bool()).float().mean().item()
        batches += 1
    return epoch_loss / batches, epoch_acc / batches


def evaluate(model, data, criterion, rng):
    model.eval()
    loss_sum, right = 0.0, 0
    with torch.no_grad():
        for tokens, lengths, labels in iterate(data, 100, False, rng):
            logits = model(tokens, lengths)
            loss_sum += criterion(logits, labels).item() * len(labels)
            right += ((logits > 0) == labels.bool()).sum().item()
    return loss_sum / len(data), right / len(data)


def main(seed=0, epochs=6, lr=5e-3):
    rng = random.Random(seed)
    torch.manual_seed(seed)
    reviews = [make_review(rng) for _ in range(2500)]
    texts = [words for words, _ in reviews]
    labels = [label for _, label in reviews]
    vocab = build_vocab(texts)
    encoded = [torch.tensor([vocab.get(w, UNK) for w in words]) for words in texts]
    data = list(zip(encoded, labels))
    train, valid = data[:2000], data[2000:]
    model = Classifier(len(vocab))
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, milestones=[3, 5], gamma=0.3)
    criterion = nn.BCEWithLogitsLoss()
    for epoch in range(1, epochs + 1):
        train_loss, train_acc = train_epoch(model, train, optimizer, criterion, rng)
        valid_loss, valid_acc = evaluate(model, valid, criterion, rng)
        scheduler.step()
        print(f"Epoch: {epoch:02}")
        print(f"   Train Loss: {train_loss:.3f} | Train Acc: {train_acc * 100:.2f}%")
        print(f"   Val.  Loss: {valid_loss:.3f} | Val.  Acc: {valid_acc * 100:.2f}%")


main()
"""

ADAM = "torch.optim.Adam(model.parameters(), lr=lr)"
FC = "        return self.fc(self.dropout(h)).squeeze(1)\n"
LOGITS = "        logits = model(tokens, lengths)\n        loss = criterion(logits, labels)\n"
CRITERION = "    criterion = nn.BCEWithLogitsLoss()\n"
CAT = "        h = torch.cat([h_n[0], h_n[1]], dim=1)\n"
SPLIT = "    train, valid = data[:2000], data[2000:]\n"
EMB = "        emb = self.embedding(tokens)\n"
MAIN = "def main(seed=0, epochs=6, lr=5e-3):"

VARIANTS = (
    ("seed1", ((MAIN, MAIN.replace("seed=0", "seed=1")),)),
    (
        "lstm",
        (
            ("nn.GRU(", "nn.LSTM("),
            ("        _, h_n = self.gru(packed)\n", "        _, (h_n, _) = self.gru(packed)\n"),
        ),
    ),
    (
        "adamw-seed2",
        ((ADAM, "torch.optim.AdamW(model.parameters(), lr=lr)"), (MAIN, MAIN.replace("seed=0", "seed=2"))),
    ),
    (
        "max-pooling",
        (
            (
                "        _, h_n = self.gru(packed)\n",
                "        out, _ = nn.utils.rnn.pad_packed_sequence(self.gru(packed)[0], batch_first=True)\n",
            ),
            (CAT, "        h = out.masked_fill((tokens == PAD).unsqueeze(-1), -1e4).max(dim=1).values\n"),
        ),
    ),
    ("batch-25", (("batch_size=50", "batch_size=25"), (MAIN, "def main(seed=0, epochs=4, lr=3e-3):"))),
    (
        "two-classes",
        (
            ("nn.Linear(2 * hidden, 1)", "nn.Linear(2 * hidden, 2)"),
            (FC, "        return self.fc(self.dropout(h))\n"),
            (CRITERION, "    criterion = nn.CrossEntropyLoss()\n"),
            ("dtype=torch.float32)", "dtype=torch.long)"),
            ("epoch_acc += ((logits > 0) == labels.bool())", "epoch_acc += (logits.argmax(1) == labels)"),
            ("right += ((logits > 0) == labels.bool())", "right += (logits.argmax(1) == labels)"),
        ),
    ),
    (
        "pretrained-frozen",
        (
            (
                "        self.embedding = nn.Embedding(vocab_size, emb_dim, padding_idx=PAD)\n",
                "        self.embedding = nn.Embedding.from_pretrained(torch.randn(vocab_size, emb_dim))\n",
            ),
            (MAIN, MAIN.replace("epochs=6", "epochs=7")),
        ),
    ),
)

FAULTS = (
    Fault(
        "sigmoid-before-bce-with-logits",
        (
            (FC, f"        return torch.sigmoid(self.fc(self.dropout(h)).squeeze(1)){MARK}\n"),
            ("epoch_acc += ((logits > 0)", "epoch_acc += ((logits > 0.5)"),
            ("right += ((logits > 0)", "right += ((logits > 0.5)"),
        ),
        note="in forward",
    ),
    Fault(
        "sigmoid-before-bce-with-logits",
        (
            (
                LOGITS,
                f"        logits = model(tokens, lengths)\n        loss = criterion(nn.functional.sigmoid(logits), labels){MARK}\n",
            ),
        ),
        note="in the loss",
    ),
    Fault(
        "bce-input-not-probability",
        (
            (FC, f"        return torch.relu(self.fc(self.dropout(h)).squeeze(1)).clamp(max=1.0){MARK}\n"),
            (CRITERION, "    criterion = nn.BCELoss()\n"),
            ("epoch_acc += ((logits > 0)", "epoch_acc += ((logits > 0.5)"),
            ("right += ((logits > 0)", "right += ((logits > 0.5)"),
        ),
        accept=("output-range-excludes-targets", "dead-units"),
        note="ReLU cut at 1",
    ),
    Fault(
        "bce-input-not-probability",
        (
            (CRITERION, "    criterion = nn.BCELoss()\n"),
            (
                LOGITS,
                f"        logits = model(tokens, lengths)\n        loss = criterion(logits, labels){MARK}\n",
            ),
        ),
        note="logits: it raises",
    ),
    Fault(
        "single-unit-softmax",
        (
            (FC, f"        return torch.softmax(self.fc(self.dropout(h)), dim=1).squeeze(1){MARK}\n"),
            (CRITERION, "    criterion = nn.BCELoss()\n"),
        ),
        accept=("input-ignored", "loss-plateau"),
        note="softmax over one unit, BCE",
    ),
    Fault(
        "loss-broadcasts",
        (
            (FC, "        return self.fc(self.dropout(h))\n"),
            (
                CRITERION,
                "    criterion = lambda out, target: ((torch.sigmoid(out) - target) ** 2).mean()"
                + MARK
                + "\n",
            ),
        ),
        accept=("loss-does-not-match-target", "metric-wrong"),
        note="[50, 1] against [50] in a loss by hand",
    ),
    Fault(
        "gradient-path-cut",
        ((EMB, f"        emb = self.embedding(tokens).detach(){MARK}\n"),),
        accept=("parameters-frozen",),
        note="embedding detached",
    ),
    Fault(
        "gradient-path-cut",
        ((CAT, f"        h = torch.tensor(torch.cat([h_n[0], h_n[1]], dim=1).tolist()){MARK}\n"),),
        note="by way of a list",
    ),
    Fault(
        "samples-mixed",
        ((CAT, f"        h = h_n.view(tokens.size(0), -1){MARK}\n"),),
        note="[2, B, H] viewed as [B, 2H]",
    ),
    Fault(
        "input-ignored",
        ((EMB, f"        emb = self.embedding(tokens) * (tokens == PAD).unsqueeze(-1){MARK}\n"),),
        accept=("loss-plateau", "gradient-path-cut"),
        note="mask the wrong way round",
    ),
    Fault(
        "class-imbalance",
        (
            ("    label = rng.random() < 0.5\n", "    label = rng.random() < 0.03\n"),
            (
                "        if rng.random() < 0.35:\n",
                "        if rng.random() < 0.25:\n            continue\n        if rng.random() < 0.45:\n",
            ),
            (MAIN, "def main(seed=0, epochs=6, lr=5e-4):"),
            (
                "            right += ((logits > 0) == labels.bool()).sum().item()\n",
                "            right += ((logits > 0) == labels.bool()).sum().item()\n"
                "            print('   found', int(((logits > 0) & labels.bool()).sum()), 'of', int(labels.sum()))\n",
            ),
        ),
        accept=("slow-convergence",),
        note="3 % of one class",
    ),
    Fault(
        "labels-unrelated-to-input",
        (
            (
                "    data = list(zip(encoded, labels))\n",
                f"    encoded.sort(key=len){MARK}\n    data = list(zip(encoded, labels))\n",
            ),
        ),
        accept=("label-noise", "overfitting", "loss-plateau", "distribution-shift"),
        note="texts sorted by length, labels not",
    ),
    Fault(
        "label-noise",
        (
            (
                "    return words, int(label)\n",
                f"    return words, int(label) ^ int(rng.random() < 0.4){MARK}\n",
            ),
        ),
        accept=("labels-unrelated-to-input", "overfitting"),
        note="40 % flipped",
    ),
    Fault(
        "data-not-shuffled",
        (
            (SPLIT, f"{SPLIT}    train.sort(key=lambda pair: pair[1])\n"),
            (
                "iterate(data, batch_size, True, rng):\n        optimizer",
                f"iterate(data, batch_size, False, rng):{MARK}\n        optimizer",
            ),
        ),
        accept=("loss-oscillates",),
        note="sorted by label",
    ),
    Fault(
        "device-mismatch",
        (
            (
                "        _, h_n = self.gru(packed)\n",
                f"        h_0 = torch.zeros(2, tokens.size(0), 32, device=torch.device('meta'))\n"
                f"        _, h_n = self.gru(packed, h_0){MARK}\n",
            ),
        ),
        note="first state on another device",
    ),
    Fault(
        "evaluation-not-deterministic",
        ((FC, f"        return self.fc(nn.functional.dropout(h, p=0.4, training=True)).squeeze(1){MARK}\n"),),
        accept=("evaluated-in-training-mode",),
    ),
    Fault(
        "parameters-frozen",
        (
            (
                "        self.fc = nn.Linear(2 * hidden, 1)\n",
                "        self.fc = nn.Linear(2 * hidden, 1)\n"
                "        for name, p in self.named_parameters():\n            if 'embedding' not in name:\n"
                f"                p.requires_grad = False{MARK}\n",
            ),
        ),
        note="the condition turned round: only the embedding learns",
    ),
    Fault(
        "exploding-gradients",
        (
            (
                "nn.GRU(emb_dim, hidden, batch_first=True, bidirectional=True)",
                "nn.RNN(emb_dim, hidden, nonlinearity='relu', batch_first=True, bidirectional=True)",
            ),
            (
                "        self.dropout = nn.Dropout(0.2)\n",
                "        for p in self.gru.parameters():\n"
                f"            nn.init.normal_(p, std=0.6){MARK}\n        self.dropout = nn.Dropout(0.2)\n",
            ),
            ("        torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)\n", ""),
        ),
        accept=("badly-scaled-initialization", "learning-rate-too-high", "loss-not-finite"),
        note="ReLU recurrence with large weights, no clipping",
    ),
    Fault(
        "metric-wrong",
        (
            (
                "            right += ((logits > 0) == labels.bool()).sum().item()\n",
                f"            right += ((logits > 0).unsqueeze(1) == labels.bool()).sum().item(){MARK}\n",
            ),
        ),
        note="[B, 1] == [B]: above 100 %",
    ),
    Fault(
        "labels-out-of-range",
        (
            ("nn.Linear(2 * hidden, 1)", "nn.Linear(2 * hidden, 2)"),
            (FC, "        return self.fc(self.dropout(h))\n"),
            (CRITERION, "    criterion = nn.CrossEntropyLoss()\n"),
            ("dtype=torch.float32)", "dtype=torch.long) + 1"),
            (
                LOGITS,
                f"        logits = model(tokens, lengths)\n        loss = criterion(logits, labels){MARK}\n",
            ),
        ),
        note="labels 1 and 2 for two outputs",
    ),
    Fault(
        "graph-retained", (("        epoch_loss += loss.item()\n", f"        epoch_loss += loss{MARK}\n"),)
    ),
    Fault("learning-rate-too-low", (("lr=5e-3", "lr=2e-6"),), accept=("slow-convergence",)),
)

TEMPLATES = (Template("gru-reviews", SOURCE, FAULTS, VARIANTS),)
