"""``fitwell capacity``: what is printed, and what is refused."""

import json

import pytest

from fitwell.cli.capacity import parse_sizes
from fitwell.errors import PlanError

QUICK = ("--epochs", "2", "--lr", "0.01", "--threads", "1", "--resamples", "2")


def test_people_see_sizes_verdicts_and_a_sentence(fitwell, files):
    done = fitwell("capacity", files / "table.csv", "--sizes", "0,2,8", *QUICK)
    assert done.code == 0, done.err
    assert "sizes of the model, 6 trials" in done.out
    for text in ("hidden", "parameters", "verdict", "said", "note     trained without"):
        assert text in done.out


def test_programs_get_one_object(fitwell, files):
    done = fitwell("capacity", files / "numbers.csv", "--sizes", "2,4", "--time", "1m", "--json", *QUICK)
    assert done.code == 0, done.err
    told = json.loads(done.out)
    assert told["study"]["kind"] == "capacity"
    assert told["study"]["request"]["seconds"] == 60
    assert [len(point["trials"]) for point in told["study"]["summary"]["points"]] == [2, 2]
    assert told["trials"][0]["values"]["resample"] == 1


def test_sizes_are_numbers():
    assert parse_sizes(" 8, 16,,32 ") == [8, 16, 32]
    assert parse_sizes(None) is None


@pytest.mark.parametrize("text", ["", ",", "8,x", "8.5", "-1,2", "1e3"])
def test_what_are_no_sizes_is_refused(text):
    with pytest.raises(PlanError, match="the sizes are"):
        parse_sizes(text)


def test_what_is_impossible_is_refused(refused, files):
    table = files / "table.csv"
    assert "the sizes are 'a,b'" in refused(2, "capacity", table, "--sizes", "a,b")
    assert "resamples is 0" in refused(2, "capacity", table, "--resamples", 0)
    assert "without a target" in refused(2, "capacity", table, "--model", "autoencoder")
    assert "the time is 'soon'" in refused(2, "capacity", table, "--time", "soon")
