"""Two processes under torchrun: their weights are equal, and those of one process with the whole batches."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from safetensors.torch import load_file
from torch import Tensor

from fitwell.cli.train import command as train_command
from fitwell.data.contract import Data
from fitwell.errors import PlanError, RunError
from fitwell.plan import Plan
from fitwell.run import Run, list_runs
from fitwell.training.distributed import ALONE, joined, processes, share
from fitwell.training.job import Job
from fitwell.training.loop import train
from fitwell.training.prepare import prepare

PLAIN = Plan(data="digits").change(
    model="mlp", hidden=(16,), norm="none", dropout=0.0, augment=(), schedule="constant", lr=0.01,
    batch_size=64, epochs=2, patience=None, threads=1, device="cpu",
)  # fmt: skip
# What draws no random number and normalises no batch: there the step of the shares is the step of the batch.
EQUAL = {
    "sgd": PLAIN.change(optimizer="sgd"),
    # 1,257 samples in batches of 33: a last one of 3, of which one process gets none
    "odd batches": PLAIN.change(optimizer="sgd", batch_size=33, epochs=1, class_weights=True),
    "adamw": PLAIN.change(
        norm="layer", weight_decay=0.1, clip=0.5, accumulate=3, schedule="one-cycle", batch_size=32
    ),
    "average": PLAIN.change(optimizer="sgd", ema=0.9, schedule="plateau", min_delta=9.0, plateau_patience=1),
    "autoencoder": PLAIN.change(model="autoencoder", optimizer="sgd"),
}
RANDOM = {
    "mlp": PLAIN.change(norm="batch", dropout=0.3, batch_size=33, ema=0.9, epochs=1),
    "cnn": PLAIN.change(model="cnn", hidden=(4, 8), norm="batch", augment=("shift",), mixup=0.2, epochs=1),
    "rbm": PLAIN.change(model="rbm", epochs=1),
}
DIVERGES = {"diverges": PLAIN.change(optimizer="sgd", lr=1e30, epochs=1)}

TRAIN = """
import json, sys
from pathlib import Path
import torch
from safetensors.torch import save_file
from fitwell.errors import DivergedError
from fitwell.plan import Plan
from fitwell.training.distributed import joined
from fitwell.training.loop import train
from fitwell.training.prepare import load, prepare

class Rows:
    def __init__(self):
        self.rows, self.draws = [], []
    def step(self, job):
        with torch.random.fork_rng(devices=[]):
            self.draws.append(float(torch.rand(())))
    def epoch(self, job, row):
        self.rows.append(row)

for file in sorted(Path(sys.argv[1]).glob("*.plan")):
    seen = Rows()
    with joined(Plan.from_json(file.read_text())) as group:
        plan = Plan.from_json(file.read_text())
        job, _ = prepare(plan, load(plan), group=group)
        if file.stem.endswith("double"):
            job.model.double()
        try:
            train(job, seen)
        except DivergedError:
            seen.rows.append("diverged")
        average = {} if job.ema is None else {"average." + k: v for k, v in job.ema.average.items()}
        weights = {k: v.contiguous() for k, v in (job.model.state_dict() | average).items()}
        save_file(weights, f"{file.with_suffix('')}-{group.rank}.safetensors")
        told = [seen.rows, seen.draws, job.best_epoch, job.plan.threads, job.plan.optimizer.lr]
        Path(f"{file.with_suffix('')}-{group.rank}.json").write_text(json.dumps(told))
"""

OTHER_DATA = """
import os, numpy as np, fitwell
X = np.random.default_rng(int(os.environ["RANK"])).normal(size=(60, 3)).astype("float32")
fitwell.fit(fitwell.Plan(data=(X, np.where(X[:, 0] > 0, "high", "low"))))
"""

STOPPED = """
import os, signal
from fitwell.cli import main
from fitwell.training.recording import Follower

def step(self, job, plain=Follower.step):
    if job.step == 100:
        os.kill(os.getpid(), signal.SIGTERM)
    plain(self, job)

Follower.step = step
main()
"""
CLI = (
    "train", "digits", "--model", "mlp", "--hidden", "16", "--norm", "batch", "--dropout", "0.2", "--lr", "0.01",
    "--batch-size", "16", "--epochs", "3", "--threads", "1", "--device", "cpu", "--ema", "0.9",
)  # fmt: skip


def torchrun(folder: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Two processes on this machine, on a free port."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    return subprocess.run(
        [*command, *map(str, arguments)], cwd=folder, capture_output=True, text=True, check=False, timeout=120,
        env=os.environ | {"OMP_NUM_THREADS": "1", "FITWELL_RUNS": str(folder / "runs")},
    )  # fmt: skip


class Rows:
    """Keeps the figures of the epochs."""

    def __init__(self) -> None:
        self.rows: list[dict[str, float]] = []

    def step(self, job: Job) -> None: ...

    def epoch(self, job: Job, row: dict[str, float]) -> None:
        self.rows.append(row)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What each process of two says of each plan, after training it."""
    folder = tmp_path_factory.mktemp("trained")
    measured = {"measured": PLAIN.change(lr="auto", threads="auto", epochs=1)}
    double = {f"{name}, double": plan for name, plan in EQUAL.items() if plan.regularization.ema is None}
    for name, plan in (EQUAL | double | RANDOM | DIVERGES | measured).items():
        (folder / f"{name}.plan").write_text(plan.to_json())
    (folder / "train.py").write_text(TRAIN)
    done = torchrun(folder, "train.py", folder)
    assert done.returncode == 0, done.stderr
    return folder


def weights(folder: Path, name: str) -> list[dict[str, Tensor]]:
    return [load_file(folder / f"{name}-{rank}.safetensors") for rank in (0, 1)]


def said(folder: Path, name: str) -> list[list[object]]:
    return [json.loads((folder / f"{name}-{rank}.json").read_text()) for rank in (0, 1)]


@pytest.mark.parametrize("name", EQUAL)
def test_two_processes_train_as_one_with_the_same_batches(
    name: str, trained: Path, whole_digits: Data, unlabelled_digits: Data
) -> None:
    data = unlabelled_digits if name == "autoencoder" else whole_digits
    job, _ = prepare(EQUAL[name], data)
    alone = Rows()
    train(job, alone)
    both = weights(trained, name)[0]
    average = {} if job.ema is None else {f"average.{key}": v for key, v in job.ema.average.items()}
    for key, expected in (job.model.state_dict() | average).items():
        assert (both[key] - expected).norm() <= 1e-6 * expected.norm(), key
    rows = said(trained, name)[0][0]
    for row, expected_row in zip(rows, alone.rows, strict=True):
        assert row == pytest.approx(expected_row, rel=1e-5)


@pytest.mark.parametrize("name", [name for name in EQUAL if EQUAL[name].regularization.ema is None])
def test_what_differs_is_rounding_alone(
    name: str, trained: Path, whole_digits: Data, unlabelled_digits: Data
) -> None:
    data = unlabelled_digits if name == "autoencoder" else whole_digits
    job, _ = prepare(EQUAL[name], data)
    job.model.double()
    train(job, Rows())
    both = weights(trained, f"{name}, double")[0]
    for key, expected in job.model.state_dict().items():
        assert (both[key] - expected).norm() <= 1e-13 * expected.norm(), key


@pytest.fixture(scope="module")
def unlabelled_digits() -> Data:
    from fitwell.training.prepare import load

    return load(EQUAL["autoencoder"])


@pytest.mark.parametrize("name", [*EQUAL, *RANDOM, "measured"])
def test_all_processes_have_the_same_weights_figures_and_measurements(name: str, trained: Path) -> None:
    first, second = weights(trained, name)
    different = [key for key in first if not torch.equal(first[key], second[key])]
    # how many batches a process has normalised is its own affair, and the momentum of the statistics fixed
    assert not [key for key in different if not key.endswith("num_batches_tracked")]
    (rows, _, *decided), (other_rows, _, *other_decided) = said(trained, name)
    assert (rows, decided) == (other_rows, other_decided)


@pytest.mark.parametrize("name", RANDOM)
def test_each_process_draws_its_own_random_numbers(name: str, trained: Path) -> None:
    (_, draws, *_), (_, others, *_) = said(trained, name)
    assert len(draws) == len(others) > 10
    assert not set(draws) & set(others)
    assert len(set(others)) == len(others), "a new stream at each step"


def test_a_loss_that_is_not_finite_is_so_for_all(trained: Path) -> None:
    assert [rows for rows, *_ in said(trained, "diverges")] == [["diverged"], ["diverged"]]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[subprocess.CompletedProcess[str], Run]:
    """A run of the command line in two processes, with random numbers, batch norm and an average."""
    folder = tmp_path_factory.mktemp("undisturbed")
    done = torchrun(folder, "-m", "fitwell", *CLI, "--json")
    assert done.returncode == 0, done.stderr
    (run,) = list_runs(folder / "runs")
    return done, run


def test_the_command_line_leaves_one_run_and_speaks_with_one_voice(undisturbed) -> None:
    done, run = undisturbed
    assert json.loads(done.stdout)["run"] == str(run.path)
    assert (run.state, run.result["epochs"], run.result["steps"]) == ("done", 3, 237)
    assert done.stderr.count("verdict") == 1
    assert "2 processes" in run.info["notes"][-1]
    assert "batch norm" in run.info["notes"][-1]
    assert (run.path / "report.html").exists()


@pytest.mark.slow
def test_a_signal_to_one_process_stops_all_and_a_resumed_training_ends_the_same(
    undisturbed, tmp_path: Path
) -> None:
    (tmp_path / "stopped.py").write_text(STOPPED)
    done = torchrun(tmp_path, "stopped.py", *CLI)
    assert done.returncode != 0
    assert "exitcode  : 75" in done.stderr
    (run,) = list_runs(tmp_path / "runs")
    state = json.loads((run.path / "checkpoints" / "last" / "state.json").read_text())
    assert run.state == "preempted"
    assert state["step"] in (101, 102)

    done = torchrun(tmp_path, "-m", "fitwell", "resume", "last")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("verdict") == 1
    expected = load_file(undisturbed[1].path / "model" / "model.safetensors")
    found = load_file(run.path / "model" / "model.safetensors")
    assert {key for key in expected if not torch.equal(expected[key], found[key])} == set()
    assert run.result["metrics"] == undisturbed[1].result["metrics"]


def test_a_process_that_fails_ends_all_with_its_message(tmp_path: Path) -> None:
    (tmp_path / "other.py").write_text(OTHER_DATA)
    done = torchrun(tmp_path, "other.py")
    assert done.returncode != 0
    assert "process 1 has other data than process 0" in done.stderr
    assert "all of the data" in done.stderr


@pytest.mark.parametrize("count", [1, 2, 3, 8])
def test_shares_divide_a_batch_evenly_and_leave_no_sample_alone(count: int) -> None:
    for size in range(1, 4 * count + 2):
        batch = torch.arange(100, 100 + size)
        shares = [share(batch, rank, count) for rank in range(count)]
        sizes = [len(part) for part in shares]
        assert torch.equal(torch.cat(shares), batch)
        assert 1 not in sizes or size == 1
        busy = [length for length in sizes if length]
        assert max(busy) - min(busy) <= 1
        assert len(busy) == count or size < 2 * count


@pytest.fixture
def two(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if this were the first of two processes, which can't find the other one."""
    for name in ("MASTER_ADDR", "MASTER_PORT", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "2")


def test_one_process_makes_no_group(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with joined(PLAIN) as group:
        assert group is ALONE
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "1")
    with joined(PLAIN) as group:
        assert group is ALONE
        assert not dist.is_initialized()


def test_what_several_processes_cannot_do_is_refused(two: None) -> None:
    assert processes() == 2
    with pytest.raises(PlanError, match=r"2 processes on device 'mps'"), joined(PLAIN.change(device="mps")):
        pass
    with pytest.raises(PlanError, match=r"--treat in 2 processes"):
        train_command(source="digits", treat=True)
    with pytest.raises(RunError, match=r"(?s)can't reach each other.*MASTER_ADDR.*torchrun"), joined(PLAIN):
        pass
