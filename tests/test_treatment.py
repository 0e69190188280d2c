"""What came of a treatment is the same after it was written and read again."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from fitwell.experiment import Paired
from fitwell.treatment import Treatment, Trial, Tried

# Finite and not; not a number is never kept: it is None.
NUMBERS = st.floats(allow_nan=False)
FIGURES = st.none() | NUMBERS
TEXTS = st.text(max_size=5)
ANSWERS = st.sampled_from(["confirmed", "refuted", "inconclusive"])
DOSES = st.dictionaries(TEXTS, NUMBERS | TEXTS | st.booleans(), max_size=2)


def several(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.lists(values, max_size=3).map(tuple)


PAIRED = st.builds(Paired, NUMBERS, NUMBERS, NUMBERS, st.integers(1, 9))
TRIALS = st.builds(
    Trial, answer=ANSWERS, because=TEXTS, metric=TEXTS, higher=st.booleans(), seeds=several(st.integers(0)),
    control=several(FIGURES), treated=several(FIGURES), difference=st.none() | PAIRED, runs=several(TEXTS),
)  # fmt: skip
TRIED = st.builds(
    Tried, remedy=TEXTS, dose=DOSES, says=TEXTS, how=st.sampled_from(["patch", "live", "plan"]), finding=TEXTS,
    screened=FIGURES, because=TEXTS, trial=st.none() | TRIALS,
)  # fmt: skip
TREATMENTS = st.builds(
    Treatment, run=TEXTS, answer=ANSWERS, because=TEXTS, cure=st.none() | TRIED, diff=TEXTS, costs=TEXTS,
    not_when=TEXTS, tried=several(TRIED), metric=TEXTS, control=FIGURES, seconds=NUMBERS,
)  # fmt: skip


@given(TREATMENTS)
def test_a_treatment_survives_json(made: Treatment) -> None:
    written = json.loads(json.dumps(made.plain()))
    assert written["schema"] == 1
    assert Treatment.from_plain(written) == made


def test_what_is_not_told_has_its_default() -> None:
    made = Treatment("runs/a", "inconclusive", "nothing was found")
    assert (made.cure, made.tried, made.diff) == (None, (), "")
    assert Treatment.from_plain(made.plain()) == made
