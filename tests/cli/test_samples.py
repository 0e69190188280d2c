"""``fitwell samples``: what is printed, and what is refused."""

import json

QUICK = ("--epochs", "2", "--lr", "0.01", "--threads", "1", "--repeats", "2")


def test_people_see_the_curve_and_a_sentence(fitwell, files):
    done = fitwell("samples", files / "table.csv", *QUICK)
    assert done.code == 0, done.err
    assert "numbers of samples, 4 trials" in done.out
    for text in ("samples", "verdict", "said", "more epochs"):
        assert text in done.out


def test_programs_get_one_object(fitwell, files):
    done = fitwell("samples", files / "numbers.csv", "--sizes", "10,20", "--json", *QUICK)
    assert done.code == 0, done.err
    told = json.loads(done.out)
    assert told["study"]["kind"] == "samples"
    assert [point["samples"] for point in told["study"]["summary"]["points"]] == [10, 20]
    assert told["study"]["metric"] == "val/r2"


def test_what_is_impossible_is_refused(fitwell, refused, files):
    table = files / "table.csv"
    assert "the sizes are 'all'" in refused(2, "samples", table, "--sizes", "all")
    assert "repeats is 0" in refused(2, "samples", table, "--repeats", 0)
    assert "without a target" in refused(2, "samples", table, "--model", "rbm")
    few = fitwell("samples", table, "--sizes", "10,1000", *QUICK)
    assert few.code == 2
    assert "from 2 to 42" in few.err
