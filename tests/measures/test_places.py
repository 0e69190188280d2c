"""Which line a finding names."""

from __future__ import annotations

from fitwell.evidence import View
from fitwell.measures.places import (
    call_place,
    cut_place,
    detached_place,
    eval_place,
    frozen_place,
    idle_step_place,
    kept_place,
    metric_place,
    pair_place,
    risky_place,
    unshuffled_place,
    unstepped_place,
)


def line(number, function="train", *, text="", in_model=False, **more):
    return {
        "file": "train.py",
        "line": number,
        "function": function,
        "text": text,
        "in_model": in_model,
    } | more


def seen(signals=None, subject=None, **kinds):
    return View({"signals": {"source_lines": kinds} | (signals or {})}, subject=subject or {})


def path(cut, *rows):
    table = [{"name": name, "parameters": 4, "where": where} for name, where in rows]
    return {
        "coverage": {"backwards": 3, "where": line(20), "threads": {"": {"cut": {"names": cut}}}},
        "layers": {"table": table},
    }


BACK = line(20, calls=["model", "encode"])


def number(place):
    return place and place["line"]


def test_a_cut_between_the_layers_that_are_not_reached_and_those_that_are():
    rows = ("conv", line(5, "Net.forward")), ("fc", line(6, "Net.forward"))
    cuts = [line(3, "Data.get"), line(6, "Net.forward", in_model=True), line(18)]
    assert number(cut_place(seen(path(["conv"], *rows), cuts=cuts, backwards=[BACK]))) == 6


def test_a_cut_in_the_loop_is_the_nearest_before_backward():
    rows = ("generator", line(12)), ("critic", line(19))
    cuts = [line(15), line(19), line(22)]
    assert number(cut_place(seen(path(["generator"], *rows), cuts=cuts, backwards=[BACK]))) == 19


def test_a_cut_that_nobody_finds_is_where_the_first_reached_layer_is_called():
    rows = ("conv", line(5, "Net.forward")), ("fc", line(7, "Net.forward"))
    assert number(cut_place(seen(path(["conv"], *rows), backwards=[BACK]))) == 7


def test_a_loss_that_a_function_detaches():
    cuts = [line(3, "Data.get"), line(8, "encode")]
    assert number(detached_place(seen(path([]), cuts=cuts, backwards=[BACK]))) == 8
    assert number(detached_place(seen(path([])))) == 20


def test_a_kept_loss_is_near_its_backward():
    keeps = [line(2, "plot"), line(22)]
    assert number(kept_place(seen(path([]), keeps=keeps))) == 22
    assert kept_place(seen()) is None


def test_freezing():
    assert number(frozen_place(seen(freezes=[line(4)]))) == 4


def test_the_loader_that_does_not_shuffle():
    test = line(2, text="test_loader = DataLoader(b)", shuffle=None)
    train = line(3, text="loader = DataLoader(a)", shuffle=None)
    assert number(unshuffled_place(seen(loaders=[test, train]))) == 3
    assert number(unshuffled_place(seen(loaders=[test], loops=[line(9)]))) == 9


def test_an_idle_optimizer_belongs_behind_the_backward_after_its_zero_grad():
    idle = {"where": line(1, text="g_opt = Adam(g.parameters())"), "kind": "Adam"}
    signals = {"coverage": {"backwards": 5, "idle_optimizers": [idle]}}
    kinds = {"clears": [line(9, name="d_opt"), line(15, name="g_opt")], "backwards": [line(11), line(17)]}
    assert number(idle_step_place(seen(signals, **kinds))) == 17
    assert number(idle_step_place(seen(signals))) == 1


def test_a_closure_that_is_called_by_hand():
    coverage = {
        "backwards": 5,
        "where": line(7, "closure"),
        "optimizers": [{"kind": "LBFGS", "stepped": False}],
    }
    kinds = {"backwards": [line(7, "closure", calls=[])], "closures": [line(12, "<module>", name="closure")]}
    assert number(unstepped_place(seen({"coverage": coverage}, **kinds))) == 12


def test_eval_that_serves_an_evaluation_is_not_at_fault():
    calls = [
        line(18, part="train", training=False),
        line(32, "test.<locals>.<genexpr>", part="held-out", training=False),
    ]
    served = {"modes": {"threads": {"": {"where": line(30, "test")}}}}
    alone = {"modes": {"threads": {"": {"where": line(10)}}}}
    assert number(eval_place(seen(served, calls=calls, backwards=[BACK]))) == 18
    assert number(eval_place(seen(alone, calls=calls, backwards=[BACK]))) == 10


def test_the_call_of_a_model_by_part_and_mode():
    calls = [line(5, part="held-out", training=False), line(8, part="held-out", training=True)]
    assert number(call_place("held-out", training=True)(seen(calls=calls))) == 8
    assert call_place("train")(seen(calls=calls)) is None


def test_layers_in_a_row_in_a_list_or_one_by_one():
    pairs = [line(3, "<module>"), line(9, "Net.__init__")]
    assert number(pair_place(seen(subject={"where": line(30, "<module>")}, pairs=pairs))) == 3
    assert number(pair_place(seen(subject={"where": line(12, "Net.forward")}, pairs=pairs))) == 9
    assert number(pair_place(seen(subject={"where": line(22, "Other.forward")}, pairs=pairs))) == 22


def test_where_an_accuracy_is_counted():
    compares = [line(4, "other"), line(14, "evaluate")]
    assigned = [line(30, "<module>", name="accuracy", called="evaluate")]
    kinds = {"compares": compares, "accuracies": assigned}
    assert number(metric_place(seen(subject={"variable": "accuracy"}, **kinds))) == 14


def test_the_operation_that_was_seen_to_make_nan():
    risks = [
        line(5, operation="log", rank=3, in_model=True),
        line(9, operation="log", rank=3),
        line(11, operation="sqrt", rank=3),
    ]
    first = {"loss": {"function": ""}, "operation": {"operation": "log"}}
    assert number(risky_place(seen({"non_finite": {"first": {"": first}}}, risks=risks))) == 9
    inside = first | {"module": {"inputs_finite": False}}
    assert number(risky_place(seen({"non_finite": {"first": {"": inside}}}, risks=risks))) == 5
    own = {"module": {"inputs_finite": True}}
    assert risky_place(seen({"non_finite": {"first": {"": own}}}, risks=risks)) is None
