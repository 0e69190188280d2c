"""``fitwell train``: what it prints and leaves, and what it refuses with nothing half-written."""

import errno
import json
import os
from pathlib import Path

import numpy as np
import pytest

from fitwell.run import Run, list_runs
from fitwell.run import files as run_files

QUICK = ("--epochs", "2", "--threads", "1", "--lr", "0.01")


def test_json_is_one_object_with_what_the_design_promises(trained, shelf: Path) -> None:
    result = json.loads(trained.out)
    assert {"run", "seconds", "epochs", "steps", "parameters", "metrics", "verdict", "findings"} <= set(
        result
    )
    assert (result["epochs"], result["verdict"], result["findings"]) == (2, "too-short-to-tell", [])
    assert {"train/loss", "val/loss", "test/accuracy"} <= set(result["metrics"])
    run = Run(result["run"])
    assert run.path.parent == shelf
    assert run.result == result
    assert "verdict" in trained.err, "people read stderr meanwhile"


def test_a_run_leaves_its_files_and_no_temporary_ones(seen, shelf: Path) -> None:
    run = list_runs(shelf)[-1]
    names = {str(path.relative_to(run.path)) for path in run.path.rglob("*") if path.is_file()}
    expected = {
        "run.json", "plan.json", "env.json", "events.jsonl", "findings.json", "stdout.log", "report.html",
        "training_history.png", "model/model.json", "model/model.safetensors",
    }  # fmt: skip
    assert expected <= names
    assert not [name for name in names if name.endswith((".tmp", ".pkl", ".pt"))]
    undecided = {path for path, value, _ in run.plan.settings() if value == "auto"}
    assert undecided <= {"data.task", "data.validation", "data.test", "loss.function"}


def test_people_see_data_epochs_figures_verdict_and_what_to_do_next(seen) -> None:
    for words in ("28 train", "2/2", "accuracy", "verdict", "training_history.png", "fitwell predict"):
        assert words in seen.out
    assert "\x1b" not in seen.out, "no control codes where no terminal is"
    assert seen.err == ""


def test_explaining_the_plan_trains_nothing(fitwell, files: Path, runs: Path) -> None:
    done = fitwell("train", files / "table.csv", *QUICK, "--explain-plan")
    assert done.code == 0
    assert "optimizer.lr" in done.out
    told = json.loads(fitwell("train", files / "table.csv", *QUICK, "--explain-plan", "--json").out)
    assert told["settings"]["stopping.epochs"] == {"value": 2, "why": "passes over the training part"}
    assert all(setting["why"] for setting in told["settings"].values())
    assert any("batch" in line for line in told["forecast"])
    assert not runs.exists()


def test_arrays_with_a_test_part_of_their_own(fitwell, files: Path) -> None:
    done = fitwell("train", files / "arrays.npz", *QUICK, "--model", "mlp", "--json")
    assert done.code == 0, done.err
    assert "20 test" in done.err
    assert "test/accuracy" in json.loads(done.out)["metrics"]


def test_without_held_out_parts_nothing_is_claimed(fitwell, files: Path) -> None:
    done = fitwell(
        "train", files / "photos", *QUICK, "--model", "mlp", "--validation", 0, "--test", 0, "--json"
    )
    assert done.code == 0, done.err
    result = json.loads(done.out)
    assert result["verdict"] == "too-short-to-tell"
    assert [name for name in result["metrics"] if not name.startswith("train/")] == []


TABLES = {
    "empty": ("", "is empty"),
    "header": ("a,b,y\n", "no rows"),
    "one-class": ("a,y\n" + "".join(f"{i}.5,yes\n" for i in range(20)), "only one class 'yes'"),
    "infinite": (
        "a,y\n" + "".join(f"{i}.5,{'xy'[i % 2]}\n" for i in range(20)) + "inf,x\n",
        "'inf' in line 22",
    ),
    "ragged": ("a,y\n1,x\n1,2,x\n", "line 3 has 3 fields"),
    "all-different": ("a,y\n" + "".join(f"{i},c{i}\n" for i in range(8)), "8 classes in 8 samples"),
}


@pytest.mark.parametrize("name", TABLES)
def test_a_table_that_can_not_be_learned_from(refused, tmp_path: Path, runs: Path, name: str) -> None:
    content, told = TABLES[name]
    (tmp_path / "it.csv").write_text(content)
    assert told in refused(1, "train", tmp_path / "it.csv", *QUICK)
    assert not runs.exists()


@pytest.mark.parametrize(
    ("x", "y", "told"),
    [
        (np.full((20, 2), np.nan), np.arange(20) % 2, "row 0, column 0 of X is nan"),
        (np.ones((20, 2)), np.arange(10) % 2, "X has 20 samples, y 10"),
        (np.ones((0, 2)), np.ones(0), "no samples|0 samples|empty"),
        (np.ones((20, 2)), np.array([["a"]] * 20, dtype=object), "Python objects|can't be read"),
    ],
)
def test_arrays_that_can_not_be_learned_from(refused, tmp_path: Path, runs: Path, x, y, told: str) -> None:
    np.savez(tmp_path / "it.npz", X=x, y=y)
    text = refused(1, "train", tmp_path / "it.npz", *QUICK)
    assert any(words in text for words in told.split("|")), text
    assert not runs.exists()


def test_a_corrupt_picture_is_named(refused, tmp_path: Path, files: Path, runs: Path) -> None:
    (tmp_path / "photos").symlink_to(files / "photos")
    (tmp_path / "bad" / "cat").mkdir(parents=True)
    (tmp_path / "bad" / "dog").mkdir()
    for name, content in (("cat/1.png", b"\x89PNG\r\n\x1a\nrubbish"), ("dog/2.png", b"")):
        (tmp_path / "bad" / name).write_bytes(content)
    assert "cat/1.png can't be read" in refused(1, "train", tmp_path / "bad", *QUICK)
    assert not runs.exists()


@pytest.mark.parametrize(
    ("code", "args", "told"),
    [
        (1, ["nothing.csv"], "nothing.csv does not exist"),
        (1, ["nothing"], "neither a data set nor a file"),
        (
            1,
            ["{files}/table.csv", "--target", "nope"],
            "no column 'nope' (--target)\nexpected: one of a, b, c",
        ),
        (1, ["{files}/table.csv", "--group", "nope"], "(--group)"),
        (1, ["{files}/table.csv", "--time", "nope"], "(--time)"),
        (1, ["{files}/flat"], "no folder for each class"),
        (
            1,
            ["{files}/table.csv", "--validation", "0.6", "--test", "0.6"],
            "36 validation and 36 test samples",
        ),
        (2, ["digits", "--epochs", "0"], "stopping.epochs = '0'"),
        (2, ["digits", "--lr", "abc"], "optimizer.lr = 'abc'"),
        (2, ["digits", "--hidden", "a,b"], "model.hidden = 'a'"),
        (2, ["digits", "--model", "nope"], "one of autoencoder, cnn, mlp, rbm"),
        (2, ["digits", "--optimizer", "nope"], "adamw"),
        (2, ["digits", "--schedule", "nope"], "one-cycle"),
        (2, ["digits", "--options", '{"bogus": 1}'], "AdamW takes no argument 'bogus'"),
        (2, ["{files}/table.csv", "--model", "rbm"], "rbm can't learn from this data"),
        (2, ["{files}/table.csv", "--augment", "flip"], "leave out --augment"),
        (2, ["{files}/table.csv", "--loss", "mse"], "'mse' does not fit"),
        (2, ["{files}/table.csv", "--device", "nope"], "device 'nope' can't be used"),
        (2, ["digits", "--plan", "nothing.json"], "can't read nothing.json"),
    ],
)
def test_a_wrong_setting_is_refused_before_anything_is_written(
    refused, files: Path, runs: Path, code: int, args: list[str], told: str
) -> None:
    source, *options = [arg.replace("{files}", str(files)) for arg in args]
    assert told in refused(code, "train", source, *QUICK, *options)
    assert not runs.exists()


@pytest.mark.parametrize("folder", ["file", "file/runs"])
def test_a_folder_of_runs_that_can_not_be_made(
    refused_late, tmp_path: Path, files: Path, folder: str
) -> None:
    (tmp_path / "file").write_text("mine")
    told = refused_late("train", files / "photos", *QUICK, "--runs", tmp_path / folder)
    assert f"can't write {tmp_path / folder}: a file stands where a folder should" in told
    assert (tmp_path / "file").read_text() == "mine"


@pytest.fixture
def refused_late(fitwell):
    """Call a command that fails with 1 after it had begun to tell."""

    def refuse(*args: object) -> str:
        done = fitwell(*args)
        assert done.code == 1, done.out
        assert [line.split(":")[0] for line in done.err.splitlines()] == ["error", "expected", "fix"]
        return done.err

    return refuse


@pytest.mark.parametrize(
    "name", ["plan.json", "model.safetensors", "evaluation.json", "training_history.png"]
)
def test_a_disk_that_fills_up_loses_nothing(
    refused_late, fitwell, files: Path, runs: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    replace = os.replace

    def full(source, target) -> None:
        if Path(target).name == name and "checkpoints" not in str(target):
            raise OSError(errno.ENOSPC, "No space left on device")
        replace(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(run_files.os, "replace", full)
        told = refused_late("train", files / "photos", "--model", "mlp", *QUICK)
    assert f"{name}: the disk is full" in told
    assert not list(runs.rglob("*.tmp"))
    for run in list_runs(runs):
        assert run.state == ("done" if name.endswith(".png") else "failed")
        assert fitwell("resume", run.name).code == 0
        assert run.state == "done"
        assert list(run.path.rglob(name))
    if name == "plan.json":
        assert list(runs.iterdir()) == []


TOO_HIGH = (
    "digits", "--model", "mlp", "--hidden", "16", "--norm", "none", "--optimizer", "sgd", "--lr", "20",
    "--epochs", "3", "--threads", "1",
)  # fmt: skip


def test_treating_mends_proves_and_trains_the_treated_plan(fitwell, runs: Path) -> None:
    done = fitwell("train", *TOO_HIGH, "--treat", "--json")
    assert done.code == 0, done.err
    result = json.loads(done.out)
    first, *others = list_runs(runs)
    treated = result["treatments"][0]
    assert (treated["answer"], treated["run"]) == ("confirmed", str(first.path))
    assert (Run(result["run"]).path, Run(result["run"]).info["parent"]) == (others[-1].path, first.name)
    assert result["metrics"]["val/accuracy"] > first.metrics["val/accuracy"] + 0.3
    for words in (
        "trainings to try remedies",
        "seed 3, treated",
        "apply    fitwell train digits --plan",
        "kept",
    ):
        assert words in done.err
    assert "What mends it?" in (first.path / "report.html").read_text()
    assert "treated  confirmed" in fitwell("show", first.name).out
    assert json.loads(fitwell("show", first.name, "--json").out)["treatment"] == treated
    child = treated["cure"]["trial"]["runs"][0]
    assert fitwell("show", child).code == 0
    assert Path(child).name not in fitwell("runs").out


def test_where_nothing_helps_the_run_is_kept_as_it_was(fitwell, runs: Path) -> None:
    done = fitwell("train", "digits", "--model", "mlp", *QUICK, "--treat")
    assert done.code == 0, done.err
    assert "nothing was tried: nothing was found that is to be mended" in done.out
    assert "kept     as it was" in done.out
    assert len(list_runs(runs)) == 1


def test_a_divergence_that_nothing_mends_is_still_a_failure(refused_late, runs: Path) -> None:
    lost = [*TOO_HIGH]
    lost[lost.index("20")] = "1e30"
    assert "the loss became" in refused_late("train", *lost, "--treat")
    assert [run.state for run in list_runs(runs)] == ["failed"]


def test_stopping_a_treatment_leaves_the_runs_that_have_ended(
    fitwell, runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("fitwell.treating.plans.treat_plan", stopped)
    assert fitwell("train", *TOO_HIGH, "--treat").code == 130
    assert [run.state for run in list_runs(runs)] == ["done"]
