"""The laws of a division: disjoint, complete, shares kept, no group in two parts, past before future."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fitwell.data.contract import Samples
from fitwell.data.splitting import split
from fitwell.errors import DataError
from fitwell.plan import DataPlan

seeds = st.integers(0, 2**32 - 1)
shares = st.floats(0, 0.4)


def samples(count, **columns):
    return Samples(raw=None, count=count, **columns)


def plan(**values):
    return DataPlan(source="somewhere", **values)


def sizes(parts):
    return [len(part) for part in parts]


def assert_divides(parts, count):
    everything = np.concatenate(parts)
    assert all(part.dtype == np.int64 for part in parts)
    assert all((np.diff(part) > 0).all() for part in parts)
    np.testing.assert_array_equal(np.sort(everything), np.arange(count))


@given(st.integers(5, 400), shares, shares, seeds)
def test_parts_are_disjoint_and_cover_everything(count, validation, test, seed):
    parts = split(samples(count), plan(validation=validation, test=test), seed, None)
    assert_divides(parts, count)
    assert sizes(parts)[1:] == [round(validation * count), round(test * count)]


@given(st.lists(st.integers(10, 60), min_size=2, max_size=8), st.floats(0, 0.3), st.floats(0, 0.3), seeds)
def test_every_class_keeps_its_share_within_one_sample(counts, validation, test, seed):
    codes = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(counts)), counts))
    parts = split(samples(len(codes)), plan(validation=validation, test=test), seed, codes)
    assert_divides(parts, len(codes))
    rest = np.array(counts)
    for part in (parts[2], parts[1]):
        here = np.bincount(codes[part], minlength=len(counts))
        assert (np.abs(here - len(part) * rest / rest.sum()) < 1).all()
        rest = rest - here


@given(st.lists(st.integers(1, 5), min_size=2, max_size=20), st.floats(0, 1), seeds)
def test_every_class_is_trained_on(counts, part, seed):
    codes = np.repeat(np.arange(len(counts)), counts)
    spare = len(codes) - len(counts)
    for test in ("auto", int(part * spare) or 0.0, spare or 0.0):
        training, _, _ = split(samples(len(codes)), plan(test=test, validation=0), seed, codes)
        assert set(codes[training]) == set(codes)


@given(st.lists(st.integers(1, 9), min_size=3, max_size=40), st.floats(0, 0.3), st.floats(0, 0.3), seeds)
def test_no_group_is_in_two_parts(counts, validation, test, seed):
    groups = np.repeat([f"patient {i}" for i in range(len(counts))], counts)
    parts = split(samples(len(groups), groups=groups), plan(validation=validation, test=test), seed, None)
    assert_divides(parts, len(groups))
    assert sum(len(set(groups[part])) for part in parts) == len(counts)
    assert len(parts[0])


def test_groups_come_near_to_the_sizes_asked_for():
    groups = np.repeat(np.arange(200), 5)
    assert sizes(split(samples(1000, groups=groups), plan(), 0, None)) == [700, 150, 150]


@given(st.lists(st.integers(0, 30), min_size=25, max_size=80).filter(lambda t: len(set(t)) > 2), seeds)
def test_the_past_trains_and_the_future_tests_and_equal_times_stay_together(times, seed):
    times = np.array(times)
    parts = split(samples(len(times), times=times), plan(), seed, None)
    assert_divides(parts, len(times))
    training, validation, test = (times[part] for part in parts)
    assert training.max() < validation.min()
    assert validation.max() < test.min()


def test_time_without_ties_gives_the_sizes_asked_for():
    times = np.arange("2020-01-01", "2020-04-10", dtype="datetime64[D]")[::-1]
    training, validation, test = split(samples(100, times=times), plan(validation=10, test=0.2), 0, None)
    assert sizes((training, validation, test)) == [70, 10, 20]
    np.testing.assert_array_equal(test, np.arange(20))


def test_auto_sizes():
    assert sizes(split(samples(19), plan(), 0, None)) == [19, 0, 0]
    assert sizes(split(samples(20), plan(), 0, None)) == [14, 3, 3]
    assert sizes(split(samples(20), plan(), 0, np.arange(20) % 18)) == [18, 1, 1]
    assert sizes(split(samples(100_000), plan(), 0, None)) == [85_000, 5_000, 10_000]


def test_the_test_part_that_the_source_sets_apart_is_taken_as_it_is():
    apart = np.arange(80, 100)
    parts = split(samples(100, test=apart), plan(validation=8), 0, np.arange(100) % 4)
    assert_divides(parts, 100)
    np.testing.assert_array_equal(parts[2], apart)


def test_a_test_part_set_apart_is_never_trained_on_when_no_test_is_wanted():
    training, validation, test = split(samples(100, test=np.arange(80, 100)), plan(test=0), 0, None)
    assert len(test) == 0
    assert max(training.max(), validation.max()) < 80


def test_a_size_of_the_test_divides_everything_anew():
    parts = split(samples(100, test=np.arange(80, 100)), plan(test=0.3, validation=0), 0, None)
    assert_divides(parts, 100)
    assert parts[2].min() < 80


def test_the_seed_alone_decides():
    codes = np.arange(300) % 3
    first = split(samples(300), plan(), 7, codes)
    np.random.seed(1)  # must not matter
    again, other = split(samples(300), plan(), 7, codes), split(samples(300), plan(), 8, codes)
    for mine, same, different in zip(first, again, other, strict=True):
        np.testing.assert_array_equal(mine, same)
        assert not np.array_equal(mine, different)


GROUPED = {"groups": np.repeat([1, 2], 10)}


@pytest.mark.parametrize(
    ("given_samples", "given_plan", "codes", "says"),
    [
        (samples(0), plan(), None, "no samples"),
        (samples(10), plan(test=11), None, "11 test samples are asked of 10"),
        (samples(10), plan(test=5, validation=5), None, "nothing of 10 to train on"),
        (samples(10), plan(test=5, validation=0), np.arange(10) // 1.5, "7 classes, but 5 samples"),
        (samples(20, **GROUPED), plan(), None, "2 groups for 3 parts"),
        (samples(20, times=np.zeros(20)), plan(test=5), None, "1 different times for 3 parts"),
        (samples(20, times=np.array([*range(19), np.nan])), plan(), None, "sample 19 has no time"),
        (samples(20, times=np.arange(20), **GROUPED), plan(), None, "both group and time"),
        (samples(20, test=np.arange(5), **GROUPED), plan(), None, "inside and outside of the test part"),
        (samples(20), plan(group="patient"), None, "group = 'patient': somewhere has no such column"),
        (samples(20), plan(time="day"), None, "time = 'day'"),
    ],
)
def test_what_cannot_be_divided_is_refused(given_samples, given_plan, codes, says):
    with pytest.raises(DataError, match=says):
        split(given_samples, given_plan, 0, codes)
