"""``fitwell lr``: the suggestion, its reasons and its picture; nothing is recorded."""

import json
from pathlib import Path

QUICK = ("--threads", "1", "--model", "mlp")


def test_the_picture_is_written_and_the_suggestion_told(
    fitwell, files: Path, runs: Path, tmp_path: Path
) -> None:
    done = fitwell("lr", files / "photos", *QUICK, "--out", tmp_path / "x.png")
    assert done.code == 0, done.err
    assert "suggested learning rate: " in done.out
    assert f"picture: {tmp_path / 'x.png'}" in done.out
    assert (tmp_path / "x.png").read_bytes().startswith(b"\x89PNG")
    told = json.loads(fitwell("lr", files / "photos", *QUICK, "--out", tmp_path / "x.png", "--json").out)
    assert f"suggested learning rate: {told['suggestion']:g}" in done.out
    assert told["reasons"]
    assert not runs.exists()


def test_a_picture_that_can_not_be_written(refused, files: Path, tmp_path: Path) -> None:
    out = tmp_path / "missing" / "x.png"
    assert f"can't write {out}: there is no such folder" in refused(
        1, "lr", files / "photos", *QUICK, "--out", out
    )
