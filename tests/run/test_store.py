"""The folder of runs: unique names, finding by part of a name, listing by age."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fitwell.errors import RunError, StorageError
from fitwell.plan import Plan
from fitwell.run import create_run, find_run, list_runs, runs_folder, store

NAMES = st.lists(st.text("ab-", min_size=1, max_size=4), min_size=1, max_size=5, unique=True)


class Frozen(datetime):
    @classmethod
    def now(cls, tz=None):
        return datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def make(folder: Path, names: list[str]) -> None:
    for age, name in enumerate(names):
        (folder / name).mkdir(parents=True)
        (folder / name / "run.json").write_text(json.dumps({"state": "done", "started": age}))


def test_two_runs_in_the_same_second_get_two_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "datetime", Frozen)
    names = [create_run(Plan(data="x"), "photos/Cats & Dogs.csv", tmp_path).name for _ in range(3)]
    assert names == [f"20260102T030405-cats-dogs{suffix}" for suffix in ("", "-2", "-3")]
    assert [run.name for run in list_runs(tmp_path)] == names


def test_a_new_run_holds_its_plan_its_machine_and_its_state(tmp_path: Path) -> None:
    run = create_run(Plan(data="digits", seed=7), "digits", tmp_path / "deep" / "runs", parent="earlier")
    assert (run.info["state"], run.info["seed"], run.info["parent"]) == ("running", 7, "earlier")
    assert sorted(path.name for path in run.path.iterdir()) == ["env.json", "plan.json", "run.json"]
    environment = json.loads((run.path / "env.json").read_text())
    assert environment["packages"]["torch"]
    assert environment["machine"]["python"]


@pytest.mark.parametrize("slug", ["", "///", "💥", "../../etc/passwd"])
def test_any_source_gives_a_harmless_name(tmp_path: Path, slug: str) -> None:
    run = create_run(Plan(data="x"), slug, tmp_path)
    assert run.path.parent == tmp_path
    assert run.name.partition("-")[2] in ("run", "passwd")


def test_a_folder_that_can_not_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file", tmp_path / "file" / "runs"):
        with pytest.raises(StorageError, match=r"(?s)a file stands where a folder should.*--runs"):
            create_run(Plan(data="x"), "x", folder)


@given(NAMES, st.text("ab-", max_size=4))
def test_a_run_is_found_by_its_name_or_by_a_part_that_is_its_own(
    tmp_path_factory: pytest.TempPathFactory, names: list[str], asked: str
) -> None:
    folder = tmp_path_factory.mktemp("runs")
    make(folder, names)
    matching = [name for name in names if asked in name]
    if asked in names or len(matching) == 1:
        assert find_run(asked, folder).name == (asked if asked in names else matching[0])
    else:
        told = f"{len(matching)} runs match" if matching else "no run"
        with pytest.raises(RunError, match=told):
            find_run(asked, folder)
    assert find_run("last", folder).name == names[-1]
    assert [run.name for run in list_runs(folder)] == names
    assert find_run(str(folder / names[0]), tmp_path_factory.getbasetemp()).name == names[0]


def test_an_ambiguous_name_shows_what_it_might_mean(tmp_path: Path) -> None:
    make(tmp_path, ["a-digits", "b-digits", "c-iris"])
    with pytest.raises(RunError, match=r"(?s)2 runs match 'digits', such as a-digits, b-digits.*`last`"):
        find_run("digits", tmp_path)


def test_no_runs_at_all(tmp_path: Path) -> None:
    assert list_runs(tmp_path / "none") == []
    (tmp_path / "file").touch()
    assert list_runs(tmp_path / "file") == []
    with pytest.raises(RunError, match=r"(?s)no run 'last'.*fitwell runs"):
        find_run("last", tmp_path)


@pytest.mark.parametrize("content", ["", "{", "[]", "{}"])
def test_a_damaged_run_hides_no_other(tmp_path: Path, content: str) -> None:
    make(tmp_path, ["good"])
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "run.json").write_text(content)
    (tmp_path / "empty").mkdir()
    assert [run.name for run in list_runs(tmp_path)] == ["good"]


def test_the_folder_is_the_one_given_then_that_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FITWELL_RUNS", "elsewhere")
    assert runs_folder("here") == Path("here")
    assert runs_folder() == Path("elsewhere")
    monkeypatch.delenv("FITWELL_RUNS")
    assert runs_folder() == Path("runs")
