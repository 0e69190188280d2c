"""What people see on terminals, in CI and in logs."""

import io
import re
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fitwell.errors import DataError
from fitwell.plan import Plan
from fitwell.run import create_run
from fitwell.views import console

ESCAPE = "\x1b"


class Terminal(io.StringIO):
    """A stream on which a person watches."""

    encoding = "utf-8"

    def isatty(self):
        return True


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch):
    for name in ("CI", "NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")


def row(epoch, epochs, **more):
    figures = {"loss/train": 2 / epoch, "loss/val": 2.1 / epoch, "accuracy/train": 0.9, "accuracy/val": 0.88}
    return {"epoch": epoch, "epochs": epochs, "lr": 1e-3, "seconds": 1.0, "best": True} | figures | more


def train(progress, epochs, stop=None, **info):
    progress.begin(
        {"data": "digits", "family": "mlp", "parameters": 7850, "epochs": epochs, "steps": 10} | info
    )
    for epoch in range(1, (stop or epochs) + 1):
        progress.step(epoch, epochs, 1234.5)
        progress.epoch(row(epoch, epochs))
    progress.end()


def rows_of(text):
    return [int(number) for number in re.findall(r"^\*?\s+(\d+)/\d+ ", text, flags=re.MULTILINE)]


def printed(items):
    stream = io.StringIO()
    console.put(console.make_console(stream), *items)
    return stream.getvalue()


@pytest.mark.parametrize("epochs", [1, 2, 19, 20, 21, 100, 1000])
def test_unwatched_rows_are_few_and_hold_the_first_and_the_last(epochs):
    stream = io.StringIO()
    train(console.Progress(stream), epochs)
    rows = rows_of(stream.getvalue())
    assert len(rows) <= 20
    assert (rows[0], rows[-1]) == (1, epochs)
    assert rows == sorted(set(rows))


def test_the_last_row_is_shown_when_the_training_stops_early():
    stream = io.StringIO()
    train(console.Progress(stream), epochs=100, stop=67)
    assert rows_of(stream.getvalue())[-1] == 67


def test_a_watched_training_shows_every_row_and_a_bar_that_goes_away():
    stream = Terminal()
    progress = console.Progress(stream)
    train(progress, 50)
    progress.end()
    text = re.sub(r"\x1b\[[\d;?]*[A-Za-z]", "", stream.getvalue()).replace("\r", "\n")
    assert rows_of(text) == list(range(1, 51))
    assert "samples/s" in text
    assert "left" in text
    assert stream.getvalue().count(f"{ESCAPE}[?25h") == 1, "the cursor comes back, once"


@pytest.mark.parametrize("setting", ["CI", "TERM"])
def test_no_control_codes_where_nobody_watches(setting, monkeypatch):
    monkeypatch.setenv(setting, "true" if setting == "CI" else "dumb")
    stream = Terminal()
    train(console.Progress(stream), 3)
    assert ESCAPE not in stream.getvalue()
    assert "\r" not in stream.getvalue()


def test_no_color_leaves_no_colours(make_run, monkeypatch):
    run = make_run(extra={"baseline/test/accuracy": 0.999})
    coloured, plain = Terminal(), Terminal()
    console.put(console.make_console(coloured), *console.summary(run))
    monkeypatch.setenv("NO_COLOR", "1")
    console.put(console.make_console(plain), *console.summary(run))
    colour = re.compile(r"\x1b\[(?:\d+;)*(?:3[0-7]|9[0-7]|38|4[0-7])(?:;\d+)*m")
    assert colour.search(coloured.getvalue())
    assert not colour.search(plain.getvalue())


def test_the_log_is_a_copy_without_colours_and_without_the_bar(tmp_path):
    stream = Terminal()
    progress = console.Progress(stream)
    train(progress, 3, run=tmp_path)
    progress.say("done")
    log = (tmp_path / "stdout.log").read_text()
    assert rows_of(log) == [1, 2, 3]
    assert log.endswith("done\n")
    assert ESCAPE not in log
    assert "samples/s" not in log


def test_rows_line_up_and_fit_eighty_columns():
    stream = io.StringIO()
    progress = console.Progress(stream)
    progress.begin({"epochs": 2})
    progress.epoch(row(1, 100, seconds=123.4, best=False))
    progress.epoch(row(100, 100, **{"loss/train": 1.5e-7, "accuracy/train": 1.0}))
    head, first, last = stream.getvalue().splitlines()[-3:]
    assert len(head) == len(first) == len(last) < 80
    assert (first[0], last[0]) == (" ", "*")


def test_a_training_without_metric_or_validation_has_rows_too():
    stream = io.StringIO()
    progress = console.Progress(stream)
    progress.begin({})
    progress.epoch({"epoch": 1, "epochs": 1, "loss/train": 0.5, "lr": 0.1, "seconds": 1.0})
    assert "0.5000" in stream.getvalue()
    assert "acc" not in stream.getvalue()


def test_a_loss_that_is_not_a_number_is_shown_as_such():
    stream = io.StringIO()
    progress = console.Progress(stream)
    progress.begin({"epochs": 1})
    progress.epoch(row(1, 1, **{"loss/train": float("nan"), "loss/val": float("inf")}))
    assert "nan" in stream.getvalue()
    assert "inf" in stream.getvalue()


def test_the_introduction_says_what_will_be_done():
    stream = io.StringIO()
    info = {
        "samples": {"train": 48000, "val": 12000},
        "batches": 750,
        "batch_size": 64,
        "lr": 0.0031,
    }
    console.Progress(stream).begin(
        {"data": "mnist", "family": "mlp", "hidden": (128,), "parameters": 101770, "device": "cpu",
         "threads": 1, "steps": 15000, "epochs": 20, "notes": ["the last column\nis predicted"]} | info
    )  # fmt: skip
    text = stream.getvalue()
    for part in ("mnist: mlp (128) with 101,770", "48,000 train, 12,000 validation", "750 batches of 64",
                 "15,000 steps in 20 epochs", "0.0031", "cpu, 1 thread\n",
                 "the last column is predicted"):  # fmt: skip
        assert part in text


def test_the_summary_has_figures_verdict_confusion_and_next_commands(make_run):
    run = make_run()
    (run.path / "report.html").touch()
    text = printed(console.summary(run))
    for part in ("99.91 %", "98.61 %", "98.33 %", "1.30 pt", "just right: validation loss settled", "epoch 8",
                 "best epoch 9 of 10", str(run.path / "report.html"), f"fitwell predict {run.name}",
                 f"fitwell report {run.name}"):  # fmt: skip
        assert part in text
    assert re.search(r"^0 +30( +\.){2} +1", text, flags=re.MULTILINE), "the confusion matrix"
    assert "gradient boosting" not in text
    assert "history.png" not in text, "a picture that is not there is not promised"


def test_a_better_baseline_is_admitted_and_a_worse_one_is_no_matter(make_run):
    better = printed(
        console.summary(make_run(extra={"baseline/val/accuracy": 0.9, "baseline/test/accuracy": 0.998}))
    )
    assert "gradient boosting (scikit-learn)" in better
    assert "The baseline is better here" in better
    close = printed(console.summary(make_run(extra={"baseline/test/accuracy": 0.984})))
    assert "ahead, but not clearly" in close
    worse = printed(console.summary(make_run(extra={"baseline/test/accuracy": 0.9})))
    assert "90.00 %" in worse
    assert "better here" not in worse


def test_many_classes_become_the_pairs_that_were_confused_most(make_run):
    names = [f"class {i}" for i in range(13)]
    matrix = [[50 if i == j else 0 for j in range(13)] for i in range(13)]
    matrix[3][7], matrix[12][0] = 9, 4
    text = printed(
        console.summary(make_run(evaluation={"part": "val", "classes": names, "confusion": matrix}))
    )
    assert "confused on validation data" in text
    assert text.index("class 3 taken for class 7: 9") < text.index("class 12 taken for class 0: 4")


def test_a_path_is_never_broken(make_run):
    run = make_run()
    deep = run.path.with_name("r" * 180)
    run.path.rename(deep)
    run = type(run)(deep)
    (run.path / "report.html").touch()
    assert str(run.path / "report.html") in printed(console.summary(run))


@pytest.mark.parametrize("evil", ["[red]x[/red]", "[/]", "\x1b[2J", "\x9b2J", "\u202egnp", ":smile:"])
def test_names_in_the_data_are_printed_and_obeyed_by_nobody(make_run, evil):
    run = make_run(evaluation={"part": "test", "classes": [evil, "b"], "confusion": [[3, 1], [0, 4]]})
    run.update(data=evil)
    text = printed([*console.summary(run), *console.show(run), console.runs_table([run])])
    assert console.clean(evil) in text
    assert all(letter.isprintable() or letter == "\n" for letter in text)


@settings(max_examples=40)
@given(st.text())
def test_cleaned_text_is_one_printable_line(text):
    cleaned = console.clean(text)
    assert cleaned.isprintable()
    assert console.clean("\ud800" + text)[0] == "?"
    assert console.clean(cleaned) == cleaned


def test_an_encoding_that_lacks_letters_ends_nothing(make_run):
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    console.put(
        console.make_console(stream), *console.show(make_run()), console.plan_table([("a", "猫", "…")])
    )
    stream.flush()
    assert b"loss/train" in raw.getvalue()
    assert b"%" in raw.getvalue(), "curves are drawn in ASCII"


def test_show_has_decisions_and_curves(make_run):
    text = printed(console.show(make_run()))
    assert re.search(r"optimizer\.lr +auto +0\.003", text)
    assert "data.source" not in text, "what is asked for is no decision"
    assert re.search(r"loss/val +█[▁-█]+", text)


def test_unfinished_runs_can_be_listed_and_shown(make_run, tmp_path):
    running = create_run(Plan(data="iris"), "iris", tmp_path / "runs")
    text = printed([*console.show(running), console.runs_table([make_run(), running])])
    assert f"{running.name}: running" in text
    assert "accuracy 98.33 %" in text
    assert "no runs yet" in printed([console.runs_table([])])


def test_the_plan_is_explained():
    text = printed([console.plan_table(Plan(data="digits").settings())])
    assert re.search(r"optimizer\.algorithm +adamw +adaptive", text)
    assert re.search(r"regularization\.clip +none ", text)


def test_an_error_is_three_lines():
    stream = io.StringIO()
    console.error(DataError("row 3\nof 'a\x1b.csv' is empty", "a number", "fill it in"), stream)
    assert stream.getvalue() == "error: row 3 of 'a?.csv' is empty\nexpected: a number\nfix: fill it in\n"


@settings(max_examples=40)
@given(st.lists(st.floats(-1e300, 1e300), min_size=1, max_size=200))
def test_a_sparkline_is_short_and_reaches_both_ends(values):
    text = console.Sparkline(values).text()
    assert 1 <= len(text) <= 40
    if len(values) <= 40 and max(values) > min(values):
        assert text[values.index(max(values))] == "█"
        assert text[values.index(min(values))] == "▁"


def test_json_on_stdout_is_not_swallowed_by_a_bar_on_stderr(capsys):
    progress = console.Progress(Terminal())
    progress.begin({"epochs": 1, "steps": 1})
    sys.stdout.write('{"run": 1}\n')
    progress.end()
    assert capsys.readouterr().out == '{"run": 1}\n'
