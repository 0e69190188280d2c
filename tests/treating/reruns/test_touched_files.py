"""A rerun leaves a folder as it found it, whatever the program does to the files there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch  # once for all forks

from fitwell.errors import RunError
from fitwell.treating.reruns import touched_files
from fitwell.treating.reruns.rerun import Rerun, forked_rerun
from fitwell.treating.reruns.touched_files import bring_back, set_aside

PROGRAM = """
import os, pathlib, shutil, sqlite3
with open("log.csv", "a") as file:
    file.write("another line")
open("new.txt", "w").write("new")
os.remove("gone.txt")
os.rename("old_name.txt", "new_name.txt")
os.replace("other.txt", "overwritten.txt")
os.makedirs("made/deep", exist_ok=True)
pathlib.Path("made/deep/file").write_text("x")
shutil.rmtree("tree")
os.rename("folder", "moved")
os.symlink("log.csv", "link")
os.unlink("linked")
sqlite3.connect("base.db").execute("create table t (a)")
os.chdir("made")
open("here.txt", "w").close()
open(os.devnull, "w").close()
os.truncate("../cut.txt", 1)
print(sorted(os.listdir("..")))
"""


def tree(folder: Path) -> dict[str, str | None]:
    """The files, links and folders below a folder, with their content."""
    found: dict[str, str | None] = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        found[name] = os.readlink(path) if path.is_symlink() else None if path.is_dir() else path.read_text()
    return found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "program"
    (folder / "tree" / "inner").mkdir(parents=True)
    (folder / "folder").mkdir()
    (folder / "tree" / "inner" / "leaf.txt").write_text("leaf")
    (folder / "folder" / "in.txt").write_text("in")
    for name in ("log.csv", "gone.txt", "old_name.txt", "other.txt", "overwritten.txt", "cut.txt"):
        (folder / name).write_text(f"what {name} was")
    (folder / "linked").symlink_to("cut.txt")
    return folder


def what(folder: Path, source: str, parent: str = "parent") -> Rerun:
    script = folder.parent / "train.py"
    script.write_text(source)
    runs = folder.parent / "runs"
    return Rerun(str(script), (), False, str(folder), str(runs), parent, kept=str(runs / ".kept"))


def test_everything_is_put_back(folder: Path) -> None:
    before = tree(folder)
    done = forked_rerun(what(folder, PROGRAM))
    assert done.failed is None, (Path(done.run) / "stdout.log").read_text()
    assert tree(folder) == before
    assert not (folder.parent / "runs" / ".kept").exists()
    assert "here.txt" not in (Path(done.run) / "stdout.log").read_text()
    assert "moved" in (Path(done.run) / "stdout.log").read_text()


def test_it_is_put_back_also_if_the_program_fails(folder: Path) -> None:
    before = tree(folder)
    done = forked_rerun(what(folder, PROGRAM + "1 / 0"))
    assert "ZeroDivisionError" in (done.failed or "")
    assert tree(folder) == before


def test_what_torch_and_safetensors_write_is_put_back(folder: Path) -> None:
    assert torch.save is not None
    (folder / "model.pt").write_text("mine")
    before = tree(folder)
    source = """
import torch
from safetensors.torch import save_file
torch.save({}, "model.pt")
torch.save({}, f="keyword.pt")
save_file({"a": torch.zeros(2)}, "model.safetensors")
"""
    done = forked_rerun(what(folder, source))
    assert done.failed is None, done.failed
    assert tree(folder) == before


def test_the_files_of_the_first_run_stay_but_its_checkpoints_are_away_for_the_time(folder: Path) -> None:
    (folder / "best.pt").write_text("before")
    first = what(
        folder,
        "import os\nfor n in ('best.pt', 'last.ckpt', 'log.csv'): open(n, 'w').write('after')\n"
        "os.mkdir('out'); open('out/a.pt', 'w').write('after')\n",
        parent="",
    )
    forked_rerun(first)
    after = tree(folder)
    assert after["log.csv"] == after["best.pt"] == "after"
    set_aside(Path(first.kept))
    meanwhile = tree(folder)
    assert (meanwhile["best.pt"], meanwhile["log.csv"]) == ("before", "after")
    assert not {"last.ckpt", "out"} & set(meanwhile)
    bring_back(Path(first.kept))
    assert tree(folder) == after


def test_a_file_that_is_too_large_is_not_overwritten(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(touched_files, "LARGEST", 5)
    before = tree(folder)
    with pytest.raises(RunError, match=r"would overwrite .*log\.csv"):
        forked_rerun(what(folder, "open('new', 'w').close(); open('log.csv', 'w').write('other')"))
    assert tree(folder) == before
    first = what(folder, "open('log.csv', 'w').write('other')", parent="")
    forked_rerun(first)
    assert tree(folder)["log.csv"] == "other"
    with pytest.raises(RunError, match="would overwrite"):
        set_aside(Path(first.kept))
