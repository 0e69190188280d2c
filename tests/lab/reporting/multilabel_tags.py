"""Tags of made-up posts: an embedding bag with offsets, several tags a post, micro F1; a collate function."""

# ruff: noqa: E501 (texts to be exchanged stand as they do in the program)

from program import MARK, Fault, Template

SOURCE = """\
import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader

TAGS = 8
VOCAB = 240
rng = np.random.default_rng(21)
torch.manual_seed(21)


def make_posts(n):
    posts = []
    for _ in range(n):
        tags = rng.choice(TAGS, size=rng.integers(1, 4), replace=False)
        words = [rng.integers(t * 20, t * 20 + 20, rng.integers(3, 6)) for t in tags]
        words.append(rng.integers(160, VOCAB, rng.integers(4, 10)))
        target = np.zeros(TAGS, dtype=np.float32)
        target[tags] = 1
        posts.append((rng.permutation(np.concatenate(words)), target))
    return posts


def collate_batch(batch):
    words = torch.from_numpy(np.concatenate([w for w, _ in batch]))
    sizes = [0] + [len(w) for w, _ in batch]
    offsets = torch.tensor(sizes[:-1]).cumsum(dim=0)
    targets = torch.from_numpy(np.stack([t for _, t in batch]))
    return words, offsets, targets


class TagModel(nn.Module):
    def __init__(self, vocab_size, embed_dim, hidden, num_tags):
        super().__init__()
        self.embedding = nn.EmbeddingBag(vocab_size, embed_dim, mode="mean")
        self.norm = nn.LayerNorm(embed_dim)
        self.fc1 = nn.Linear(embed_dim, hidden)
        self.dropout = nn.Dropout(0.2)
        self.fc2 = nn.Linear(hidden, num_tags)

    def forward(self, text, offsets):
        embedded = self.norm(self.embedding(text, offsets))
        hidden = self.dropout(torch.relu(self.fc1(embedded)))
        return self.fc2(hidden)


train_posts, test_posts = make_posts(5000), make_posts(600)
train_loader = DataLoader(train_posts, batch_size=64, shuffle=True, collate_fn=collate_batch)
test_loader = DataLoader(test_posts, batch_size=200, collate_fn=collate_batch)
model = TagModel(VOCAB, 24, 48, TAGS)
criterion = nn.BCEWithLogitsLoss()
optimizer = torch.optim.Adam(model.parameters(), lr=8e-3)
scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=9)
threshold = 0.0


def f1_score(tp, fp, fn):
    return 2 * tp / max(2 * tp + fp + fn, 1)


for epoch in range(1, 10):
    model.train()
    sum_loss = 0.0
    for text, offsets, targets in train_loader:
        model.zero_grad()
        outputs = model(text, offsets)
        loss = criterion(outputs, targets)
        loss.backward()
        optimizer.step()
        sum_loss += loss.item()
    scheduler.step()

    model.eval()
    tp = fp = fn = 0
    test_loss = 0.0
    with torch.inference_mode():
        for text, offsets, targets in test_loader:
            outputs = model(text, offsets)
            test_loss += float(criterion(outputs, targets))
            predicted, actual = outputs > threshold, targets > 0.5
            tp += int((predicted & actual).sum())
            fp += int((predicted & ~actual).sum())
            fn += int((~predicted & actual).sum())
    print(f"| epoch {epoch} | train loss {sum_loss / len(train_loader):.4f} | test loss {test_loss / len(test_loader):.4f} "
          f"| micro F1: {f1_score(tp, fp, fn):.4f}")
"""

ADAM = "torch.optim.Adam(model.parameters(), lr=8e-3)"
OUT = "        return self.fc2(hidden)\n"
LOSS = "        loss = criterion(outputs, targets)\n"
CRITERION = "criterion = nn.BCEWithLogitsLoss()\n"
MODEL = "model = TagModel(VOCAB, 24, 48, TAGS)\n"
OUTPUTS = "        outputs = model(text, offsets)\n        loss"

VARIANTS = (
    ("seed22", (("default_rng(21)", "default_rng(22)"),)),
    ("adagrad", ((ADAM, "torch.optim.Adagrad(model.parameters(), lr=0.08)"),)),
    (
        "sgd-momentum",
        (
            (ADAM, "torch.optim.SGD(model.parameters(), lr=1.5, momentum=0.9)"),
            ("range(1, 10)", "range(1, 13)"),
            ("T_max=9", "T_max=12"),
        ),
    ),
    (
        "sum-mode-adamw",
        (('mode="mean"', 'mode="sum"'), (ADAM, "torch.optim.AdamW(model.parameters(), lr=8e-3)")),
    ),
    (
        "sigmoid-bce",
        (
            (OUT, "        return torch.sigmoid(self.fc2(hidden))\n"),
            (CRITERION, "criterion = nn.BCELoss()\n"),
            ("threshold = 0.0", "threshold = 0.5"),
        ),
    ),
    (
        "soft-margin-batch-32",
        (
            (CRITERION, "criterion = nn.MultiLabelSoftMarginLoss()\n"),
            ("batch_size=64", "batch_size=32"),
            ("range(1, 10)", "range(1, 7)"),
            ("T_max=9", "T_max=6"),
        ),
    ),
)

FAULTS = (
    Fault(
        "sigmoid-before-bce-with-logits",
        (
            (OUT, f"        return torch.sigmoid(self.fc2(hidden)){MARK}\n"),
            ("threshold = 0.0", "threshold = 0.5"),
        ),
    ),
    Fault(
        "loss-does-not-match-target",
        (
            (CRITERION, "criterion = nn.CrossEntropyLoss()\n"),
            (LOSS, f"        loss = criterion(outputs, targets){MARK}\n"),
        ),
        note="cross entropy on several tags",
    ),
    Fault(
        "softmax-wrong-dimension",
        (
            (OUT, f"        return torch.softmax(self.fc2(hidden), dim=0){MARK}\n"),
            (CRITERION, "criterion = nn.BCELoss()\n"),
            ("threshold = 0.0", "threshold = 0.5"),
        ),
        accept=("bce-input-not-probability", "samples-mixed"),
        note="softmax over the batch",
    ),
    Fault(
        "input-ignored",
        ((OUTPUTS, f"        outputs = model(torch.zeros_like(text), offsets){MARK}\n        loss"),),
        accept=("loss-plateau",),
        note="a leftover of debugging: zeros go in",
    ),
    Fault(
        "labels-unrelated-to-input",
        (
            (
                "    targets = torch.from_numpy(np.stack([t for _, t in batch]))\n",
                f"    targets = torch.from_numpy(np.stack([t for _, t in rng.permutation(np.array(batch, dtype=object))])){MARK}\n",
            ),
        ),
        accept=("label-noise", "loss-plateau", "underfitting"),
        note="targets shuffled in collate",
    ),
    Fault(
        "label-noise",
        (
            (
                "        target[tags] = 1\n",
                f"        target[tags] = rng.random(len(tags)) < 0.5\n        target = np.maximum(target, rng.random(TAGS) < 0.3).astype(np.float32){MARK}\n",
            ),
        ),
        accept=("labels-unrelated-to-input", "underfitting"),
        note="half of the tags missing, others invented",
    ),
    Fault(
        "metric-wrong",
        (
            (
                "    return 2 * tp / max(2 * tp + fp + fn, 1)\n",
                f"    return 2 * tp / max(tp + fp + fn, 1){MARK}\n",
            ),
        ),
        note="F1 above 1",
    ),
    Fault(
        "optimizer-never-steps",
        (
            (
                "        loss.backward()\n        optimizer.step()\n",
                f"        loss.backward()\n        scheduler.step(){MARK}\n",
            ),
            ("    scheduler.step()\n\n", "\n"),
        ),
        accept=("scheduler-misused",),
        note="scheduler.step where optimizer.step was meant",
    ),
    Fault(
        "no-nonlinearity",
        (
            ("torch.relu(self.fc1(embedded))", "self.fc1(embedded)"),
            ("        return self.fc2(hidden)\n", f"        return self.fc2(hidden){MARK}\n"),
        ),
        note="two linear layers in sequence",
    ),
    Fault(
        "parameters-frozen",
        ((MODEL, MODEL + f"model.fc2.requires_grad_(False){MARK}\nmodel.fc1.requires_grad_(False){MARK}\n"),),
        note="head and hidden layer",
    ),
    Fault(
        "weight-decay-too-strong",
        ((ADAM, f"torch.optim.SGD(model.parameters(), lr=0.8, momentum=0.9, weight_decay=0.3){MARK}"),),
        accept=("underfitting", "loss-plateau"),
    ),
    Fault(
        "overfitting",
        (
            ("make_posts(5000)", "make_posts(150)"),
            ("range(1, 10)", "range(1, 90)"),
            ("T_max=9", "T_max=90"),
            ("24, 48", "128, 128"),
            ("batch_size=64", "batch_size=25"),
            ("nn.Dropout(0.2)", "nn.Dropout(0.0)"),
        ),
        accept=("too-little-data",),
        note="150 posts, wide model",
    ),
    Fault(
        "learning-rate-too-high",
        ((ADAM, f"torch.optim.Adam(model.parameters(), lr=2.0){MARK}"),),
        accept=("loss-oscillates", "dead-units", "loss-plateau"),
    ),
    Fault(
        "slow-convergence",
        (
            (ADAM, f"torch.optim.Adam(model.parameters(), lr=2e-4){MARK}"),
            ("CosineAnnealingLR(optimizer, T_max=9)", "ConstantLR(optimizer, 1.0)"),
        ),
        accept=("learning-rate-too-low", "underfitting"),
    ),
    Fault(
        "train-validation-overlap",
        (
            (
                "train_posts, test_posts = make_posts(5000), make_posts(600)\n",
                f"train_posts = make_posts(5000)\ntest_posts = train_posts[::5]{MARK}\n",
            ),
        ),
        note="test posts drawn from the training posts",
    ),
)

TEMPLATES = (Template("multilabel-tags", SOURCE, FAULTS, VARIANTS),)
