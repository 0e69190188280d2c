"""The command line called in this process, and runs that the tests of the commands share."""

import contextlib
import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from fitwell.cli import application
from fitwell.run import Run, create_run

QUICK = ("--epochs", "2", "--threads", "1", "--lr", "0.01")


@dataclass(frozen=True)
class Done:
    """What a command left: its exit code, stdout and stderr."""

    code: int
    out: str
    err: str


Call = Callable[..., Done]


def call(*args: object) -> Done:
    out, err = io.StringIO(), io.StringIO()
    with (
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        pytest.raises(SystemExit) as ended,
    ):
        application()(args=[str(arg) for arg in args], prog_name="fitwell")
    code = ended.value.code
    return Done(code if isinstance(code, int) else 0, out.getvalue(), err.getvalue())


@pytest.fixture
def fitwell() -> Call:
    return call


@pytest.fixture
def refused(fitwell: Call) -> Callable[..., str]:
    """Call a command that must fail with this code, in three lines on stderr and none on stdout."""

    def refuse(code: int, *args: object) -> str:
        done = fitwell(*args)
        assert done.code == code, done.out + done.err
        assert done.out == ""
        assert [line.split(":")[0] for line in done.err.splitlines()] == ["error", "expected", "fix"], (
            done.err
        )
        return done.err

    return refuse


@pytest.fixture(autouse=True)
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An own, empty folder of runs for each test."""
    monkeypatch.setenv("FITWELL_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("NO_COLOR", "1")
    return tmp_path / "runs"


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data to train on: table.csv, numbers.csv, text.csv, photos/, flat/, arrays.npz."""
    folder = tmp_path_factory.mktemp("files")
    generator = np.random.default_rng(0)
    x = generator.normal(size=(60, 3))
    table = pd.DataFrame(x, columns=["a", "b", "c"])
    table.assign(y=np.where(x[:, 0] > 0, "yes", "no")).to_csv(folder / "table.csv", index=False)
    table.assign(y=x[:, 0] * 2).to_csv(folder / "numbers.csv", index=False)
    text = table.astype({"a": object})
    text.loc[5, "a"] = "hello"
    text.to_csv(folder / "text.csv", index=False)
    for name, light in (("cat", 100), ("dog", 0)):
        (folder / "photos" / name).mkdir(parents=True)
        for i in range(20):
            pixels = generator.integers(light, light + 100, (8, 8)).astype("uint8")
            Image.fromarray(pixels).save(folder / "photos" / name / f"{i}.png")
    (folder / "flat").mkdir()
    for i in range(3):
        (folder / "flat" / f"{i}.png").write_bytes((folder / "photos" / "cat" / f"{i}.png").read_bytes())
    images, labels = generator.integers(0, 255, (120, 8, 8)).astype("uint8"), np.arange(120) % 3
    np.savez(
        folder / "arrays.npz",
        x_train=images[:100], y_train=labels[:100], x_test=images[100:], y_test=labels[100:],
    )  # fmt: skip
    return folder


@pytest.fixture(scope="session")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the runs that tests share."""
    return tmp_path_factory.mktemp("shelf")


@pytest.fixture(scope="session")
def trained(files: Path, shelf: Path) -> Done:
    """A classifier of table.csv, trained with --json."""
    done = call("train", files / "table.csv", *QUICK, "--runs", shelf, "--json")
    assert done.code == 0, done.err
    return done


@pytest.fixture(scope="session")
def seen(files: Path, shelf: Path, trained: Done) -> Done:
    """A classifier of the folder of photos, trained for people."""
    done = call("train", files / "photos", *QUICK, "--model", "mlp", "--runs", shelf)
    assert done.code == 0, done.err
    return done


@pytest.fixture
def watched_run(runs: Path) -> Run:
    """A script that was watched and never trained."""
    run = create_run(None, "train.py", runs)
    run.update(program={"argv": ["train.py"]}, state="done")
    return run
