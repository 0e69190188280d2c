"""verify(): what is confirmed helps; chance, ties, failures and new faults do not pass for help."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from fitwell.treating.verify import choose_metric, gain, verify
from fitwell.treatment import Outcome, Trial

Value = float | None | Outcome


def arm(values: Sequence[Value], name: str = "val/accuracy") -> Callable[[int], Outcome]:
    """A training that ends with these values for the seeds 1, 2, ...; None if it fails."""

    def train(seed: int) -> Outcome:
        value = values[seed - 1]
        if isinstance(value, Outcome):
            return value
        failed = "ValueError" if value is None else None
        return Outcome(f"{id(values)}-{seed}", seed, {} if value is None else {name: value}, failed=failed)

    return train


def trial(control: Sequence[Value], treated: Sequence[Value], name: str = "val/accuracy") -> Trial:
    return verify(arm(control, name), arm(treated, name))


def simulated(effect: float, trials: int, chance: random.Random, digits: int = 9) -> float:
    """The share of trials that confirm, with an effect in standard deviations of the difference."""
    confirmed = 0
    for _ in range(trials):
        control = [round(0.5 + 0.05 * chance.gauss(0, 1), digits) for _ in range(6)]
        treated = [round(c + 0.05 * chance.gauss(effect, 1), digits) for c in control]
        confirmed += trial(control, treated).answer == "confirmed"
    return confirmed / trials


def test_chance_is_confirmed_in_less_than_one_of_twenty_trials() -> None:
    assert simulated(0, 4000, random.Random(0)) < 0.05


def test_coarse_values_are_confirmed_no_more_often() -> None:
    assert simulated(0, 4000, random.Random(1), digits=1) < 0.05


def test_large_effects_are_confirmed() -> None:
    assert simulated(3, 500, random.Random(2)) > 0.9


def test_it_stops_when_it_is_clear_and_goes_on_when_it_is_not() -> None:
    clear = trial([0.5, 0.52, 0.51, 0.5, 0.5, 0.5], [0.9, 0.93, 0.9, 0.9, 0.9, 0.9])
    assert (clear.answer, clear.seeds) == ("confirmed", (1, 2, 3))
    assert clear.difference is not None
    assert clear.difference.low > 0
    unclear = trial([0.5, 0.6, 0.7, 0.6, 0.5, 0.6], [0.7, 0.5, 0.75, 0.65, 0.4, 0.7])
    assert (unclear.answer, unclear.seeds) == ("inconclusive", (1, 2, 3, 4, 5, 6))


def test_what_is_worse_is_refuted() -> None:
    assert trial([0.9, 0.91, 0.92], [0.5, 0.52, 0.5]).answer == "refuted"
    assert trial([1.0, 1.2, 1.1], [9.0, 8.0, 9.5], "val/loss").answer == "refuted"


def test_the_same_results_say_that_nothing_changed() -> None:
    same = trial([0.5, 0.6, 0.7], [0.5, 0.6, 0.7])
    assert same.answer == "refuted"
    assert "changes nothing" in same.because


def test_a_control_that_fails_is_worst() -> None:
    assert trial([None] * 3, [0.1, 0.2, 0.1]).answer == "confirmed"
    assert trial([0.9, 0.9, 0.8], [0.95, None, 0.95]).answer == "refuted"
    assert trial([None] * 3, [None] * 3).answer == "refuted"
    mixed = trial([0.5, None, 0.5, None, 0.5, 0.5], [0.9, 0.8, 0.9, 0.9, 0.85, 0.9])
    assert (mixed.answer, len(mixed.seeds)) == ("confirmed", 5)
    assert mixed.control[1] is None


def test_what_fails_no_more_and_learns_nothing_is_not_mended() -> None:
    def treated(verdict: str) -> Callable[[int], Outcome]:
        return lambda seed: replace(found(0.1, seed), verdict=verdict)

    def control(seed: int) -> Outcome:
        return replace(found(0.1, seed), failed="ValueError")

    assert verify(control, treated("underfitting")).answer == "confirmed"
    idle = verify(control, treated("not-converging"))
    assert idle.answer == "inconclusive"
    assert "not-converging" in idle.because


def test_a_loss_that_is_not_finite_counts_as_failed() -> None:
    broken = [Outcome("", s, {"val/loss": 2.0}, findings=("loss-not-finite",)) for s in (1, 2, 3)]
    assert trial(broken, [0.5, 0.6, 0.5], "val/loss").answer == "confirmed"
    assert trial([math.nan] * 3, [0.5, 0.6, 0.5], "val/loss").answer == "confirmed"


def test_a_training_without_a_step_counts_as_failed() -> None:
    def control(seed: int) -> Outcome:
        return Outcome("", seed, {}, findings=("optimizer-never-steps",))

    made = verify(control, lambda seed: found(0.9, seed))
    assert (made.answer, made.metric, made.control) == ("confirmed", "val/accuracy", (None,) * 3)


def test_losses_are_compared_by_factors() -> None:
    exploded = trial([1e3, 4e9, 2e5, 7e4, 1e6, 1e4], [0.5, 0.7, 0.6, 0.5, 0.5, 0.6], "val/loss")
    assert exploded.answer == "confirmed"


def test_equal_gains_need_more_pairs_unless_there_is_no_noise() -> None:
    equal = trial([0.1, 0.2, 0.3, 0.4, 0.5], [0.2, 0.3, 0.4, 0.5, 0.6])
    assert (equal.answer, len(equal.seeds)) == ("confirmed", 5)
    assert len(trial([0.1] * 3, [0.9] * 3).seeds) == 3


def found(value: float, seed: int, *names: str, metric: str = "val/accuracy") -> Outcome:
    return Outcome("", seed, {metric: value}, findings=names)


@pytest.mark.parametrize("new", ["gradients-not-cleared", "trained-in-eval-mode", "symmetric-initialization"])
def test_a_new_fault_is_no_cure(new: str) -> None:
    control = [found(0.5, s, "learning-rate-too-low") for s in (1, 2, 3)]
    made = trial(control, [found(0.9, s, new) for s in (1, 2, 3)])
    assert made.answer == "inconclusive"
    assert f"something new: {new}" in made.because
    assert trial(control, [found(0.9, 1, new), found(0.9, 2), found(0.9, 3)]).answer == "confirmed"


def test_what_is_left_to_be_improved_is_no_harm_on_held_out_data() -> None:
    def treated(metric: str) -> Trial:
        control = [found(0.5, s, "dead-units", metric=metric) for s in (1, 2, 3)]
        return trial(control, [found(0.9, s, "overfitting", metric=metric) for s in (1, 2, 3)])

    made = treated("val/accuracy")
    assert made.answer == "confirmed"
    assert "what is left: overfitting" in made.because
    assert treated("train/accuracy").answer == "inconclusive"


def test_more_seeds_before_the_first_look() -> None:
    sure = verify(arm([0.1, 0.2, 0.1, 0.15, 0.1]), arm([0.9] * 5), seeds=5, first=1, most=5)
    assert (sure.answer, sure.seeds) == ("confirmed", (1, 2, 3, 4, 5))


@pytest.mark.parametrize(
    ("metrics", "chosen"),
    [
        (({"val/accuracy": 1, "val/loss": 1}, {"val/accuracy": 1, "val/loss": 1}), ("val/accuracy", True)),
        (({"val/accuracy": 1, "val/loss": 1}, {"val/loss": 1}), ("val/loss", False)),
        (({"test/accuracy": 1, "train/loss": 1},), ("test/accuracy", True)),
        (({"train/loss": 1, "train/accuracy": 1},), ("train/loss", False)),
        (({"train/accuracy": 1},), ("train/accuracy", True)),
        (({"train/loss": 1}, {"val/loss": 1}), None),
        ((), None),
    ],
)
def test_the_metric(metrics: Sequence[dict[str, float]], chosen: tuple[str, bool] | None) -> None:
    assert choose_metric([Outcome("", 0, each) for each in metrics]) == chosen


def test_a_training_that_failed_does_not_hide_the_metric() -> None:
    failed = Outcome("", 0, {}, failed="ValueError")
    assert choose_metric([failed, Outcome("", 0, {"val/loss": 1})]) == ("val/loss", False)


def test_a_loss_that_is_not_finite_does_not_hide_the_metric() -> None:
    broken = Outcome("", 0, {}, findings=("loss-not-finite",))
    assert choose_metric([broken, Outcome("", 0, {"val/loss": 1})]) == ("val/loss", False)


def test_a_gain_is_above_zero() -> None:
    assert gain(0.5, 0.6, True) == pytest.approx(0.1)
    assert gain(2.0, 1.0, False) == pytest.approx(math.log(2))
    assert gain(-1.0, -3.0, False) == pytest.approx(2)
    assert gain(None, 1.0, False) == math.inf
    assert gain(None, None, True) == 0
