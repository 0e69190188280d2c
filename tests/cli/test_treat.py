"""``fitwell treat``: what is asked for, what is printed, and how it ends."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fitwell.cli.common import parse_time
from fitwell.errors import PlanError
from fitwell.run import Run
from fitwell.run.files import write_json
from fitwell.treating.script import SOURCES
from fitwell.treatment import Treatment, Tried

CURE = Tried("clear_gradients", {}, "clear the gradients", "patch", "gradients-not-cleared", 0.9, "better")


@pytest.fixture
def script(tmp_path: Path) -> Path:
    script = tmp_path / "train.py"
    script.write_text("old\n")
    return script


@pytest.fixture
def treated(monkeypatch: pytest.MonkeyPatch, watched_run: Run) -> Callable[[Treatment], list[dict[str, Any]]]:
    """Let treatments come to this; the settings that they are asked for."""

    def let(made: Treatment) -> list[dict[str, Any]]:
        asked: list[dict[str, Any]] = []

        def treat(what: object, **settings: Any) -> Treatment:
            asked.append({"what": what, **settings})
            return made

        monkeypatch.setattr("fitwell.treated.treat", treat)
        return asked

    return let


def made(run: Run, answer: str = "confirmed", **other: Any) -> Treatment:
    cure = CURE if answer == "confirmed" else None
    return Treatment(str(run.path), answer, "because", cure, tried=(CURE,), **other)  # type: ignore[arg-type]


def test_a_script_gets_its_arguments_and_the_rest_is_fitwells(
    fitwell: Callable[..., Any], treated: Callable[..., Any], watched_run: Run, script: Path, tmp_path: Path
) -> None:
    asked = treated(made(watched_run))
    done = fitwell("treat", "--seeds", 4, "--time", "2h", "--json", script, "--seeds", "9", "-m")
    assert done.code == 0, done.err
    assert json.loads(done.out)["answer"] == "confirmed"
    (settings,) = asked
    assert settings.pop("say")
    assert settings == {
        "what": str(script), "arguments": ["--seeds", "9", "-m"], "module": False, "remedy": None, "seeds": 4,
        "runs": None, "seconds": 7200.0,
    }  # fmt: skip
    fitwell("treat", "-m", "package.train", "x")
    assert (asked[1]["what"], asked[1]["module"], asked[1]["arguments"]) == ("package.train", True, ["x"])


def test_of_a_run_options_may_come_after_it(
    fitwell: Callable[..., Any], treated: Callable[..., Any], watched_run: Run, refused: Callable[..., str]
) -> None:
    asked = treated(made(watched_run))
    done = fitwell("treat", "--seeds", 5, watched_run.name, "--remedy", "use_adam", "--json")
    assert done.code == 0, done.err
    assert (asked[0]["what"].path, asked[0]["seeds"], asked[0]["remedy"]) == (watched_run.path, 5, "use_adam")
    assert json.loads(done.out)
    assert "'more' was given after run" in refused(2, "treat", watched_run.name, "more")


def test_how_it_ends(
    fitwell: Callable[..., Any], treated: Callable[..., Any], watched_run: Run, script: Path
) -> None:
    treated(made(watched_run, "refuted"))
    assert fitwell("treat", script).code == 1
    treated(made(watched_run))
    done = fitwell("treat", script)
    assert done.code == 0
    assert "confirmed" in done.out
    treated(Treatment(str(watched_run.path), "inconclusive", "nothing was found that is to be mended"))
    assert fitwell("treat", script).code == 0


def test_a_patch_is_written_only_if_it_is_asked_for_and_confirmed(
    fitwell: Callable[..., Any], treated: Callable[..., Any], watched_run: Run, script: Path
) -> None:
    write_json(watched_run.path / SOURCES, [{"path": str(script), "old": "old\n", "new": "new\n"}])
    treated(made(watched_run, diff="a diff"))
    fitwell("treat", script)
    assert script.read_text() == "old\n"
    treated(made(watched_run, "refuted", diff="a diff"))
    assert "nothing is written" in fitwell("treat", "--write", script).err
    assert script.read_text() == "old\n"
    treated(made(watched_run, diff="a diff"))
    assert f"written: {script}" in fitwell("treat", "--write", script).err
    assert script.read_text() == "new\n"


def test_a_patch_that_was_found_before_is_written_at_once(
    fitwell: Callable[..., Any], refused: Callable[..., str], watched_run: Run, script: Path
) -> None:
    write_json(watched_run.path / SOURCES, [{"path": str(script), "old": "old\n", "new": "new\n"}])
    assert fitwell("treat", watched_run.name, "--write").code == 0
    assert script.read_text() == "new\n"
    assert "was changed since it was treated" in refused(1, "treat", watched_run.name, "--write")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("absent.py",), "there is no file absent.py, and no run"),
        (("--seeds", "1", __file__), "seeds is 1"),
        (("--remedy", "nothing-at-all", __file__), "no remedy is called"),
        (("--time", "soon", __file__), "the time is 'soon'"),
    ],
)
def test_mistakes_are_told_first(
    refused: Callable[..., str], runs: Path, arguments: tuple[str, ...], said: str
) -> None:
    assert said in refused(2, "treat", *arguments)
    assert not runs.exists()


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("30m", 1800), ("2h", 7200), ("1d", 86400), ("5", 5), ("1.5h", 5400)]
)
def test_a_time(text: str, seconds: float) -> None:
    assert parse_time(text) == seconds


@pytest.mark.parametrize("text", ["", "0", "0m", "-1h", "1w", "h", "nan"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(PlanError, match="the time is"):
        parse_time(text)
