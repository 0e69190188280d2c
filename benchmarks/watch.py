"""What watching costs: programs run alone and watched, side by side, in interleaved repetitions.

    python benchmarks/watch.py                   # loops of about eight seconds, of every kind
    python benchmarks/watch.py --zoo             # the scripts of tests/lab/healthy, which last a second or less
    python benchmarks/watch.py --start           # the command against `python`, for a program that only imports torch

Times are of the CPU (one thread; user and system), which other programs on the machine disturb less than the
clock; the ratio is of medians. Torch is imported before the fork, so that it weighs on neither side.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests" / "lab"))

from running import only_run, run_script  # noqa: E402

HEAD = """
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset
torch.manual_seed(0)
x, y = torch.randn(4096, 20), torch.randint(0, 4, (4096,))
images = torch.randn(512, 1, 28, 28)
words = torch.randint(0, 50, (256, 33))
"""
TRAIN = """
for step in range({steps}):
    at = step * {batch} % (len(x) - {batch})
    optimizer.zero_grad()
    loss = {loss}
    loss.backward()
    optimizer.step()
"""
MLP = """
model = nn.Sequential(nn.Linear(20, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 4))
optimizer = torch.optim.{optimizer}
"""
LOGITS = "F.cross_entropy(model(x[at : at + {batch}]), y[at : at + {batch}])"


def _loop(setup: str, steps: int, batch: int, loss: str = LOGITS) -> str:
    return HEAD + setup + TRAIN.format(steps=steps, batch=batch, loss=loss.format(batch=batch))


PROGRAMS = {
    "tiny net, sgd, in memory": _loop(MLP.format(optimizer="SGD(model.parameters(), lr=0.01)"), 60_000, 16),
    "tiny net, adam, in memory": _loop(MLP.format(optimizer="Adam(model.parameters())"), 30_000, 32),
    "tiny net, loss by hand": _loop(
        MLP.format(optimizer="SGD(model.parameters(), lr=0.01)"), 50_000, 16,
        "((model(x[at : at + 16]) - F.one_hot(y[at : at + 16], 4)) ** 2).mean()",
    ),
    "tiny net, DataLoader, evaluation": HEAD + MLP.format(optimizer="AdamW(model.parameters())") + """
train = DataLoader(TensorDataset(x[:3072], y[:3072]), batch_size=32, shuffle=True)
held_out = DataLoader(TensorDataset(x[3072:], y[3072:]), batch_size=64)
for epoch in range(180):
    model.train()
    for inputs, labels in train:
        optimizer.zero_grad()
        F.cross_entropy(model(inputs), labels).backward()
        optimizer.step()
    model.eval()
    with torch.no_grad():
        sum(F.cross_entropy(model(inputs), labels).item() for inputs, labels in held_out)
""",
    "gan, two tiny nets": HEAD + """
G = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 20))
D = nn.Sequential(nn.Linear(20, 32), nn.LeakyReLU(0.2), nn.Linear(32, 1))
g, d = torch.optim.Adam(G.parameters(), 2e-4), torch.optim.Adam(D.parameters(), 2e-4)
one, zero = torch.ones(32, 1), torch.zeros(32, 1)
for step in range(15_000):
    real, fake = x[step * 32 % 4000 :][:32], G(torch.randn(32, 8))
    d.zero_grad()
    (F.binary_cross_entropy_with_logits(D(real), one[: len(real)])
     + F.binary_cross_entropy_with_logits(D(fake.detach()), zero)).backward()
    d.step()
    g.zero_grad()
    F.binary_cross_entropy_with_logits(D(fake), one).backward()
    g.step()
""",
    "small cnn": _loop("""
model = nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 16, 3), nn.ReLU(),
                      nn.MaxPool2d(2), nn.Flatten(), nn.Linear(400, 4))
optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
x = images
y = y[:512]
""", 3_000, 32),
    "lstm": HEAD + """
embedding, lstm, head = nn.Embedding(50, 32), nn.LSTM(32, 64, batch_first=True), nn.Linear(64, 50)
optimizer = torch.optim.Adam([*embedding.parameters(), *lstm.parameters(), *head.parameters()])
for step in range(5_000):
    batch = words[step * 16 % 240 :][:16]
    optimizer.zero_grad()
    F.cross_entropy(head(lstm(embedding(batch[:, :-1]))[0]).flatten(0, 1), batch[:, 1:].flatten()).backward()
    optimizer.step()
""",
    "transformer": HEAD + """
layer = nn.TransformerEncoderLayer(64, 4, 128, batch_first=True)
model = nn.Sequential(nn.Embedding(50, 64), nn.TransformerEncoder(layer, 2), nn.Linear(64, 50))
optimizer = torch.optim.AdamW(model.parameters())
for step in range(800):
    batch = words[step * 16 % 240 :][:16]
    optimizer.zero_grad()
    F.cross_entropy(model(batch[:, :-1]).flatten(0, 1), batch[:, 1:].flatten()).backward()
    optimizer.step()
""",
}  # fmt: skip


def cpu_seconds() -> float:
    """CPU time of the processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def measure(script: Path, repetitions: int) -> tuple[float, float, float]:
    """Medians of CPU seconds alone and watched, and the share that the run itself says watching took."""
    times: dict[bool, list[float]] = {False: [], True: []}
    told = []
    for repetition in range(repetitions):
        for watched in (False, True) if repetition % 2 else (True, False):
            with tempfile.TemporaryDirectory() as folder:
                before = cpu_seconds()
                outcome = run_script(
                    script, Path(folder) / "at", runs=Path(folder) / "runs" if watched else None
                )
                times[watched].append(cpu_seconds() - before)
                assert outcome.code == 0, outcome.errors
                if watched:
                    told.append(only_run(Path(folder) / "runs").facts["overhead"]["spent"])
    return statistics.median(times[False]), statistics.median(times[True]), statistics.median(told)


def report(scripts: dict[str, Path], repetitions: int) -> None:
    """Print a line a program, then the median and the worst overhead."""
    print(f"{'program':<40} {'alone':>8} {'watched':>8} {'overhead':>9} {'as told':>8}")
    overheads = []
    for name, script in scripts.items():
        alone, watched, told = measure(script, repetitions)
        overheads.append(watched / alone - 1)
        print(f"{name:<40} {alone:7.2f}s {watched:7.2f}s {overheads[-1]:9.1%} {told:8.1%}", flush=True)
    print(f"median {statistics.median(overheads):.1%}, worst {max(overheads):.1%}")


def start(repetitions: int) -> None:
    """Print what the command itself adds to a program that only imports torch."""
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "empty.py"
        script.write_text("import torch\n")
        python, fitwell = [sys.executable], [sys.executable, "-m", "fitwell", "watch", "--runs", folder]
        times: dict[str, list[float]] = {"python": [], "fitwell watch": []}
        for _ in range(repetitions):
            for name, command in (("python", python), ("fitwell watch", fitwell)):
                before = cpu_seconds()
                subprocess.run([*command, str(script)], check=True, capture_output=True)
                times[name].append(cpu_seconds() - before)
        for name, found in times.items():
            print(f"{name:<14} {statistics.median(found):.3f} s of CPU, least {min(found):.3f} s")


def main() -> None:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--zoo", action="store_true", help="the scripts of tests/lab/healthy")
    parser.add_argument("--start", action="store_true", help="the start of the command")
    parser.add_argument("--only", default="", help="the programs whose names hold this text")
    parser.add_argument("--repetitions", type=int, default=5)
    given = parser.parse_args()
    if given.start:
        start(given.repetitions)
    elif given.zoo:
        found = sorted((ROOT / "tests" / "lab" / "healthy").glob("*.py"))
        report({p.stem: p for p in found if p.stem not in ("digest", "conftest")}, given.repetitions)
    else:
        with tempfile.TemporaryDirectory() as folder:
            wanted = [name for name in PROGRAMS if given.only in name]
            scripts = {name: Path(folder) / f"program_{i}.py" for i, name in enumerate(wanted)}
            for name, path in scripts.items():
                path.write_text(PROGRAMS[name])
            report(scripts, given.repetitions)


if __name__ == "__main__":
    main()
