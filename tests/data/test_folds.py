"""The laws of folds: each sample is validated on once, nothing of it is learned, equal tensors are one copy."""

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

from fitwell import data as datasets
from fitwell.data import load
from fitwell.data.folds import folds, resampled
from fitwell.errors import DataError, PlanError
from fitwell.plan import DataPlan

GENERATOR = np.random.default_rng(0)
X = GENERATOR.normal(3.0, 2.0, size=(60, 3))
LABELS = np.array(["a"] * 30 + ["b"] * 20 + ["c"] * 10)
NUMBERS = X[:, 0] * 100 + GENERATOR.normal(size=60)
IMAGES = GENERATOR.integers(0, 256, size=(60, 8, 8), dtype=np.uint8)

seeds = st.integers(0, 2**32 - 1)
counts = st.integers(2, 6)


def plan(x=X, y=LABELS, **settings):
    return DataPlan(source=(x, y), **settings)


def table(**columns):
    frame = pd.DataFrame({"x": np.arange(60) % 7 + X[:, 0], "y": LABELS})
    return DataPlan(source=frame.assign(**columns), target="y")


def rows(data, name):
    return data.parts[name].index.numpy()


def codes_of(data, name):
    return data.parts[name].take(data.parts[name].index)["y"].numpy().ravel().astype(int)


@given(counts, seeds, st.sampled_from(["classes", "number"]))
@settings(max_examples=25, deadline=None)
def test_each_sample_is_validated_on_once_and_trained_on_by_all_other_folds(count, seed, kind):
    made = folds(plan(y=LABELS if kind == "classes" else NUMBERS), count, seed)
    assert len(made) == count
    assert sorted(np.concatenate([rows(fold, "val") for fold in made])) == list(range(60))
    for fold in made:
        assert sorted(np.concatenate([rows(fold, "train"), rows(fold, "val")])) == list(range(60))
        assert list(fold.parts) == ["train", "val"]
    sizes = [len(fold.parts["val"]) for fold in made]
    assert max(sizes) - min(sizes) <= 1


@given(st.lists(st.integers(1, 12), min_size=2, max_size=5), counts, seeds)
@settings(max_examples=40, deadline=None)
def test_classes_are_shared_out_as_scikit_learn_does_also_where_it_warns(sizes, count, seed):
    labels = np.repeat([f"class {k}" for k in range(len(sizes))], sizes)
    if len(labels) < count or len(sizes) > max(2, len(labels) / 2):
        return
    made = folds(plan(np.zeros((len(labels), 1)), labels), count, seed)
    shared = np.array([np.bincount(codes_of(fold, "val"), minlength=len(sizes)) for fold in made])
    assert (np.ptp(shared, axis=0) <= 1).all()
    assert shared.sum(0).tolist() == sizes
    if min(sizes) >= count:
        reference = StratifiedKFold(count).split(labels, labels)
        wanted = [np.unique(labels[part], return_counts=True)[1] for _, part in reference]
        assert np.sort(shared, axis=0).tolist() == np.sort(wanted, axis=0).tolist()


@given(st.lists(st.integers(1, 9), min_size=6, max_size=20), counts, seeds)
@settings(max_examples=40, deadline=None)
def test_no_group_is_in_two_parts_and_no_fold_is_empty(sizes, count, seed):
    groups = np.repeat([f"patient {i}" for i in range(len(sizes))], sizes)
    frame = pd.DataFrame({"x": np.arange(len(groups)) % 5, "y": np.arange(len(groups)) % 3, "who": groups})
    made = folds(DataPlan(source=frame, target="y", group="who", task="classes"), count, seed)
    assert sorted(np.concatenate([rows(fold, "val") for fold in made])) == list(range(len(groups)))
    for fold in made:
        assert len(rows(fold, "val"))
        assert not set(groups[rows(fold, "train")]) & set(groups[rows(fold, "val")])


def test_as_many_folds_as_groups_leave_one_group_out_each():
    who = np.arange(60) // 10  # each of one class, and of two sizes
    who[9] = 1
    frame = table(who=who).source.value
    made = folds(DataPlan(source=frame, target="y", group="who"), 6, 0)
    assert sorted(tuple(np.unique(who[rows(fold, "val")])) for fold in made) == [(i,) for i in range(6)]


def test_folds_of_groups_are_as_alike_as_those_of_scikit_learn():
    mine, theirs = [], []
    for seed in range(10):
        random = np.random.default_rng(seed)
        who = np.sort(random.integers(0, 40, 400))
        y = (random.random(400) < random.random(40)[who]).astype(int)
        frame = pd.DataFrame({"x": random.normal(size=400), "y": y, "who": who})
        made = folds(DataPlan(source=frame, target="y", group="who"), 5, seed)
        mine.append(np.std([[len(rows(f, "val")), codes_of(f, "val").sum()] for f in made], axis=0))
        reference = StratifiedGroupKFold(5, shuffle=True, random_state=seed).split(y, y, who)
        theirs.append(np.std([[len(part), y[part].sum()] for _, part in reference], axis=0))
    assert (np.mean(mine, axis=0) <= np.mean(theirs, axis=0)).all()


@given(st.lists(st.integers(0, 30), min_size=40, max_size=80).filter(lambda t: len(set(t)) > 6), counts)
@settings(max_examples=40, deadline=None)
def test_the_window_expands_and_the_future_is_never_trained_on(times, count):
    times = np.array(times)
    frame = pd.DataFrame({"x": np.arange(len(times)) % 5, "y": np.arange(len(times)) % 3, "day": times})
    made = folds(DataPlan(source=frame, target="y", time="day", task="classes"), count, 0)
    assert len(made) == count
    assert times[rows(made[-1], "val")].max() == times.max()
    for fold in made:
        assert times[rows(fold, "train")].max() < times[rows(fold, "val")].min()
    for earlier, later in pairwise(made):
        past = np.concatenate([rows(earlier, "train"), rows(earlier, "val")])
        np.testing.assert_array_equal(np.sort(past), rows(later, "train"))


def test_pieces_of_time_are_of_equal_size_where_no_times_are_equal():
    made = folds(DataPlan(source=table(day=np.arange(60)[::-1]).source.value, target="y", time="day"), 3, 0)
    assert [(len(f.train), len(f.parts["val"])) for f in made] == [(15, 15), (30, 15), (45, 15)]
    np.testing.assert_array_equal(rows(made[0], "train"), np.arange(45, 60))


@pytest.mark.parametrize(
    "day", [np.minimum(np.arange(60) // 4, 3), np.arange(60) // 4 * (np.arange(60) > 47)]
)
def test_every_piece_of_time_has_a_time_also_where_most_are_equal(day):
    made = folds(DataPlan(source=table(day=day).source.value, target="y", time="day"), 3, 0)
    assert [(len(set(day[rows(f, "train")])), len(set(day[rows(f, "val")]))) for f in made] == [
        (1, 1), (2, 1), (3, 1),
    ]  # fmt: skip


def damaged(values, where):
    changed = values.copy()
    changed[where] = changed[where] * 7 + 1000
    return changed


@pytest.mark.parametrize("kind", ["numbers", "images"])
def test_nothing_is_learned_from_a_folds_validation_part(kind):
    x = X if kind == "numbers" else IMAGES.astype(np.float32)
    for number, fold in enumerate(folds(plan(x, NUMBERS), 3, 0)):
        held = rows(fold, "val")
        again = folds(plan(damaged(x, held), damaged(NUMBERS, held)), 3, 0)
        assert again[number].encoder["state"]["mean"] == fold.encoder["state"]["mean"]
        assert again[number].encoder["state"]["std"] == fold.encoder["state"]["std"]
        assert again[number].shape == fold.shape
        others = [again[i] for i in range(3) if i != number]
        assert all(other.encoder["state"]["mean"] != fold.encoder["state"]["mean"] for other in others)


def test_categories_and_fill_ins_are_of_the_folds_training_part():
    size = np.where(np.arange(60) % 6 == 0, np.nan, X[:, 1])
    where = np.array(["north", "south", "west"])[np.arange(60) % 3]
    first = folds(table(size=size, where=where), 3, 0)
    for number, fold in enumerate(first):
        held = rows(fold, "val")
        strange = where.copy().astype(object)
        strange[held] = "elsewhere"
        again = folds(table(size=damaged(size, held), where=strange), 3, 0)
        assert again[number].encoder == fold.encoder
        assert again[number].encoder != first[number - 1].encoder


def test_standardised_by_its_own_training_part():
    for fold in folds(plan(y=NUMBERS), 4, 1):
        batch = fold.train.take(fold.train.index)
        for name in ("x", "y"):
            assert batch[name].mean(0).abs().max() < 1e-5
            assert (batch[name].std(0, correction=0) - 1).abs().max() < 1e-4


@pytest.mark.parametrize("dtype", [np.uint8, np.float64])
def test_folds_of_images_share_one_copy(dtype):
    made = folds(plan(IMAGES.astype(dtype)), 4, 0)
    assert len({fold.train.fields["x"].data_ptr() for fold in made}) == 1
    assert len({fold.train.fields["y"].data_ptr() for fold in made}) == 1
    assert all(part.fields is made[0].train.fields for fold in made for part in fold.parts.values())
    assert len({fold.shape.inputs["x"].mean for fold in made}) == 4  # the statistics are each fold's own
    assert len({fold.fingerprint for fold in made}) == 1


def test_folds_of_numbers_share_only_their_classes():
    made = folds(plan(), 3, 0)
    assert len({fold.train.fields["x"].data_ptr() for fold in made}) == 3
    assert len({fold.train.fields["y"].data_ptr() for fold in made}) == 1
    assert len({fold.fingerprint for fold in made}) == 3
    assert all(fold.fingerprint == datasets.fingerprint(fold.train.fields) for fold in made)


def test_a_fold_is_the_same_as_if_it_were_the_only_division():
    fold = folds(plan(), 3, 5)[2]
    division = rows(fold, "train"), rows(fold, "val"), np.zeros(0, np.int64)
    alone = datasets.assemble(datasets.describe(plan()), division)
    assert torch.equal(alone.train.fields["x"], fold.train.fields["x"])
    assert (alone.encoder, alone.shape, alone.notes) == (fold.encoder, fold.shape, fold.notes)
    assert alone.fingerprint == fold.fingerprint


def test_the_source_is_read_once(monkeypatch):
    reads = []
    read = datasets.read
    monkeypatch.setattr(datasets, "read", lambda *given: reads.append(1) or read(*given))
    folds(plan(), 5, 0)
    assert len(reads) == 1


def test_the_seed_alone_decides():
    first, again, other = (folds(plan(), 3, seed) for seed in (7, 7, 8))
    assert all((rows(a, "val") == rows(b, "val")).all() for a, b in zip(first, again, strict=True))
    assert any((rows(a, "val") != rows(b, "val")).any() for a, b in zip(first, other, strict=True))


def test_a_test_part_that_is_asked_for_is_the_same_in_all_folds_and_when_loaded():
    made = folds(plan(test=0.2), 4, 3)
    wanted = load(plan(test=0.2), 3).test.index
    assert all(torch.equal(fold.test.index, wanted) for fold in made)
    held = np.concatenate([rows(fold, "val") for fold in made])
    assert sorted([*held, *wanted.tolist()]) == list(range(60))


@pytest.mark.parametrize("wanted", ["auto", 0])
def test_a_test_part_that_the_source_sets_apart_is_in_no_fold(tmp_path, wanted):
    from PIL import Image

    for part in ("train", "test"):
        for label in ("cat", "dog"):
            (tmp_path / part / label).mkdir(parents=True)
            for number in range(6):
                pixels = GENERATOR.integers(0, 256, (8, 8), dtype=np.uint8)
                Image.fromarray(pixels).save(tmp_path / part / label / f"{number}.png")
    made = folds(DataPlan(source=str(tmp_path), test=wanted), 3, 0)
    apart = load(DataPlan(source=str(tmp_path))).test.index
    held = np.concatenate([rows(fold, "val") for fold in made])
    assert len(apart) == 12
    assert sorted(held) == sorted(set(range(24)) - set(apart.tolist()))
    for fold in made:
        assert fold.test is None if wanted == 0 else torch.equal(fold.test.index, apart)


def test_without_supervision_there_is_no_target():
    made = folds(plan(), 3, 0, supervised=False)
    assert all(list(fold.train.fields) == ["x"] and fold.shape.target.kind == "none" for fold in made)


@pytest.mark.parametrize(
    ("given_plan", "count", "error", "told"),
    [
        (plan(), 1, PlanError, "1 folds are asked for"),
        (plan(), 61, DataError, "60 samples for 61 folds"),
        (plan(test=50), 11, DataError, "10 samples for 11 folds"),
        (DataPlan(source=table(who=np.arange(60) % 3).source.value, target="y", group="who"), 4, DataError,
         "3 groups for 4 folds"),
        (DataPlan(source=table(day=np.arange(60) % 4).source.value, target="y", time="day"), 4, DataError,
         "4 different times for 5 pieces"),
        (plan(group="who"), 3, DataError, "no such column"),
        (plan(y=np.ones(60)), 3, DataError, "only one class"),
    ],
    ids=["one", "samples", "after the test", "groups", "times", "no group", "one class"],
)  # fmt: skip
def test_folds_that_cannot_be_are_refused(given_plan, count, error, told):
    with pytest.raises(error, match=told):
        folds(given_plan, count, 0)


def subset(data, size, seed=0):
    return resampled(data, size, seed, replace=False)


@given(st.lists(st.integers(2, 40), min_size=2, max_size=4), seeds, st.data())
@settings(max_examples=40, deadline=None)
def test_smaller_training_parts_are_nested_and_keep_the_shares_of_the_classes(sizes, seed, draw):
    labels = np.repeat([f"class {k}" for k in range(len(sizes))], sizes)
    if len(sizes) > len(labels) / 2:
        return
    data = load(plan(np.zeros((len(labels), 1)), labels, validation=0, test=0))
    small, large = sorted(draw.draw(st.tuples(st.integers(1, len(labels)), st.integers(1, len(labels)))))
    few, many = (subset(data, size, seed) for size in (small, large))
    assert (len(few.train), len(many.train)) == (small, large)
    assert set(rows(few, "train")) <= set(rows(many, "train"))
    assert len(set(rows(many, "train"))) == large
    here = np.bincount(codes_of(many, "train"), minlength=len(sizes))
    assert (here > 0).all() or large < len(sizes)
    assert (np.abs(here - large * np.array(sizes) / sum(sizes)) <= len(sizes)).all()


@pytest.mark.parametrize("replace", [False, True])
def test_only_the_training_part_is_another_and_it_is_drawn_from_the_old_one(replace):
    data = load(plan(y=NUMBERS))
    made = resampled(data, 20, 1, replace)
    assert made.train.fields is data.train.fields
    assert made.validation is data.validation
    assert (made.test, made.shape, made.encoder) == (data.test, data.shape, data.encoder)
    assert made.parts["train"] is made.train
    assert len(made.train) == 20
    assert set(rows(made, "train")) <= set(rows(data, "train"))
    assert not np.array_equal(rows(resampled(data, 20, 2, replace), "train"), rows(made, "train"))
    np.testing.assert_array_equal(rows(resampled(data, 20, 1, replace), "train"), rows(made, "train"))


def test_a_bootstrap_resample_holds_each_sample_as_often_as_chance_wills():
    data = load(plan(validation=0, test=0))
    drawn = np.stack(
        [np.bincount(rows(resampled(data, None, s, True), "train"), minlength=60) for s in range(400)]
    )
    assert (drawn.sum(1) == 60).all()
    assert (drawn > 0).mean() == pytest.approx(1 - (1 - 1 / 60) ** 60, abs=0.01)
    assert np.abs(drawn.mean(0) - 1).max() < 0.25  # five standard errors


def test_all_samples_without_replacement_are_the_training_part():
    data = load(plan())
    assert torch.equal(resampled(data, None, 3, replace=False).train.index, data.train.index)


@pytest.mark.parametrize(("size", "replace"), [(0, False), (0, True), (61, False), (-1, True)])
def test_sizes_that_cannot_be_drawn_are_refused(size, replace):
    with pytest.raises(DataError, match="samples are asked of a training part of 60"):
        resampled(load(plan(validation=0, test=0)), size, 0, replace)
