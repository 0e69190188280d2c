"""Treatments as text."""

import math
from dataclasses import replace

import pytest

from fitwell.experiment import Paired
from fitwell.run.files import write_json
from fitwell.treatment import Treatment, Trial, Tried
from fitwell.views import cures

TRIAL = Trial(
    "confirmed", "it is higher in 3 of 3 pairs", "val/accuracy", True, (1, 2, 3),
    (0.31, 0.33, 0.35), (0.94, 0.95, 0.96), Paired(0.62, 0.55, 0.69, 3), tuple("abcdef"),
)  # fmt: skip
TRIED = Tried("a_remedy", {}, "do it", "plan", "a-fault", 0.95, "just right")


def test_what_was_written_is_read(make_run):
    run = make_run()
    assert cures.recorded(run) is None
    of = Treatment(str(run.path), "confirmed", "it helps", replace(TRIED, trial=TRIAL), tried=(TRIED,))
    write_json(run.path / "treatment.json", of.plain())
    assert cures.recorded(run) == of


def test_of_several_trials_the_figures_are_those_of_the_answer():
    other = replace(TRIED, trial=replace(TRIAL, because="another", metric="val/loss"))
    first = replace(TRIED, trial=replace(TRIAL, because="not clear"))
    told = Treatment("runs/a", "inconclusive", "not clear; no time for more", tried=(other, first))
    assert cures.trial_of(told) == first.trial
    assert cures.trial_of(replace(told, cure=other)) == other.trial
    assert cures.trial_of(replace(told, tried=(TRIED,))) is None


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({}, "0.33 ± 0.02 -> 0.95 ± 0.01 on seeds 1, 2, 3; difference +0.62 (95 % interval +0.55 to +0.69)"),
        ({"treated": (0.9, None, 0.9)}, "-> 0.9 ± 0 (1 failed) on seeds"),
        ({"difference": None}, "; no pair of figures to compare"),
        ({"difference": Paired(0.6, -math.inf, math.inf, 1)}, "difference +0.6 (one pair has no interval)"),
    ],
)
def test_the_figures_of_a_trial(values, told):
    assert told in cures.trial_text(replace(TRIAL, **values))


def test_trainings_that_trials_share_are_counted_once():
    other = replace(TRIAL, runs=(*"abc", *"xyz"))
    tried = (replace(TRIED, trial=TRIAL), replace(TRIED, trial=other))
    facts = dict(cures.facts(Treatment("runs/a", "refuted", "no", tried=tried, seconds=3.0)))
    assert facts["took"].endswith(", 11 trainings")
    assert "because" not in facts, "the headline says it"
