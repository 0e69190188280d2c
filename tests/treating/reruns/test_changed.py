"""What is other than in a program: a remedy goes into its text if it can, and a file is never overwritten blindly."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from fitwell.diagnosing import rules
from fitwell.diagnosis import Finding, prove
from fitwell.errors import RunError
from fitwell.experiment import Change
from fitwell.treating.candidates import Candidate
from fitwell.treating.reruns import changed as module
from fitwell.treating.reruns.changed import AS_IT_IS, Changed, main_file, read, to_write, treated, write
from fitwell.watching.launch import Program

STEPS = "loss.backward()\noptimizer.step()\n"
RATE = "optimizer = SGD(model.parameters(), lr=0.5)\n"


def candidate(
    finding: str, remedy: str, dose: dict[str, float], where: Path | None = None, line: int = 1
) -> Candidate:
    rule = rules()[finding]
    view = rule.fires[0].view
    proof = replace(prove(view, {finding: rule}, [[finding]])[finding], subjects=())
    place = {"file": str(where), "line": line} if where else None
    found = Finding(
        finding, rule.kind, rule.severity, rule.says, "suspected", 0.5, proof, place, view.thread, None, rule
    )
    return Candidate(found, view, remedy, dose)


def clear(where: Path | None = None, line: int = 2) -> Candidate:
    return candidate("gradients-not-cleared", "clear_gradients", {}, where, line)


def slower(where: Path | None = None) -> Candidate:
    return candidate("learning-rate-too-high", "lower_learning_rate", {"factor": 0.1}, where)


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program with a loop. That temporary folders belong to no library is not for sure."""
    monkeypatch.setattr(module, "origin", lambda path: "library" if "site" in path else "program")
    path = tmp_path / "train.py"
    path.write_text(STEPS)
    return path


def test_a_remedy_goes_into_the_text(script: Path) -> None:
    found = treated(AS_IT_IS, clear(), str(script))
    assert found is not None
    made, how = found
    assert (how, made.changes) == ("patch", ())
    assert made.sources == {str(script): "optimizer.zero_grad()\n" + STEPS}
    assert script.read_text() == STEPS
    assert made.diff(str(script.parent)) == (
        "--- a/train.py\n+++ b/train.py\n@@ -1,2 +1,3 @@\n+optimizer.zero_grad()\n loss.backward()\n optimizer.step()\n"
    )


def test_the_file_of_the_finding_goes_before_the_main_file(script: Path) -> None:
    loop = script.parent / "loop.py"
    loop.write_text("# in here\n" + STEPS)
    found = treated(AS_IT_IS, clear(loop, 3), str(script))
    assert found is not None
    assert set(found[0].sources) == {str(loop)}
    script.write_text(RATE)
    found = treated(AS_IT_IS, slower(loop), str(script))
    assert found is not None
    assert set(found[0].sources) == {str(script)}, "where it can be mended"
    library = script.parent / "site.py"
    library.write_text(STEPS)
    assert treated(AS_IT_IS, clear(library), "") == (Changed(changes=(Change("clear_gradients"),)), "live")


@pytest.mark.parametrize("text", ["x = 1\n", "x = (\n", "\udc80"], ids=["no place", "no Python", "no text"])
def test_what_can_not_be_patched_is_changed_live(script: Path, text: str) -> None:
    script.write_bytes(text.encode(errors="surrogateescape"))
    found = treated(AS_IT_IS, clear(), str(script))
    assert found == (Changed(changes=(Change("clear_gradients"),)), "live")


def test_what_can_not_be_applied_at_all_is_none(script: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script.write_text("x = 1\n")
    patch_only = replace(module.remedies()["clear_gradients"], live=None)
    monkeypatch.setattr(module, "remedies", lambda: {"clear_gradients": patch_only})
    assert treated(AS_IT_IS, clear(), str(script)) is None


def test_one_remedy_comes_on_top_of_another(script: Path) -> None:
    script.write_text(RATE + STEPS)
    first = treated(AS_IT_IS, slower(), str(script))
    assert first is not None
    both = treated(first[0], clear(), str(script))
    assert both is not None
    (text,) = both[0].sources.values()
    assert "lr=0.05" in text
    assert "zero_grad" in text
    assert both[0].before == {str(script): RATE + STEPS}
    script.write_text("x = 1\n")
    live = treated(both[0], slower(), "")
    assert live == (replace(both[0], changes=(Change("rate", {"factor": 0.1}),)), "live")


def test_what_is_edited_in_the_meantime_is_not_overwritten(script: Path) -> None:
    found = treated(AS_IT_IS, clear(), str(script))
    assert found is not None
    script.write_text("print('mine')\n" + STEPS)
    assert "mine" not in found[0].diff(str(script.parent))
    with pytest.raises(RunError, match="was changed since"):
        write(to_write(found[0]))
    assert script.read_text() == "print('mine')\n" + STEPS


def test_it_is_written_to_all_files_or_to_none(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("a.py", "b.py")]
    for path in paths:
        path.write_text("old\n")
    made = Changed({str(p): "new\n" for p in paths}, before={str(p): "old\n" for p in paths})
    paths[1].unlink()
    with pytest.raises(RunError, match=r"b\.py was changed since"):
        write(to_write(made))
    assert paths[0].read_text() == "old\n"
    paths[1].write_text("old\n")
    write(to_write(made))
    assert [path.read_text() for path in paths] == ["new\n", "new\n"]


@pytest.mark.parametrize(
    "old",
    [b"# coding: latin-1\r\nname = '\xe4'\r\n", b"\xef\xbb\xbfname = 1\n", "name = 'ä'\rx = 1".encode()],
    ids=["latin-1", "mark", "old line ends"],
)
def test_encoding_line_ends_and_mode_stay(tmp_path: Path, old: bytes) -> None:
    path = tmp_path / "train.py"
    path.write_bytes(old)
    path.chmod(0o755)
    text = read(str(path))
    write(to_write(Changed({str(path): text.replace("name", "other")}, before={str(path): text})))
    assert path.read_bytes() == old.replace(b"name", b"other")
    assert path.stat().st_mode & 0o777 == 0o755


def test_paths_in_a_diff_are_from_the_folder_if_they_lie_there(tmp_path: Path) -> None:
    inner, beside = tmp_path / "code" / "a.py", tmp_path / "code2" / "b.py"
    made = Changed({str(p): "2\n" for p in (inner, beside)}, before={str(p): "1\n" for p in (inner, beside)})
    (tmp_path / "code").mkdir()
    (tmp_path / "link").symlink_to("code")
    for folder in ("code", "link"):
        names = [line for line in made.diff(str(tmp_path / folder)).splitlines() if line.startswith("+++")]
        assert names == ["+++ b/a.py", f"+++ b/{beside}"]


@pytest.mark.parametrize(
    ("name", "is_module", "file"),
    [
        ("train.py", False, "train.py"),
        ("package", False, "package/__main__.py"),
        ("train", True, "train.py"),
        ("package", True, "package/__main__.py"),
        ("package.part", True, "package/part.py"),
        ("absent", True, None),
        ("absent.py", False, None),
    ],
)
def test_the_main_file(tmp_path: Path, name: str, is_module: bool, file: str | None) -> None:
    (tmp_path / "package").mkdir()
    for each in ("train.py", "package/__main__.py", "package/part.py"):
        (tmp_path / each).touch()
    wanted = str((tmp_path / file).resolve()) if file else ""
    assert main_file(Program(name, (), is_module), str(tmp_path)) == wanted
