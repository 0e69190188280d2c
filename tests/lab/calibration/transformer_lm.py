"""A small transformer that predicts the next character: AdamW, warm-up, windows of text at random places."""

from program import MARK, Fault, Template

SOURCE = """\
import math

import torch
import torch.nn as nn
from torch.nn import functional as F

torch.manual_seed(2)
block_size, batch_size, max_iters, eval_interval = 24, 24, 480, 60
n_embd, n_head, n_layer, dropout = 32, 4, 2, 0.05
learning_rate, warmup = 4e-3, 30

names = "anna ben clara david emma felix greta hugo ida jonas".split()
verbs = "sees calls helps follows hears meets paints asks finds wants".split()
things = "dogs houses ships birds trees rivers books lamps horses songs".split()
picks = torch.randint(0, 10, (1400, 5)).tolist()
text = "".join(f"{names[a]} {verbs[b]} {c + 1}{d} {things[e]}. " for a, b, c, d, e in picks)
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


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.qkv = nn.Linear(n_embd, 3 * n_embd)
        self.proj = nn.Linear(n_embd, n_embd)
        self.register_buffer("mask", torch.tril(torch.ones(block_size, block_size)))

    def forward(self, x):
        B, T, C = x.shape
        q, k, v = self.qkv(x).split(n_embd, dim=2)
        q, k, v = (a.view(B, T, n_head, C // n_head).transpose(1, 2) for a in (q, k, v))
        att = (q @ k.transpose(-2, -1)) / math.sqrt(C // n_head)
        att = att.masked_fill(self.mask[:T, :T] == 0, float("-inf"))
        att = F.softmax(att, dim=-1)
        y = att @ v
        y = y.transpose(1, 2).contiguous().view(B, T, C)
        return self.proj(y)


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.ln1, self.ln2 = nn.LayerNorm(n_embd), nn.LayerNorm(n_embd)
        self.attn = Attention()
        self.mlp = nn.Sequential(
            nn.Linear(n_embd, 2 * n_embd), nn.GELU(), nn.Linear(2 * n_embd, n_embd), nn.Dropout(dropout)
        )

    def forward(self, x):
        x = x + self.attn(self.ln1(x))
        x = x + self.mlp(self.ln2(x))
        return x


class LanguageModel(nn.Module):
    def __init__(self):
        super().__init__()
        self.tok = nn.Embedding(vocab_size, n_embd)
        self.pos = nn.Embedding(block_size, n_embd)
        self.blocks = nn.Sequential(*[Block() for _ in range(n_layer)])
        self.ln_f = nn.LayerNorm(n_embd)
        self.head = nn.Linear(n_embd, vocab_size)

    def forward(self, idx, targets=None):
        x = self.tok(idx) + self.pos(torch.arange(idx.shape[1]))
        x = self.ln_f(self.blocks(x))
        logits = self.head(x)
        loss = F.cross_entropy(logits.view(-1, vocab_size), targets.reshape(-1))
        return logits, loss


@torch.no_grad()
def estimate_loss():
    model.eval()
    out = sum(model(*get_batch("val"))[1].item() for _ in range(5)) / 5
    model.train()
    return out


model = LanguageModel()
optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate)
scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda i: min((i + 1) / warmup, 1.0))
for it in range(max_iters):
    xb, yb = get_batch("train")
    logits, loss = model(xb, yb)
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    optimizer.step()
    scheduler.step()
    if (it + 1) % eval_interval == 0:
        print(f"step {it + 1}: train loss {loss.item():.4f}, val loss {estimate_loss():.4f}")
"""

STEP = "    loss.backward()\n    optimizer.step()\n    scheduler.step()\n"
LOSS = "        loss = F.cross_entropy(logits.view(-1, vocab_size), targets.reshape(-1))\n"
MARKED = LOSS.replace("\n", f"{MARK}\n")
HEAD = "        logits = self.head(x)\n"
ADAMW = "torch.optim.AdamW(model.parameters(), lr=learning_rate)"
RATE = "learning_rate, warmup = 4e-3, 30"
MODEL = "model = LanguageModel()\n"
CHANGE1 = "        x = x + self.attn(self.ln1(x))\n"
CHANGE2 = "        x = x + self.mlp(self.ln2(x))\n"
EMBED = "        x = self.tok(idx) + self.pos(torch.arange(idx.shape[1]))\n"
SETTINGS = "n_embd, n_head, n_layer, dropout = 32, 4, 2, 0.05"
EVAL = "    model.eval()\n"
ATT = "        att = F.softmax(att, dim=-1)\n"
CALL = "    logits, loss = model(xb, yb)\n"
TARGETS = "    y = torch.stack([source[i + 1 : i + block_size + 1] for i in ix])\n"
LAST = "        x = self.ln_f(self.blocks(x))\n"
SPREAD = "for p in model.parameters():\n    if p.ndim == 2:\n        nn.init.normal_(p, std={})\n"

FAULTS = (
    Fault("softmax-before-cross-entropy", ((HEAD, f"        logits = self.head(x).softmax(-1){MARK}\n"), (LOSS,
          MARKED))),
    Fault("softmax-before-cross-entropy", ((HEAD,
          f"        logits = F.log_softmax(self.head(x), dim=-1).exp() + 1e-9{MARK}\n"), (LOSS, MARKED)),
          note="as exp of log_softmax"),
    Fault("softmax-wrong-dimension", ((HEAD, f"        logits = F.softmax(self.head(x), dim=1){MARK}\n"), (LOSS,
          MARKED)), accept=("softmax-before-cross-entropy",), note="over the positions"),
    Fault("nll-without-log-softmax", ((LOSS, LOSS.replace("F.cross_entropy", "F.nll_loss").replace("\n",
          f"{MARK}\n")),)),
    Fault("samples-mixed", (("        y = y.transpose(1, 2).contiguous().view(B, T, C)\n",
          f"        y = y.permute(1, 2, 0, 3).contiguous().view(B, T, C){MARK}\n"),),
          note="heads put together across the batch"),
    Fault("evaluated-in-training-mode", ((EVAL, ""), (SETTINGS, SETTINGS.replace("0.05", "0.4")),
          ("    out = sum(model(*get_batch(\"val\"))[1].item() for _ in range(5)) / 5\n",
          f"    out = sum(model(*get_batch(\"val\"))[1].item() for _ in range(5)) / 5{MARK}\n"))),
    Fault("trained-in-eval-mode", (("    model.train()\n    return out", "    return out"), (CALL,
          CALL.replace("\n", f"{MARK}\n")), (SETTINGS, SETTINGS.replace("0.05", "0.3"))),
          note="after the first evaluation"),
    Fault("evaluation-not-deterministic", ((LAST,
          f"        x = F.dropout(self.ln_f(self.blocks(x)), 0.3){MARK}\n"),),
          note="functional dropout without training="),
    Fault("dropout-too-strong", ((SETTINGS, SETTINGS.replace("0.05", "0.9")), (LAST,
          "        x = F.dropout(self.ln_f(self.blocks(x)), dropout, self.training)\n")), accept=("underfitting",),
          note="0.9"),
    Fault("inplace-modification", ((CHANGE1,
          "        h = torch.sigmoid(x)\n        x = x + self.attn(self.ln1(x)) * h\n"
          f"        h += 1.0{MARK}\n"),), note="+= on an output that autograd saved"),
    Fault("unused-parameters", (("        self.ln_f = nn.LayerNorm(n_embd)\n",
          "        self.ln_f = nn.LayerNorm(n_embd)\n" "        self.old_head = nn.Linear(n_embd, vocab_size)\n"),)),
    Fault("gradient-path-cut", ((EMBED,
          f"        x = (self.tok(idx) + self.pos(torch.arange(idx.shape[1]))).detach(){MARK}\n"),),
          note="the embeddings are detached"),
    Fault("parameters-frozen", ((MODEL, MODEL + f"for p in model.parameters():\n    p.requires_grad = False{MARK}\n"
          "model.ln_f.weight.requires_grad = True\n"),), note="all but the last norm"),
    Fault("learning-rate-too-high", ((RATE, "learning_rate, warmup = 1.0, 1"),), accept=("loss-plateau",
          "exploding-gradients", "loss-oscillates"), note="x250"),
    Fault("learning-rate-too-high", ((RATE, "learning_rate, warmup = 0.1, 1"),), accept=("loss-plateau",
          "exploding-gradients"), note="x25"),
    Fault("learning-rate-too-low", ((RATE, "learning_rate, warmup = 1e-5, 30"),), accept=("slow-convergence",),
          note="/400"),
    Fault("scheduler-misused", (("lambda i: min((i + 1) / warmup, 1.0))", f"lambda i: 0.5 ** i){MARK}"),),
          accept=("learning-rate-too-low", "loss-plateau"), note="a decay meant for epochs is stepped every batch"),
    Fault("badly-scaled-initialization", ((MODEL, MODEL + SPREAD.format("3.0")),), accept=("exploding-gradients",
          "saturated-activations"), note="deviation 3"),
    Fault("labels-unrelated-to-input", ((TARGETS, TARGETS
          + "    y = source[torch.randint(len(source), y.shape)]\n"),), accept=("underfitting", "loss-plateau"),
          note="targets drawn from elsewhere"),
    Fault("weight-decay-too-strong", ((ADAMW, ADAMW.replace("learning_rate", "learning_rate, weight_decay=30.0")),),
          accept=("underfitting",), note="30"),
    Fault("loss-sign-flipped", ((LOSS, LOSS.replace("= F", "= -F").replace("\n", f"{MARK}\n")),)),
    Fault("device-mismatch", ((HEAD, f"        logits = self.head(x.to('meta')){MARK}\n"),),
          note="features on another device"),
    Fault("shape-mismatch", ((LOSS, "        loss = F.cross_entropy(logits.view(-1, vocab_size), targets[:, "
          f"1:].reshape(-1)){MARK}\n"),), note="logits and targets of different length"),
    Fault("gradients-cleared-before-step", ((STEP,
          f"    loss.backward()\n    optimizer.zero_grad(){MARK}\n    optimizer.step()\n"
          "    scheduler.step()\n"),)),
)  # fmt: skip

VARIANTS = (
    ("seed", (("torch.manual_seed(2)", "torch.manual_seed(31)"),)),
    ("one-layer-wide", ((SETTINGS, "n_embd, n_head, n_layer, dropout = 48, 4, 1, 0.0"), (RATE,
     "learning_rate, warmup = 3e-3, 20"))),
    ("tied", (("        self.head = nn.Linear(n_embd, vocab_size)\n",
     "        self.head = nn.Linear(n_embd, vocab_size, bias=False)\n"
     "        self.tok.weight = self.head.weight\n"), (RATE, "learning_rate, warmup = 8e-3, 30"), ("480, 60",
     "660, 60"))),
    ("clipped-cosine", ((STEP, STEP.replace("    optimizer.step",
     "    nn.utils.clip_grad_norm_(model.parameters(), 1.0)\n    optimizer.step")),
     ("lambda i: min((i + 1) / warmup, 1.0))",
     "lambda i: min((i + 1) / warmup, 0.5 + 0.5 * math.cos(math.pi * i / max_iters)))"))),
    ("adam-small-batch", ((ADAMW, "torch.optim.Adam(model.parameters(), lr=learning_rate, betas=(0.9, 0.95))"),
     ("block_size, batch_size, max_iters, eval_interval = 24, 24",
     "block_size, batch_size, max_iters, eval_interval = 24, 16"), (RATE, "learning_rate, warmup = 6e-3, 30"))),
    ("post-norm", ((CHANGE1, "        x = self.ln1(x + self.attn(x))\n"), (CHANGE2,
     "        x = self.ln2(x + self.mlp(x))\n"), (RATE, "learning_rate, warmup = 2e-3, 60"))),
)  # fmt: skip

TEMPLATES = [Template("transformer-lm", SOURCE, FAULTS, VARIANTS)]
