"""``fitwell predict``: a line a sample, to a file, stdout or JSON."""

import io
import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

from fitwell.run import Run, list_runs


@pytest.fixture
def table_run(trained) -> Run:
    return Run(json.loads(trained.out)["run"])


@pytest.fixture
def photo_run(seen, shelf: Path) -> Run:
    return next(run for run in list_runs(shelf) if "photos" in run.name)


def test_predictions_go_to_stdout_as_csv(fitwell, table_run: Run, files: Path) -> None:
    done = fitwell("predict", table_run.path, files / "table.csv")
    table = pd.read_csv(io.StringIO(done.out))
    assert list(table.columns[-3:]) == ["prediction", "p(no)", "p(yes)"]
    assert len(table) == 60
    assert (table["p(no)"] + table["p(yes)"]).round(5).eq(1).all()
    assert set(table["prediction"]) <= {"no", "yes"}


def test_predictions_go_to_a_file_and_the_figures_to_stdout(
    fitwell, table_run: Run, files: Path, tmp_path: Path
) -> None:
    out = tmp_path / "predictions.csv"
    done = fitwell("predict", table_run.path, files / "table.csv", "--out", out)
    assert done.out.startswith(f"60 predictions in {out}, accuracy 0.")
    told = json.loads(fitwell("predict", table_run.path, files / "table.csv", "--out", out, "--json").out)
    assert told["predictions"] == str(out)
    table = pd.read_csv(out)
    truth = pd.read_csv(files / "table.csv")["y"]
    assert told["metrics"]["accuracy"] == pytest.approx((table["prediction"] == truth).mean())


def test_json_holds_predictions_and_figures(fitwell, table_run: Run, files: Path) -> None:
    told = json.loads(fitwell("predict", table_run.path, files / "table.csv", "--json").out)
    assert len(told["predictions"]) == 60
    assert 0 <= told["metrics"]["accuracy"] <= 1


def test_new_data_needs_no_target_and_no_order(fitwell, table_run: Run, files: Path, tmp_path: Path) -> None:
    pd.read_csv(files / "table.csv")[["c", "a", "b"]].to_csv(tmp_path / "new.csv", index=False)
    whole = fitwell("predict", table_run.path, files / "table.csv").out
    assert fitwell("predict", table_run.path, tmp_path / "new.csv").out == whole


@pytest.mark.parametrize("name", ["photos", "flat"])
def test_pictures_are_predicted_from_a_folder(fitwell, photo_run: Run, files: Path, name: str) -> None:
    done = fitwell("predict", photo_run.path, files / name)
    table = pd.read_csv(io.StringIO(done.out))
    assert table["sample"][0] == {"photos": "cat/0.png", "flat": "0.png"}[name]
    assert set(table["prediction"]) <= {"cat", "dog"}


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("", "is empty"),
        ("a,b,c\n", "no rows"),
        ("a,b\n1,2\n", "no column `c`"),
        ("a,b,c\n1,hello,3\n", "column `b` holds 'hello' in line 2"),
        ("a,b,c\n1,2,3\n1,inf,3\n", "column `b` holds 'inf' in line 3"),
        (None, "does not exist"),
    ],
)
def test_a_table_unlike_that_of_the_training_is_refused(
    refused, table_run: Run, tmp_path: Path, content: str | None, told: str
) -> None:
    if content is not None:
        (tmp_path / "new.csv").write_text(content)
    out = tmp_path / "out.csv"
    assert told in refused(1, "predict", table_run.path, tmp_path / "new.csv", "--out", out)
    assert not out.exists()


def test_data_of_another_kind_is_refused(refused, photo_run: Run, files: Path) -> None:
    assert "data like that trained on" in refused(1, "predict", photo_run.path, files / "table.csv")


@pytest.mark.parametrize("where", ["missing/p.csv", "file/p.csv", "."])
def test_an_output_that_can_not_be_written(
    refused, table_run: Run, files: Path, tmp_path: Path, where
) -> None:
    (tmp_path / "file").touch()
    told = refused(1, "predict", table_run.path, files / "table.csv", "--out", tmp_path / where)
    assert f"can't write {tmp_path / where}: " in told
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file"]


def test_a_run_that_is_not_there(refused, files: Path, shelf: Path, photo_run: Run) -> None:
    assert "no run 'nope'" in refused(1, "predict", "nope", files / "table.csv", "--runs", shelf)
    assert "2 runs match '20'" in refused(1, "predict", "20", files / "table.csv", "--runs", shelf)


def changed(run: Run, tmp_path: Path, name: str, change) -> Path:
    copy = tmp_path / "copy"
    shutil.copytree(run.path, copy)
    (copy / "model" / name).write_bytes(change((copy / "model" / name).read_bytes()))
    return copy


def flipped(content: bytes, place: float) -> bytes:
    at = min(len(content) - 1, round(place * len(content)))
    return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]


@pytest.mark.parametrize("name", ["model.safetensors", "model.json"])
@pytest.mark.parametrize("place", [0, 0.01, 0.3, 0.5, 0.8, 1])
def test_a_model_that_was_changed_by_one_bit_is_refused(
    refused, table_run: Run, files: Path, tmp_path: Path, name: str, place: float
) -> None:
    copy = changed(table_run, tmp_path, name, lambda content: flipped(content, place))
    told = refused(1, "predict", copy, files / "table.csv")
    assert f"{copy / 'model' / name}" in told
    assert "changed" in told or "damaged" in told


@pytest.mark.parametrize("name", ["model.safetensors", "model.json"])
@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b"\xff"])
def test_a_model_that_was_overwritten_is_refused(
    refused, table_run: Run, files: Path, tmp_path: Path, name: str, content: bytes
) -> None:
    copy = changed(table_run, tmp_path, name, lambda _: content)
    assert f"{copy / 'model' / name}" in refused(1, "predict", copy, files / "table.csv")


def test_a_watched_run_has_no_model(refused, watched_run) -> None:
    assert "the model that the script saved" in refused(1, "predict", "last", "new.csv")
