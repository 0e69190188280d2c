"""Members of a folder: found by being there, third parties by entry point."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fitwell import discovery


class Point:
    def __init__(self, name: str, value: object) -> None:
        self.name, self.value = name, value

    def load(self) -> object:
        return self.value


@pytest.fixture
def plants(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    folder = tmp_path / "plants_of_a_test"
    folder.mkdir()
    files = {"__init__": "", "rose": "PLANT = 'red'", "oak": "PLANT = 'green'", "helper": "x = 1"}
    for name, text in files.items():
        (folder / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    discovery.members.cache_clear()
    yield folder
    discovery.members.cache_clear()
    for name in [name for name in sys.modules if name.startswith(folder.name)]:
        del sys.modules[name]


def test_every_file_with_the_name_is_a_member_in_sorted_order(plants: Path) -> None:
    found = discovery.members(plants.name, "PLANT")
    assert list(found.items()) == [("oak", "green"), ("rose", "red")]


def test_an_entry_point_adds_a_member_but_replaces_none(
    plants: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    points = {plants.name: [Point("fern", "dark"), Point("oak", "brown")]}
    monkeypatch.setattr(discovery, "entry_points", lambda group: points.get(group, []))
    assert discovery.members(plants.name, "PLANT") == {"oak": "green", "rose": "red", "fern": "dark"}
