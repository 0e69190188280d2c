"""Pictures of watched runs."""

import math

import numpy as np
import pytest

from fitwell.run.events import EventLog
from fitwell.views import figures, watched_figures
from fitwell.views.seen import Seen, Thread


def heat_maps(figure):
    return {axes._left_title.get_text(): axes.images[0].get_array() for axes in figure.axes if axes.images}


def test_history_is_drawn_over_steps_for_each_thread(make_watched):
    run = make_watched(threads=["generator", "critic"])
    for thread in (None, Seen(run).threads[1]):
        figure = figures.history(run, thread)
        assert [axes._left_title.get_text() for axes in figure.axes] == ["loss", "accuracy", "learning rate"]
        assert {axes.get_xlabel() for axes in figure.axes} == {"step"}
        assert max(figure.axes[0].lines[-1].get_xdata()) == 400
    assert "critic" in figure._suptitle.get_text()


@pytest.mark.parametrize("made", [{"steps": 0, "facts": None}, {"steps": 0}, {"steps": 3, "result": None}])
def test_history_is_drawn_of_next_to_nothing(make_watched, made):
    figure = figures.history(make_watched(**made))
    said = " ".join(text.get_text() for text in figure.axes[0].texts)
    assert ("no finite loss" in said) == (made["steps"] == 0)
    assert figures.drawn(figure, "png")


def test_a_heat_map_holds_the_last_values_and_leaves_open_what_is_unknown(make_watched):
    run = make_watched(layers=["first", "second"], facts={"signals": {}})
    log = EventLog(run.events_path)
    log.append(400, 10.0, {"layer/second/gradient_norm": float("nan"), "layer/first/dead_share": 0.25})
    log.append(400, 10.0, {"layer/first/gradient_norm": 100.0})
    log.flush()
    thread = Seen(run).threads[0]
    maps = heat_maps(watched_figures.layers(thread))
    assert list(maps) == ["gradient norm", "update ratio", "dead share", "activation std"]
    norm = np.ma.filled(maps["gradient norm"], np.nan)
    assert norm[0, -1] == pytest.approx(2.0)
    assert math.isnan(norm[1, -1])
    assert norm[1, 40] == pytest.approx(math.log10(10**-0.25 * (0.2 + math.exp(-1))), abs=0.02)
    dead = np.ma.filled(maps["dead share"], np.nan)
    assert np.isnan(dead[0, :-1]).all()
    assert dead[0, -1] == 0.25


def test_a_narrow_range_looks_narrow(make_watched):
    figure = watched_figures.layers(Seen(make_watched()).threads[0])
    spans = [np.ptp(axes.images[0].get_clim()) for axes in figure.axes if axes.images]
    assert min(spans) >= 1.0


def test_zeros_among_norms_do_not_spoil_the_picture(make_watched):
    run = make_watched(steps=40)
    log = EventLog(run.events_path)
    log.append(41, 1.0, {"layer/fc1/gradient_norm": 0.0, "layer/fc1/update_ratio": 0.0})
    log.flush()
    norm = heat_maps(watched_figures.layers(Seen(run).threads[0]))["gradient norm"]
    assert np.isfinite(norm[:, 1:]).all()


def test_hundreds_of_layers_fit_a_page(make_watched):
    figure = watched_figures.layers(
        Seen(make_watched(steps=5, layers=[f"b.{i}" for i in range(300)])).threads[0]
    )
    assert figure.get_figheight() <= 14
    assert len(figure.axes[0].get_yticklabels()) <= 60


def test_signals_have_a_panel_each_unless_they_never_change(make_watched):
    run = make_watched()
    log = EventLog(run.events_path)
    for step in (1, 2, 3):
        log.append(step, 0.0, {"nonfinite": 0.0, "input/std$": float(step), "lr/group_1": 0.1 * step})
    log.flush()
    figure = watched_figures.signals(Seen(run).threads[0])
    titles = [axes._left_title.get_text() for axes in figure.axes if axes.get_visible()]
    assert titles == ["gradient/cosine", "gradient/norm", "input/std$", "update/ratio"]
    assert watched_figures.signals(Thread("idle")) is None
