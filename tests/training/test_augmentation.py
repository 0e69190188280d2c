"""Views change the picture alone, each its own; mixtures stay distributions."""

import pytest
import torch

from fitwell.training.augmentation import VIEWS, augment, color, flip, mixup, rotate, shift

SHAPES = [(16, 1, 8, 8), (16, 1, 28, 28), (5, 3, 32, 24)]


def pictures(shape: tuple[int, ...], dtype: torch.dtype = torch.uint8) -> torch.Tensor:
    return torch.randint(0, 256, shape, generator=torch.Generator().manual_seed(1)).to(dtype)


@pytest.mark.parametrize("name", VIEWS)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_a_view_keeps_shape_and_dtype_and_its_input(name, shape, dtype):
    x = pictures(shape, dtype)
    before = x.clone()
    seen = augment(x, (name,))
    assert seen.shape == x.shape
    assert seen.dtype == x.dtype
    assert torch.equal(x, before)
    assert not torch.equal(seen, x)


@pytest.mark.parametrize("name", VIEWS)
def test_each_sample_gets_its_own_view(name):
    x = pictures((1, 3, 16, 16)).expand(64, -1, -1, -1)
    torch.manual_seed(0)
    assert len({tuple(one.flatten().tolist()) for one in augment(x, (name,))}) > 1


@pytest.mark.parametrize("name", VIEWS)
def test_a_sample_does_not_depend_on_the_others(name):
    x = pictures((8, 3, 16, 16), torch.float32)
    other = x.clone()
    other[1:] = 0
    torch.manual_seed(0)
    first = augment(x, (name,))[0]
    torch.manual_seed(0)
    assert torch.equal(first, augment(other, (name,))[0])


@pytest.mark.parametrize("name", VIEWS)
def test_the_draws_come_from_torchs_default_generator(name):
    x = pictures((8, 3, 16, 16))
    torch.manual_seed(5)
    first = augment(x, (name,))
    torch.manual_seed(5)
    assert torch.equal(first, augment(x, (name,)))


def test_no_names_change_nothing():
    x = pictures((4, 1, 8, 8))
    assert augment(x, ()) is x


@pytest.mark.parametrize(("side", "reach"), [(8, 1), (28, 3), (32, 4)])
def test_shift_moves_up_to_an_eighth_each_way_alike(side, reach):
    torch.manual_seed(0)
    x = torch.zeros(4000, 1, side, side, dtype=torch.uint8)
    x[:, 0, side // 2, side // 2] = 1
    spot = shift(x).flatten(1).float().argmax(1)
    for offset in (spot // side - side // 2, spot % side - side // 2):
        counts = torch.bincount(offset + reach, minlength=2 * reach + 1)
        assert len(counts) == 2 * reach + 1
        expected = 4000 / len(counts)
        assert (
            (counts - expected).square() / expected
        ).sum() < 35  # chi-square, 8 degrees of freedom: p < 1e-4


def test_a_shift_of_zero_keeps_the_picture_and_edges_are_repeated():
    x = pictures((8, 3, 16, 16))
    assert torch.equal(shift(x, most=0), x)
    ones = torch.ones(8, 1, 16, 16)
    assert torch.equal(shift(ones, most=4), ones)


def test_flip_is_an_involution_and_meets_half():
    x = pictures((6, 3, 8, 10))
    which = torch.tensor([True, False, True, True, False, False])
    once = flip(x, which)
    assert torch.equal(once[0], x[0].flip(2))
    assert torch.equal(once[1], x[1])
    assert torch.equal(flip(once, which), x)
    torch.manual_seed(0)
    many = pictures((1, 1, 4, 4)).expand(2000, -1, -1, -1)
    changed = (flip(many) != many).flatten(1).any(1).float().mean()
    assert 0.45 < float(changed) < 0.55


def test_rotation_by_zero_keeps_and_by_a_quarter_turns_the_picture():
    x = pictures((3, 1, 9, 9))
    assert torch.equal(rotate(x, torch.zeros(3)), x)
    quarter = rotate(x, torch.full((3,), torch.pi / 2))
    assert torch.equal(quarter, x.rot90(1, (2, 3))) or torch.equal(quarter, x.rot90(-1, (2, 3)))


def test_rotation_of_an_oblong_picture_keeps_distances():
    x = torch.zeros(1, 1, 21, 41)
    x[0, 0, 10, 28] = 1  # eight pixels to the right of the middle
    turned = rotate(x, torch.tensor([torch.pi / 2]))
    place = int(turned.flatten().argmax())
    assert abs(place // 41 - 10) == 8
    assert place % 41 == 20


def test_color_leaves_gray_gray_and_changes_saturation_of_colour():
    gray = pictures((8, 1, 8, 8), torch.float32).expand(-1, 3, -1, -1)
    seen = color(gray)
    torch.testing.assert_close(seen[:, 0], seen[:, 2])
    x = pictures((64, 3, 8, 8))
    assert color(x).dtype == torch.uint8


def test_mixed_classes_are_probabilities_and_inputs_follow_the_same_share():
    torch.manual_seed(0)
    y = torch.arange(50) % 5
    batch = {
        "x": y.to(torch.uint8).view(-1, 1, 1, 1).expand(-1, 1, 4, 4),
        "numbers": y.float()[:, None],
        "y": y,
    }
    mixed = mixup(batch, 0.4, 5)
    torch.testing.assert_close(mixed["y"].sum(1), torch.ones(50))
    assert (mixed["y"] >= 0).all()
    assert ((mixed["y"] > 0).sum(1) > 1).any()
    # x is the class itself, so the mixed x is the expectation of the mixed y
    expected = mixed["y"] @ torch.arange(5.0)
    torch.testing.assert_close(mixed["x"][:, 0, 0, 0], expected)
    torch.testing.assert_close(mixed["numbers"][:, 0], expected)
    assert batch["y"] is y


def test_mixed_numbers_are_mixed_and_their_mean_is_kept_on_average():
    torch.manual_seed(0)
    x = torch.randn(20_000, 1)
    mixed = mixup({"x": x, "y": 2 * x}, 1.0, 1)
    torch.testing.assert_close(mixed["y"], 2 * mixed["x"])
    # Beta(1, 1) is uniform: the variance of s a + (1 - s) b is 2/3
    assert float(mixed["x"].var()) == pytest.approx(2 / 3, abs=0.03)


def test_a_small_alpha_mixes_little():
    torch.manual_seed(0)
    x = torch.randn(2000, 1)
    moved = (mixup({"x": x, "y": x}, 0.01, 1)["x"] - x).abs()
    near = torch.minimum(moved, torch.ones_like(moved))
    assert float((near < 1e-3).float().mean()) > 0.4
