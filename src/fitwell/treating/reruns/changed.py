"""What is other than in a program as it is: its text, or the live training; and what a candidate makes of it."""

from __future__ import annotations

import os
import tokenize
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from fitwell.errors import RunError
from fitwell.experiment import Change
from fitwell.patch import Code, diff
from fitwell.remedy import About, Remedy
from fitwell.run.files import write_atomic
from fitwell.treating.candidates import Candidate, remedies
from fitwell.treatment import How
from fitwell.watching.launch import Program
from fitwell.watching.source import origin


@dataclass(frozen=True)
class Changed:
    """A program with something changed in it.

    Args:
        sources: the text that is run in the place of a file, by its absolute path.
        changes: of the live training.
        before: the text of these files from which it was made: somebody may edit them in the meantime.
    """

    sources: Mapping[str, str] = field(default_factory=dict)
    changes: tuple[Change, ...] = ()
    before: Mapping[str, str] = field(default_factory=dict)

    def diff(self, folder: str) -> str:
        """The unified diff of the text, with paths from a folder."""
        return "".join(
            diff(self.before[path], text, _shown(path, os.path.realpath(folder)))
            for path, text in self.sources.items()
        )


AS_IT_IS = Changed()


def _shown(path: str, folder: str) -> str:
    """A path as it is shown: from a folder, if it lies there."""
    return os.path.relpath(path, folder) if Path(path).is_relative_to(folder) else path


def read(path: str) -> str:
    """The text of a Python file in its own encoding, line ends as they are.

    Raises:
        OSError: it can't be read.
        SyntaxError: its encoding is unknown.
    """
    with tokenize.open(path) as file:
        encoding = file.encoding
    return Path(path).read_bytes().decode(encoding)


def main_file(program: Program, folder: str) -> str:
    """The file that a program begins with; empty if it is not found."""
    if program.is_module:
        base = os.path.join(folder, *program.name.split("."))
        found = [f"{base}.py", os.path.join(base, "__main__.py")]
    else:
        path = os.path.join(folder, program.name)
        found = [path, os.path.join(path, "__main__.py")]
    return next((os.path.realpath(path) for path in found if os.path.isfile(path)), "")


def treated(base: Changed, candidate: Candidate, main: str) -> tuple[Changed, How] | None:
    """A program with a remedy: in its text if the place is found, else in the live training.

    Args:
        base: to which it is added.
        candidate: the remedy; the lines of its finding are those of the text of ``base``.
        main: the file that the program begins with.

    Returns:
        None if the remedy can't be applied, or changes nothing.
    """
    remedy = remedies()[candidate.remedy]
    about = About(candidate.finding.name, candidate.view, dose=candidate.dose)
    for path, line in _places(candidate, main) if remedy.patch else ():
        patched = _patched(base, remedy, replace(about, line=line), path)
        if patched is not None:
            return patched, "patch"
    changes = tuple(remedy.live(about)) if remedy.live else ()
    return (replace(base, changes=(*base.changes, *changes)), "live") if changes else None


def _places(candidate: Candidate, main: str) -> Iterator[tuple[str, int | None]]:
    """The file and line of the finding, then the main file."""
    where = candidate.finding.where
    path = os.path.realpath(where["file"]) if where else ""
    if where and os.path.isfile(path) and origin(path) == "program":
        yield path, where["line"]
    if main and main != path:
        yield main, None


def _patched(base: Changed, remedy: Remedy, about: About, path: str) -> Changed | None:
    """A program with a remedy in the text of a file; None if that stays the same, or is no Python afterwards."""
    try:
        text = base.sources.get(path) or read(path)
        code = Code(text, path)
        new = code.edited(remedy.patch(code, about) if remedy.patch else ())
        Code(new, path)
    except (SyntaxError, ValueError, OSError):  # no Python, two edits of one place, or not readable
        return None
    if new == text:
        return None
    return replace(base, sources={**base.sources, path: new}, before={path: text, **base.before})


def to_write(changed: Changed) -> list[dict[str, str]]:
    """What is needed to write the text later: path, old and new text of each file."""
    return [
        {"path": path, "old": changed.before[path], "new": text} for path, text in changed.sources.items()
    ]


def write(files: Sequence[Mapping[str, str]]) -> None:
    """Write what ``to_write`` gave, each file atomically.

    Raises:
        RunError: a file is not as it was then; nothing is written.
        StorageError: it can't be written.
    """
    for file in files:
        _check_unchanged(file["path"], file["old"])
    for file in files:
        path = Path(file["path"])
        mode = path.stat().st_mode
        with tokenize.open(path) as old:
            encoding = old.encoding
        write_atomic(path, file["new"].encode(encoding))
        path.chmod(mode)


def _check_unchanged(path: str, old: str) -> None:
    try:
        same = read(path) == old
    except (OSError, SyntaxError, UnicodeDecodeError):
        same = False
    if not same:
        what = f"{path} was changed since it was treated"
        raise RunError(what, "the file as it was", "treat it again, or edit it by hand")
