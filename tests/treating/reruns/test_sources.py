"""Another text in the place of a file: whatever is imported or shown comes from there, and the file stays."""

from __future__ import annotations

import importlib
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fitwell.treating.reruns.sources import replace_sources

InFork = Callable[[Callable[[], Any]], Any]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of modules."""
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "replaced_part.py").write_text("name = 'old'\n")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "__init__.py").touch()
    (tmp_path / "other" / "replaced_part.py").write_text("name = 'of the other'\n")
    return tmp_path


def imported(text: str, path: Path, module: str = "replaced_part") -> Any:
    replace_sources({str(path): text})
    return importlib.import_module(module)


def test_it_is_compiled_from_the_text_and_the_file_stays(in_fork: InFork, folder: Path) -> None:
    path = folder / "replaced_part.py"
    assert in_fork(lambda: importlib.import_module("replaced_part").name) == "old"  # leaves a __pycache__
    assert in_fork(lambda: imported("name = 'new'\n", path).name) == "new"
    assert in_fork(lambda: importlib.import_module("replaced_part").name) == "old"
    assert path.read_text() == "name = 'old'\n"


def test_a_file_of_the_same_name_elsewhere_is_itself(in_fork: InFork, folder: Path) -> None:
    text, path = "name = 'new'\n", folder / "replaced_part.py"
    assert in_fork(lambda: imported(text, path, "other.replaced_part").name) == "of the other"


def test_a_link_to_it_is_the_same_file(in_fork: InFork, folder: Path) -> None:
    (folder / "linked_part.py").symlink_to("replaced_part.py")
    assert in_fork(lambda: imported("name = 'new'\n", folder / "linked_part.py").name) == "new"


@pytest.mark.parametrize("cookie", ["", "# coding: latin-1\n", "\n# coding: utf-8\n"])
def test_its_encoding_is_that_which_it_names(in_fork: InFork, folder: Path, cookie: str) -> None:
    text = f"{cookie}name = '\xe4'\n"
    assert in_fork(lambda: imported(text, folder / "replaced_part.py").name) == "\xe4"


def test_a_traceback_shows_the_text(in_fork: InFork, folder: Path) -> None:
    text = "def fail():\n    raise ValueError('in the new text')\n"

    def act() -> list[Any]:
        try:
            imported(text, folder / "replaced_part.py").fail()
        except ValueError:
            return [traceback.format_exc(), sys.excepthook is traceback.print_exception]
        return []

    shown, ours = in_fork(act)
    assert "    raise ValueError('in the new text')" in shown
    assert ours


def test_the_program_itself_is_run_from_the_text(ran: Callable[..., Any], tmp_path: Path) -> None:
    main = tmp_path / "train.py"
    source = "import replaced_part"
    new = {
        str(main): "import part\nprint(__name__, __file__, part.name)",
        str(tmp_path / "part.py"): "name = 'p'",
    }
    (tmp_path / "part.py").touch()
    assert ran(source, sources=new)[1] == f"__main__ {main} p\n"
    done, text = ran(source, sources={str(main): "raise ValueError('in the new text')"})
    assert done.failed == "ValueError: in the new text"
    assert "    raise ValueError('in the new text')" in text
    assert main.read_text() == source
