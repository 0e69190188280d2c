"""A language model of characters: a small causal transformer, iterations instead of epochs, get_batch()."""

# ruff: noqa: E501 (texts to be exchanged stand as they do in the program)

from program import MARK, Fault, Template

SOURCE = """\
import math
import random

import torch
import torch.nn as nn
from torch.nn import functional as F

# hyperparameters
batch_size = 24
block_size = 24
max_iters = 300
eval_interval = 50
eval_iters = 5
learning_rate = 4e-3
n_embd = 32
n_head = 2
n_layer = 2
dropout = 0.0
# ------------
torch.manual_seed(1337)
rng = random.Random(0)

nouns, verbs, places = ["cat", "dog", "bird", "child"], ["sees", "likes", "finds"], ["home", "a tree", "the sea"]
text = "".join(
    f"the {rng.choice(nouns)} {rng.choice(verbs)} the {rng.choice(nouns)} near {rng.choice(places)}. " for _ in range(900)
)
chars = sorted(set(text))
vocab_size = len(chars)
stoi = {ch: i for i, ch in enumerate(chars)}
data = torch.tensor([stoi[c] for c in text], dtype=torch.long)
n = int(0.9 * len(data))
train_data, val_data = data[:n], data[n:]


def get_batch(split):
    source = train_data if split == "train" else val_data
    ix = torch.randint(len(source) - block_size, (batch_size,))
    x = torch.stack([source[i : i + block_size] for i in ix])
    y = torch.stack([source[i + 1 : i + block_size + 1] for i in ix])
    return x, y


class CausalSelfAttention(nn.Module):
    def __init__(self):
        super().__init__()
        self.qkv = nn.Linear(n_embd, 3 * n_embd, bias=False)
        self.proj = nn.Linear(n_embd, n_embd)
        self.register_buffer("mask", torch.triu(torch.ones(block_size, block_size, dtype=torch.bool), diagonal=1))

    def forward(self, x):
        B, T, C = x.shape
        q, k, v = self.qkv(x).split(n_embd, dim=2)
        q = q.view(B, T, n_head, C // n_head).transpose(1, 2)
        k = k.view(B, T, n_head, C // n_head).transpose(1, 2)
        v = v.view(B, T, n_head, C // n_head).transpose(1, 2)
        att = (q @ k.transpose(-2, -1)) / math.sqrt(C // n_head)
        att = att.masked_fill(self.mask[:T, :T], float("-inf"))
        att = F.softmax(att, dim=-1)
        y = (att @ v).transpose(1, 2).contiguous().view(B, T, C)
        return self.proj(y)


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.ln_1, self.ln_2 = nn.LayerNorm(n_embd), nn.LayerNorm(n_embd)
        self.attn = CausalSelfAttention()
        self.mlp = nn.Sequential(nn.Linear(n_embd, 4 * n_embd), nn.GELU(), nn.Linear(4 * n_embd, n_embd), nn.Dropout(dropout))

    def forward(self, x):
        x = x + self.attn(self.ln_1(x))
        x = x + self.mlp(self.ln_2(x))
        return x


class LanguageModel(nn.Module):
    def __init__(self):
        super().__init__()
        self.wte = nn.Embedding(vocab_size, n_embd)
        self.wpe = nn.Embedding(block_size, n_embd)
        self.blocks = nn.Sequential(*[Block() for _ in range(n_layer)])
        self.ln_f = nn.LayerNorm(n_embd)
        self.lm_head = nn.Linear(n_embd, vocab_size)
        self.apply(self._init_weights)

    def _init_weights(self, module):
        if isinstance(module, (nn.Linear, nn.Embedding)):
            nn.init.normal_(module.weight, mean=0.0, std=0.1)

    def forward(self, idx, targets=None):
        B, T = idx.shape
        x = self.wte(idx) + self.wpe(torch.arange(T))
        x = self.ln_f(self.blocks(x))
        logits = self.lm_head(x)
        loss = F.cross_entropy(logits.view(B * T, -1), targets.view(B * T))
        return logits, loss


@torch.no_grad()
def estimate_loss():
    out = {}
    model.eval()
    for split in ["train", "val"]:
        losses = torch.zeros(eval_iters)
        for k in range(eval_iters):
            X, Y = get_batch(split)
            _, loss = model(X, Y)
            losses[k] = loss.item()
        out[split] = losses.mean()
    model.train()
    return out


def lr_at(it):
    if it < 20:
        return learning_rate * (it + 1) / 20
    ratio = (it - 20) / (max_iters - 20)
    return learning_rate * (0.05 + 0.95 * 0.5 * (1.0 + math.cos(math.pi * ratio)))


model = LanguageModel()
print(sum(p.numel() for p in model.parameters()) / 1e3, "K parameters")
optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate, weight_decay=0.05)

for it in range(max_iters):
    if it % eval_interval == 0 or it == max_iters - 1:
        losses = estimate_loss()
        print(f"step {it}: train loss {losses['train']:.4f}, val loss {losses['val']:.4f}")
    for group in optimizer.param_groups:
        group["lr"] = lr_at(it)
    xb, yb = get_batch("train")
    logits, loss = model(xb, yb)
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
"""

ADAMW = "torch.optim.AdamW(model.parameters(), lr=learning_rate, weight_decay=0.05)"
FORWARD = "    logits, loss = model(xb, yb)\n"
STEP = """\
    logits, loss = model(xb, yb)
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
"""
LOSS = "        loss = F.cross_entropy(logits.view(B * T, -1), targets.view(B * T))\n"
HEADS = "        x = self.ln_f(self.blocks(x))\n"
RATE = "learning_rate = 4e-3"
INIT = "nn.init.normal_(module.weight, mean=0.0, std=0.1)"
MODEL = "model = LanguageModel()\n"

VARIANTS = (
    ("seed2", (("manual_seed(1337)", "manual_seed(2)"),)),
    (
        "autocast",
        (
            (
                STEP,
                STEP.replace(
                    FORWARD,
                    '    with torch.autocast("cpu", dtype=torch.bfloat16):\n        logits, loss = model(xb, yb)\n',
                ),
            ),
            ("max_iters = 300", "max_iters = 240"),
        ),
    ),
    (
        "accumulation",
        (
            (
                STEP,
                """\
    optimizer.zero_grad()
    for micro in range(2):
        xb, yb = get_batch("train")
        logits, loss = model(xb, yb)
        (loss / 2).backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
""",
            ),
            ("batch_size = 24", "batch_size = 12"),
        ),
    ),
    (
        "tied-dropout",
        (
            (
                "        self.apply(self._init_weights)\n",
                "        self.lm_head.weight = self.wte.weight\n        self.apply(self._init_weights)\n",
            ),
            ("dropout = 0.0", "dropout = 0.05"),
        ),
    ),
    (
        "nadam-one-layer",
        (
            (ADAMW, "torch.optim.NAdam(model.parameters(), lr=learning_rate)"),
            ("n_layer = 2", "n_layer = 1"),
            ("n_embd = 32", "n_embd = 48"),
        ),
    ),
    (
        "gradscaler",
        (
            (
                STEP,
                STEP.replace(
                    "loss.backward()\n", "scaler.scale(loss).backward()\n    scaler.unscale_(optimizer)\n"
                ).replace("    optimizer.step()\n", "    scaler.step(optimizer)\n    scaler.update()\n"),
            ),
            (MODEL, MODEL + 'scaler = torch.amp.GradScaler("cpu")\n'),
        ),
    ),
    (
        "sdpa",
        (
            (
                """\
        att = (q @ k.transpose(-2, -1)) / math.sqrt(C // n_head)
        att = att.masked_fill(self.mask[:T, :T], float("-inf"))
        att = F.softmax(att, dim=-1)
        y = (att @ v).transpose(1, 2).contiguous().view(B, T, C)
""",
                """\
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).contiguous().view(B, T, C)
""",
            ),
        ),
    ),
)

FAULTS = (
    Fault(
        "loss-not-finite",
        (("diagonal=1))", f"diagonal=0)){MARK}"),),
        note="every entry of the first row masked",
    ),
    Fault(
        "loss-not-finite",
        (
            (
                LOSS,
                f"        loss = F.nll_loss(torch.log(F.softmax(40 * logits.view(B * T, -1), dim=-1)), targets.view(B * T)){MARK}\n",
            ),
            (RATE, "learning_rate = 2e-2"),
        ),
        accept=("learning-rate-too-high",),
        note="log of a softmax that underflows",
    ),
    Fault(
        "softmax-wrong-dimension",
        (
            (
                LOSS,
                f"        logp = F.log_softmax(logits, dim=1){MARK}\n"
                "        loss = F.nll_loss(logp.view(B * T, -1), targets.view(B * T))\n",
            ),
        ),
        accept=("nll-without-log-softmax",),
        note="over time instead of characters",
    ),
    Fault(
        "softmax-before-cross-entropy",
        (
            (
                LOSS,
                f"        probs = F.softmax(logits, dim=-1){MARK}\n        loss = F.cross_entropy(probs.view(B * T, -1), targets.view(B * T)){MARK}\n",
            ),
        ),
    ),
    Fault(
        "softmax-before-cross-entropy",
        (
            (
                "        logits = self.lm_head(x)\n",
                f"        logits = F.log_softmax(self.lm_head(x), dim=-1){MARK}\n",
            ),
        ),
        note="log-probabilities: log-softmax twice",
    ),
    Fault(
        "nll-without-log-softmax",
        ((LOSS, f"        loss = F.nll_loss(logits.view(B * T, -1), targets.view(B * T)){MARK}\n"),),
    ),
    Fault(
        "samples-mixed",
        (
            (
                HEADS,
                f"        x = x.view(T, B, n_embd){MARK}\n        x = self.ln_f(self.blocks(x)).view(B, T, n_embd)\n",
            ),
            ("batch_size = 24", "batch_size = 20"),
        ),
        note="view where transpose was meant",
    ),
    Fault(
        "inplace-modification",
        (
            (
                HEADS,
                f"        x = torch.tanh(self.blocks(x))\n        x += 1{MARK}\n        x = self.ln_f(x)\n",
            ),
        ),
        note="output of tanh changed",
    ),
    Fault(
        "inplace-modification",
        (
            (
                "        att = F.softmax(att, dim=-1)\n",
                f"        att = F.softmax(att, dim=-1)\n        att *= ~self.mask[:T, :T]{MARK}\n",
            ),
        ),
        note="softmax multiplied in place",
    ),
    Fault(
        "badly-scaled-initialization",
        ((INIT, f"nn.init.normal_(module.weight, mean=0.0, std=3.0){MARK}"),),
        accept=("exploding-gradients",),
        note="every weight with a spread of 3",
    ),
    Fault(
        "symmetric-initialization",
        ((INIT, f"nn.init.constant_(module.weight, 0.05){MARK}"),),
        accept=("loss-plateau",),
    ),
    Fault(
        "learning-rate-too-high",
        ((RATE, f"learning_rate = 0.7{MARK}"),),
        accept=("loss-plateau", "loss-oscillates", "exploding-gradients"),
    ),
    Fault("learning-rate-too-low", ((RATE, f"learning_rate = 5e-7{MARK}"),), accept=("slow-convergence",)),
    Fault(
        "slow-convergence",
        ((RATE, f"learning_rate = 1e-4{MARK}"),),
        accept=("learning-rate-too-low", "underfitting"),
        note="a fortieth of the good rate",
    ),
    Fault(
        "gradients-not-cleared",
        (
            (
                STEP,
                STEP.replace("    optimizer.zero_grad(set_to_none=True)\n", "")
                .replace("    loss.backward()\n", f"    loss.backward(){MARK}\n")
                .replace("    optimizer.step()\n", f"    optimizer.step(){MARK}\n"),
            ),
        ),
        note="clipped, so nothing diverges",
    ),
    Fault(
        "clipping-misplaced",
        (
            (
                STEP,
                STEP.replace("loss.backward()\n", "scaler.scale(loss).backward()\n")
                .replace("model.parameters(), 1.0)\n", f"model.parameters(), 1.0){MARK}\n")
                .replace("    optimizer.step()\n", "    scaler.step(optimizer)\n    scaler.update()\n"),
            ),
            (MODEL, MODEL + 'scaler = torch.amp.GradScaler("cpu")\n'),
        ),
        note="before unscaling",
    ),
    Fault(
        "shape-mismatch",
        ((LOSS, f"        loss = F.cross_entropy(logits, targets){MARK}\n"),),
        note="[B, T, C] given to cross entropy",
    ),
    Fault(
        "device-mismatch",
        (
            (
                "        self.lm_head = nn.Linear(n_embd, vocab_size)\n",
                '        self.lm_head = nn.Linear(n_embd, vocab_size, device="meta")\n',
            ),
            ("        logits = self.lm_head(x)\n", f"        logits = self.lm_head(x){MARK}\n"),
        ),
        note="head on another device",
    ),
    Fault(
        "graph-retained",
        ((MODEL, MODEL + "all_losses = []\n"), (STEP, STEP + f"    all_losses.append(loss){MARK}\n")),
        note="losses kept in a list with their graphs",
    ),
    Fault(
        "gradient-path-cut", ((HEADS, f"        x = self.ln_f(self.blocks(x).data){MARK}\n"),), note=".data"
    ),
)

TEMPLATES = (Template("char-transformer", SOURCE, FAULTS, VARIANTS),)
