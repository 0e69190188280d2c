"""What a terminal shows of a watched run."""

import io
import re
from pathlib import Path

import pytest

from fitwell.run.events import EventLog
from fitwell.views import console, watched


def printed(items):
    stream = io.StringIO()
    console.put(console.make_console(stream), *items)
    return stream.getvalue()


@pytest.fixture(autouse=True)
def _runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FITWELL_RUNS", str(tmp_path / "runs"))


def test_the_summary_has_everything_in_one_screen(make_watched):
    run = make_watched()
    text = printed(watched.summary(run))
    for part in ("train.py: 400 steps, 10 epochs, 1 min 05 s, watching took 1.2 % of the time (3 % allowed)",
                 "cross entropy at train.py:15", "overfitting: the validation loss rose",
                 f"fitwell show {run.name}", f"fitwell report {run.name}", "to_frame()"):  # fmt: skip
        assert part in text
    assert re.search(r"loss, validation +█[▁-█]+ +1\.757 +0\.5707 +epoch 10 +0\.5707", text)
    assert re.search(r"accuracy, train .* 93\.23 %", text)
    assert re.search(r"fc1 +Linear \(frozen\) +100,480 +0\.335 +0\.000635 +1\b", text)
    assert re.search(r"relu +ReLU +0 .* 33\.3 %", text)
    assert "not seen" not in text
    assert len(text.splitlines()) < 40


def test_the_best_accuracy_is_the_highest_and_the_best_loss_the_lowest(make_watched):
    run = make_watched(steps=40)
    log = EventLog(run.events_path)
    for step, loss, accuracy in ((80, 0.01, 0.9999), (120, 5.0, 0.2)):
        log.append(step, step / 40, {"loss/val": loss, "accuracy/val": accuracy})
    log.flush()
    text = printed(watched.summary(run))
    assert re.search(r"loss, validation .* 0\.01 +epoch 2 +5 *\n", text)
    assert re.search(r"accuracy, validation .* 99\.99 % +epoch 2 +20\.00 %", text)


def test_an_accuracy_that_was_not_judged_to_the_end_says_of_which_epoch_it_is(make_watched):
    run = make_watched(steps=40)
    log = EventLog(run.events_path)
    for step, values in ((80, {"loss/val": 0.5, "accuracy/val": 0.9}), (400, {"loss/val": 0.1})):
        log.append(step, step / 40, values)
    log.flush()
    assert re.search(r"accuracy, validation .* 90\.00 %, epoch 2 *\n", printed(watched.summary(run)))


def test_of_many_layers_both_ends_are_shown_and_show_has_them_all(make_watched):
    run = make_watched(layers=[f"block.{i}" for i in range(54)])
    few, all_of_them = printed(watched.summary(run)), printed(console.show(run))
    assert "... 34 more layers" in few
    assert f"fitwell show {run.name}" in few
    layers = [int(number) for number in re.findall(r"^ block\.(\d+) ", few, flags=re.MULTILINE)]
    assert layers == [*range(10), *range(44, 54)]
    assert re.findall(r"^ block\.(\d+) ", all_of_them, flags=re.MULTILINE) == [str(i) for i in range(54)]


def test_each_thread_has_its_own_curves(make_watched):
    names = [f"net{i}" for i in range(6)]
    text = printed(watched.summary(make_watched(threads=names)))
    assert [line for line in text.splitlines() if line in names] == names[:4]
    assert "... and 2 more threads" in text
    assert "net5\n" in printed(console.show(make_watched(threads=names)))


def test_a_failure_shows_line_and_operands(make_watched, failure):
    text = printed(watched.summary(make_watched(facts={"failure": failure}, state="failed")))
    for part in (
        "failed   RuntimeError: mat1 and mat2",
        "/home/me/train.py:31 in Net.forward",
        "return self.head(x)",
    ):
        assert part in text
    assert re.search(r"x +tensor +\(32, 64\) +float32 +cpu", text)
    assert re.search(r"self\.head +Linear +weight \(10, 65\), bias \(10\)", text)


@pytest.mark.parametrize(
    "made",
    [
        {"facts": None, "state": "running", "result": None},
        {"steps": 0, "facts": None, "result": None},
        {"steps": 0, "facts": None},
        {
            "steps": 0,
            "facts": {"threads": [], "models": [], "overhead": {}},
            "state": "failed",
            "error": "SystemExit: 3",
        },
        {"layers": [], "program": {}, "validated": False},
    ],
)
def test_whatever_is_missing_there_is_something_to_say(make_watched, made):
    run = make_watched(**made)
    text = printed([*watched.summary(run), *console.show(run), console.runs_table([run])])
    assert f"fitwell report {run.name}" in text
    assert "None" not in text


def test_values_that_are_not_finite_are_told(make_watched):
    run = make_watched(steps=40)
    log = EventLog(run.events_path)
    for step in (41, 42):
        log.append(step, 1.0, {"loss/val": float("nan"), "layer/fc1/gradient_norm": float("inf")})
    log.append(43, 1.0, {"update/ratio": float("nan"), "loss/held_out_3": float("nan")})
    log.flush()
    text = printed(watched.summary(run))
    assert re.search(r"loss, validation .* not finite from step 41 on", text)
    assert re.search(r"fc1 .* not finite ", text)
    assert re.search(r"loss, held out 3 .* not finite from step 43 on", text)


def test_batches_are_shown_while_passes_are_few(make_watched):
    assert "loss, batches" in printed(watched.summary(make_watched(steps=80)))
    assert "loss, batches" not in printed(watched.summary(make_watched(steps=120)))


def test_a_run_in_another_folder_is_called_by_its_path(make_watched, monkeypatch):
    monkeypatch.setenv("FITWELL_RUNS", "elsewhere")
    run = make_watched()
    assert f"fitwell show {run.path}" in printed(watched.summary(run))


@pytest.mark.parametrize("evil", ["[red]x[/red]", "\x1b[2J", "\u202egnp"])
def test_names_of_the_program_are_obeyed_by_nobody(make_watched, failure, evil):
    facts = {
        "models": [{"name": evil, "class": evil}], "unseen": {evil: evil},
        "failure": failure | {"message": evil, "where": failure["where"] | {"text": evil, "file": evil}},
    }  # fmt: skip
    run = make_watched(threads=[evil, evil + "2"], layers=[evil], facts=facts, data=evil)
    text = printed([*watched.summary(run), *console.show(run)])
    assert console.clean(evil) in text
    assert all(letter.isprintable() or letter == "\n" for letter in text)


def test_watched_runs_are_listed_with_what_is_known_of_them(make_watched, make_run):
    killed = make_watched(facts=None, state="running", result=None)
    text = printed([console.runs_table([make_watched(), killed, make_run()])])
    assert re.search(r"done, watched +overfitting +accuracy 91\.00 % +10 +1 min 05 s", text)
    assert "(val)" in text
    assert "preempted, watched" in text
    assert "accuracy 98.33 %" in text
