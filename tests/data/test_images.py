"""Folders of pictures: classes are folders, pictures get one size, and what can't be read is named."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from fitwell.data.images import KIND
from fitwell.errors import DataError
from fitwell.plan import DataPlan, Memory
from fitwell.shape import Input, Shape, Target


def picture(mode="RGB", size=(10, 8), seed=0):
    """Width x height, random values."""
    channels = len(Image.new(mode, (1, 1)).getbands())
    values = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], channels), dtype=np.uint8)
    return Image.fromarray(values.squeeze(-1) if channels == 1 else values, mode=None)


def save(image, path, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, **options)
    return path


@pytest.fixture
def photos(tmp_path):
    """Two classes of two pictures."""
    for label in ("cat", "dog"):
        for number in range(2):
            save(picture(seed=number), tmp_path / "photos" / label / f"{number}.png")
    return tmp_path / "photos"


def read(source, like=None, **values):
    return KIND.read(DataPlan(source=str(source), **values), like)


def like(*shape):
    return Shape({"x": Input("image", shape)}, Target("binary", ("cat", "dog")))


def test_classes_are_folders_and_pixels_are_kept(photos):
    samples = read(photos)
    assert samples.raw.shape == (4, 3, 8, 10)
    assert samples.raw.dtype == np.uint8
    assert list(samples.target) == ["cat", "cat", "dog", "dog"]
    assert samples.rows == ("cat/0.png", "cat/1.png", "dog/0.png", "dog/1.png")
    assert samples.notes == ()
    np.testing.assert_array_equal(samples.raw[1].transpose(1, 2, 0), np.asarray(picture(seed=1)))


@pytest.mark.parametrize("suffix", [".png", ".JPG", ".jpeg", ".bmp", ".webp"])
def test_formats(tmp_path, suffix):
    for label in "ab":
        save(Image.new("RGB", (8, 8), (200, 100, 50)), tmp_path / label / f"1{suffix}")
    values = read(tmp_path).raw
    assert np.abs(values.astype(int) - np.array([200, 100, 50]).reshape(3, 1, 1)).max() <= 4


def test_grey_only_if_all_are(tmp_path):
    save(picture("L"), tmp_path / "a" / "1.png")
    save(picture("L"), tmp_path / "b" / "1.png")
    assert read(tmp_path).raw.shape == (2, 1, 8, 10)
    save(picture("RGB"), tmp_path / "b" / "2.png")
    samples = read(tmp_path)
    assert samples.raw.shape == (3, 3, 8, 10)
    assert samples.notes == ("2 grey pictures are read as colour, as the others are",)


def test_sixteen_bits_are_scaled(tmp_path):
    wide = np.array([[0, 257, 32768, 65535]], dtype=np.uint16)
    for label in "ab":
        save(Image.fromarray(wide), tmp_path / label / "1.png")
    assert read(tmp_path).raw[0].tolist() == [[[0, 1, 128, 255]]]


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparency_is_laid_on_white(tmp_path, mode):
    clear = Image.new("RGBA", (2, 1), (0, 0, 0, 0))
    clear.putpixel((1, 0), (0, 0, 0, 255))
    for label in "ab":
        save(clear.convert(mode), tmp_path / label / "1.png")
    assert read(tmp_path).raw[0, 0].tolist() == [[255, 0]]


def test_a_transparent_palette_is_laid_on_white(tmp_path):
    for label in "ab":
        save(Image.new("P", (1, 1), 0), tmp_path / label / "1.png", transparency=b"\0")
    assert read(tmp_path).raw[0].ravel().tolist() == [255, 255, 255]


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_the_orientation_of_the_camera_is_applied(tmp_path, suffix):
    upright = Image.new("L", (16, 8))
    upright.paste(255, (8, 0, 16, 8))  # right half is white
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise
    for label in "ab":
        save(upright, tmp_path / label / f"1{suffix}", exif=exif)
    values = read(tmp_path).raw[0, 0]
    assert values.shape == (16, 8)
    assert values[:7].max() < 30
    assert values[9:].min() > 225


@pytest.mark.parametrize(
    ("sizes", "wanted"),
    [
        ([(28, 28), (28, 28)], (28, 28)),
        ([(128, 64), (128, 64)], (32, 64)),
        ([(30, 22), (40, 22), (50, 23)], (24, 40)),
        ([(600, 400), (640, 480), (800, 600)], (48, 64)),
        ([(3, 2), (2, 2), (2, 3)], (8, 8)),
    ],
)
def test_sizes(tmp_path, sizes, wanted):
    for label in "ab":
        for size in sizes:
            save(picture(size=size), tmp_path / label / f"{size}.png")
    samples = read(tmp_path)
    assert samples.raw.shape[2:] == wanted
    resized = {(height, width) for width, height in sizes} != {wanted}
    assert bool(samples.notes) == resized
    if resized:
        assert f"to {wanted[0]}x{wanted[1]}" in samples.notes[0]


def test_a_large_jpeg_keeps_its_picture(tmp_path):
    halves = Image.new("RGB", (1000, 500), "white")
    halves.paste("black", (0, 0, 500, 500))
    for label in "ab":
        save(halves, tmp_path / label / "1.jpg")
    values = read(tmp_path).raw[0]
    assert values.shape == (3, 32, 64)
    assert values[:, :, :30].max() < 10
    assert values[:, :, 34:].min() > 245


def test_a_division_that_is_there_is_kept(photos):
    for part in ("Train", "test"):
        for label in ("cat", "dog"):
            save(picture(), photos.parent / "divided" / part / label / "1.png")
    samples = read(photos.parent / "divided")
    assert samples.rows[2:] == ("test/cat/1.png", "test/dog/1.png")
    np.testing.assert_array_equal(samples.test, [2, 3])
    save(picture(), photos.parent / "divided" / "val" / "cat" / "1.png")
    samples = read(photos.parent / "divided")
    assert samples.count == 5
    np.testing.assert_array_equal(samples.test, [3, 4])
    assert "divided anew" in samples.notes[0]


def test_trains_may_be_a_class(tmp_path):
    for label in ("train", "car"):
        save(picture(), tmp_path / label / "1.png")
    assert list(read(tmp_path).target) == ["car", "train"]


def test_what_is_left_out_is_counted(photos):
    (photos / "cat" / "notes.txt").write_text("x")
    (photos / "readme.md").write_text("x")
    (photos / "cat" / ".hidden.png").write_text("x")
    (photos / ".git").mkdir()
    (photos / "__MACOSX").mkdir()
    save(picture(), photos / "loose.png")
    samples = read(photos)
    assert samples.count == 4
    assert samples.notes == (
        "1 pictures outside of the class folders are left out",
        "files that are no pictures are left out: 2, for example readme.md",
    )


def test_links_in_a_circle_end(photos):
    (photos / "cat" / "self").symlink_to(photos / "cat")
    (photos / "up").symlink_to(photos)
    (photos / "round").symlink_to(photos / "round")
    assert read(photos).count == 4


def test_new_pictures_get_the_size_and_channels_of_the_model(photos):
    assert read(photos, like(1, 16, 16)).raw.shape == (4, 1, 16, 16)
    flat = read(photos / "cat", like(3, 8, 10))
    assert flat.raw.shape == (2, 3, 8, 10)
    assert flat.target is None
    assert flat.rows == ("0.png", "1.png")
    one = read(photos / "cat" / "1.png", like(3, 8, 10))
    assert one.target is None
    assert one.rows == ("1.png",)


def test_a_flat_folder_will_do_where_no_target_is_wanted(photos):
    assert read(photos / "cat", task="none").target is None


def damaged(folder):
    path = folder / "cat" / "0.png"
    path.write_bytes(path.read_bytes()[:60])


def another_format(folder):
    picture().save(folder / "cat" / "0.png", format="GIF")


def only_one_class(folder):
    for path in (folder / "dog").iterdir():
        path.unlink()
    (folder / "dog").rmdir()


def a_new_class_in_test(folder):
    folder.rename(folder.parent / "train")
    folder.mkdir()
    (folder.parent / "train").rename(folder / "train")
    save(picture(), folder / "test" / "cow" / "1.png")


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (damaged, r"cat/0\.png can't be read"),
        (another_format, r"cat/0\.png can't be read"),
        (lambda folder: (folder / "cow").mkdir(), r"class folder .*cow holds no pictures"),
        (only_one_class, "only one class: cat"),
        (a_new_class_in_test, "class 'cow'"),
    ],
)
def test_what_is_wrong_is_named(photos, spoil, says):
    spoil(photos)
    with pytest.raises(DataError, match=says):
        read(photos)


def test_folders_without_pictures_are_refused(photos, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="empty holds no pictures"):
        read(tmp_path / "empty")
    with pytest.raises(DataError, match="no folder for each class"):
        read(photos / "cat")
    with pytest.raises(DataError, match="no file or folder"):
        read(tmp_path / "gone.png")
    with pytest.raises(DataError, match="one target of its own"):
        read(photos, target="y")
    with pytest.raises(DataError, match="model of other data"):
        read(photos, Shape({"x": Input("numbers", (4,))}, Target("none")))


def test_decompression_bombs_are_refused(photos, monkeypatch):
    for limit in (70, 30):  # Pillow warns above the limit, and raises above twice the limit
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
        with pytest.raises(DataError, match=r"cat/0\.png has too many pixels"):
            read(photos)


@given(st.integers(0, 400), st.integers(1, 255), st.sampled_from([".png", ".jpg", ".bmp", ".webp"]))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
def test_damage_is_read_over_or_refused(photos, position, change, suffix):
    path = save(picture(), photos / "dog" / f"2{suffix}")
    content = bytearray(path.read_bytes())
    content[position % len(content)] ^= change
    path.write_bytes(content)
    refused = ""
    try:
        assert read(photos).count == 5
    except DataError as error:
        refused = str(error)
    path.unlink()
    assert not refused or path.name in refused


def test_recognises(photos, tmp_path):
    (tmp_path / "idx").mkdir()
    (tmp_path / "idx" / "train-images-idx3-ubyte").write_bytes(b"")
    assert all(KIND.recognises(source) for source in (str(photos), "one.JPG"))
    assert not any(KIND.recognises(s) for s in (str(tmp_path / "idx"), "a.csv", "x" * 5000, Memory("a.png")))
