"""A watched run is read as it is, whatever is missing of it."""

import pytest

from fitwell.run.events import EventLog
from fitwell.views.seen import Seen, Series, layers_in_order


def unseen(run):
    return {unseen.what: f"{unseen.why}; {unseen.fix}" for unseen in Seen(run).unseen()}


def test_threads_are_told_apart_and_their_layers_from_their_signals(make_watched):
    seen = Seen(make_watched(threads=["generator", "critic"], layers=["net/0", "net/1"]))
    assert [thread.name for thread in seen.threads] == ["generator", "critic"]
    for thread in seen.threads:
        assert "gradient/norm" in thread.signals
        assert list(thread.layers) == ["net/0", "net/1"]
        assert len(thread.layers["net/0"]["gradient_norm"].values) == 5 + 79
        assert not any(name.startswith(("thread", "layer")) for name in thread.signals)


def test_without_facts_the_log_tells_the_threads(make_watched):
    run = make_watched(threads=["generator", "critic"], facts=None, state="running", result=None)
    seen = Seen(run)
    assert [thread.name for thread in seen.threads] == ["training", "critic"]
    assert (seen.steps, seen.epochs, seen.state) == (400, 0, "preempted")
    assert seen.verdict[0] == ""


def test_layers_are_ordered_as_they_are_called(make_watched):
    thread = Seen(make_watched(layers=["fc1", "fc2", "other"])).threads[0]
    assert layers_in_order(thread, ["gradient_norm"]) == ["fc2", "fc1", "other"]
    assert layers_in_order(thread, ["dead_share"]) == ["fc2"]


def test_what_is_not_finite_is_left_out_and_its_beginning_told(make_watched):
    run = make_watched(steps=40)
    log = EventLog(run.events_path)
    for step, value in ((41, float("nan")), (42, 1.5), (43, float("inf")), (44, float("nan"))):
        log.append(step, 1.0, {"gradient/norm": value})
    log.flush()
    series = Seen(run).threads[0].signals["gradient/norm"]
    assert (series.broken_at, series.last) == (43, 1.5)
    assert Series([1, 2], [0, 0], [None, 1.0]).broken_at is None
    assert Series([1, 2], [0, 0], [None, None]).broken_at == 1


def test_a_long_series_is_thinned_and_keeps_its_ends_and_extremes():
    values = [float(step % 7) for step in range(50_000)]
    values[20_001], values[30_001] = 99.0, -99.0
    points = Series(list(range(50_000)), [0.0] * 50_000, values).points(most=300)
    assert len(points) <= 302
    assert {(20_001, 99.0), (30_001, -99.0), (0, 0.0), (49_999, values[-1])} <= set(points)
    assert points == sorted(points)


def test_what_was_seen_is_said(make_watched):
    lines = dict(Seen(make_watched()).lines())
    assert lines["models"] == "model (Net)"
    assert "model by AdamW (101,770 parameters, 400 steps)" in lines["trained"]
    assert lines["losses"] == "cross entropy at train.py:15"
    assert lines["phases"] == "train, validation"
    assert lines["epochs"] == "an epoch is a pass over the DataLoader of 40 batches"


def test_a_complete_run_lacks_nothing(make_watched):
    assert unseen(make_watched()) == {}


@pytest.mark.parametrize(
    ("made", "what", "text"),
    [
        ({"validated": False}, "validation", "held-out"),
        ({"facts": {"epochs": {"known_by": "", "size": None}}}, "epochs", "DataLoader"),
        ({"steps": 0, "facts": None, "result": None}, "any training", "never imported torch"),
        ({"steps": 0, "result": None}, "any step", "no optimizer"),
        ({"facts": None, "state": "running", "result": None}, "the end", "killed"),
        (
            {"facts": {"unseen": {"modules": "torch.compile is used: ..."}}},
            "modules",
            "without torch.compile",
        ),
        ({"facts": {"unseen": {"signal lr": "KeyError: 1"}}}, "signal lr", "report it"),
    ],
)
def test_what_was_not_seen_is_said_with_its_reason_and_a_cure(make_watched, made, what, text):
    told = unseen(make_watched(**made))
    assert list(told) == [what]
    assert text in told[what]


def test_another_loss_of_held_out_data_is_no_validation_loss(make_watched):
    run = make_watched(validated=False)
    log = EventLog(run.events_path)
    log.append(400, 10.0, {"loss/mse_loss/val": 0.5})
    log.flush()
    assert list(unseen(run)) == ["validation loss"]


def test_a_failure_is_known_from_the_facts_or_from_the_state(make_watched, failure):
    assert Seen(make_watched()).failure is None
    assert Seen(make_watched(facts={"failure": failure})).failure == failure
    early = Seen(make_watched(steps=0, facts=None, state="failed", error="ImportError: no foo: gone"))
    assert early.failure == {"type": "ImportError", "message": "no foo: gone"}


def test_the_script_is_called_by_its_file(make_watched):
    assert Seen(make_watched()).script == "train.py"
    assert (
        Seen(make_watched(program={"argv": ["-m", "package.train"]}, data="package.train")).script
        == "package.train"
    )
    assert Seen(make_watched(program={"argv": []})).script == "train"
