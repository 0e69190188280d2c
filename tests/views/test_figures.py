"""Pictures are drawn for every run that there can be, and say what the run says."""

import io
import math
import subprocess
import sys
from dataclasses import dataclass, field

import pytest
from PIL import Image

from fitwell.errors import StorageError
from fitwell.run.events import EventLog
from fitwell.views import figures

NUMBERS = {"part": "test", "true": [1.0, 2.0, 5.0], "predicted": [1.5, 2.0, 4.0]}


@dataclass(frozen=True)
class Curve:
    """What a learning-rate finder saw."""

    rates: list[float] = field(default_factory=lambda: [10 ** (-6 + i / 10) for i in range(60)])
    losses: list[float] = field(default_factory=lambda: [2 - math.sin(i / 20) for i in range(60)])
    smoothed: list[float] = field(default_factory=lambda: [2 - math.sin(i / 20) for i in range(60)])
    suggestion: float = 2e-3
    reasons: list[str] = field(default_factory=lambda: ["steepest at $1e-2"])


def texts(axes):
    return " ".join(
        text.get_text() for text in [*axes.texts, axes.title, axes._left_title, axes._right_title]
    )


def test_importing_the_views_imports_neither_torch_nor_matplotlib():
    code = (
        "import sys, fitwell.views.figures, fitwell.views.report, fitwell.views.console\n"
        "print([m for m in ('torch', 'matplotlib', 'numpy', 'pandas', 'sklearn') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_drawing_leaves_no_global_state(make_run):
    figures.history(make_run())
    assert "matplotlib.pyplot" not in sys.modules or not sys.modules["matplotlib.pyplot"].get_fignums()


def test_history_labels_each_line_with_its_last_value(make_run):
    run = make_run()
    loss, accuracy, rate = figures.history(run).axes
    assert f"train\n{figures.number(run.curve('loss/train')[-1][1])}" in texts(loss)
    assert f"validation\n{figures.shown('accuracy', run.curve('accuracy/val')[-1][1])}" in texts(accuracy)
    assert "best epoch 9" in texts(loss)
    assert "learning rate" in texts(rate)


def test_history_marks_the_best_epoch_in_every_panel(make_run):
    for axes in figures.history(make_run()).axes:
        assert any(list(line.get_xdata()) == [9, 9] for line in axes.lines)


def test_the_loss_is_on_a_log_scale_only_when_it_spans_decades(make_run):
    assert figures.history(make_run(epochs=10)).axes[0].get_yscale() == "log"
    assert figures.history(make_run(epochs=3)).axes[0].get_yscale() == "linear"


def test_few_epochs_show_their_batches(make_run):
    few, many = (figures.history(make_run(epochs=epochs)).axes[0] for epochs in (1, 8))
    assert few.get_legend().get_texts()[0].get_text() == "batches"
    assert many.get_legend().get_texts()[0].get_text() == "as optimized"
    assert len(few.lines[0].get_xdata()) > 3


@pytest.mark.parametrize("epochs", [1, 2, 10])
def test_labels_stay_apart_and_inside(make_run, epochs):
    for axes in figures.history(make_run(epochs=epochs)).axes[:2]:
        levels = sorted(text.get_position()[1] for text in axes.texts)
        assert 0 <= levels[0] <= levels[1] - 0.1 <= 1


def test_accuracies_a_hair_apart_are_not_dramatised(make_run):
    low, high = figures.history(make_run(epochs=1)).axes[1].get_ylim()
    assert high - low >= 0.02


def test_a_run_without_metric_has_two_panels(make_run):
    run = make_run(metric="")
    run.update(metric="loss")
    assert len(figures.history(run).axes) == 2


def test_a_diverged_run_says_that_there_is_nothing_to_draw(make_run, tmp_path):
    run = make_run()
    run.events_path.unlink()
    log = EventLog(run.events_path)
    log.append(1, 1.0, {"loss/train": math.nan, "loss/val": math.inf})
    log.flush()
    assert "no finite loss" in texts(figures.history(run).axes[0])
    figures.save(figures.history(run), tmp_path / "a.png")


def test_a_run_that_has_not_ended_can_be_drawn(make_run):
    run = make_run(result=None, state="running")
    assert len(figures.history(run).axes) == 3


def test_confusion_counts_are_written_in_their_cells(make_run):
    axes = figures.confusion(make_run()).axes[0]
    found = {text.get_position(): text.get_text() for text in axes.texts}
    assert found[(0, 0)] == "30"
    assert found[(3, 0)] == "1", "true 0, predicted 3: column 3 of row 0"
    assert (0, 1) not in found, "zeros are left out"


def test_of_many_classes_the_most_confused_are_kept():
    count = 50
    matrix = [[9 if i == j else 0 for j in range(count)] for i in range(count)]
    matrix[41][17] = 5
    classes, kept = figures.worst_classes({"classes": range(count), "confusion": matrix})
    assert len(classes) == len(kept) == len(kept[0]) == 30
    assert kept[classes.index("41")][classes.index("17")] == 5
    assert classes == sorted(classes, key=int)


def test_a_class_without_samples_divides_by_nothing(make_run, tmp_path):
    run = make_run(evaluation={"classes": ["a", "b"], "confusion": [[0, 0], [0, 3]]})
    figures.save(figures.confusion(run), tmp_path / "a.png")


def test_any_class_name_can_be_drawn(make_run, tmp_path, classes_evaluation):
    names = ["$\\frac", "$x$", "猫", "<b>", "a_{", "x" * 300]
    run = make_run(evaluation=classes_evaluation(names), data="$\\frac 猫 a_{$")
    for figure in (figures.confusion(run), figures.history(run)):
        figures.save(figure, tmp_path / "a.png")


def test_predictions_are_drawn_for_numbers_alone(make_run):
    assert figures.predictions(make_run()) is None
    assert figures.confusion(make_run(metric="r2", evaluation=NUMBERS)) is None
    left, right = figures.predictions(make_run(metric="r2", evaluation=NUMBERS)).axes
    assert left.collections[0].get_offsets().tolist() == [[1, 1.5], [2, 2], [5, 4]]
    assert right.collections[0].get_offsets().tolist() == [[1.5, 0.5], [2, 0], [4, -1]]


def test_the_finder_shows_its_suggestion_and_reasons(tmp_path):
    figure = figures.lr_finder(Curve())
    assert "0.002" in texts(figure.axes[0])
    assert "steepest at $1e-2" in figure._supxlabel.get_text()
    figures.save(figure, tmp_path / "a.png")


def test_a_finder_that_saw_nothing_can_be_drawn(tmp_path):
    figures.save(
        figures.lr_finder(Curve([], [], [], 1e-3, ["the first loss was not finite"])), tmp_path / "a.png"
    )


def test_write_figures_writes_what_suits_the_run(make_run):
    paths = figures.write_figures(make_run())
    assert [path.name for path in paths] == ["training_history.png", "confusion.png"]
    numbers = figures.write_figures(make_run(metric="r2", evaluation=NUMBERS))
    assert [path.name for path in numbers] == ["training_history.png", "predictions.png"]
    assert Image.open(io.BytesIO(paths[0].read_bytes())).format == "PNG"
    assert not list(paths[0].parent.glob("*.tmp"))


def test_a_folder_that_is_none_is_named(make_run, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="file"):
        figures.save(figures.history(make_run()), tmp_path / "file" / "a.png")
