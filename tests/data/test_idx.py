"""idx files: the format round trips, damage is named, files are found or fetched unchanged."""

import gzip
import hashlib
import io
import os
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from fitwell.data import idx
from fitwell.data.encoding.pixels import ENCODING, unit_statistics
from fitwell.data.idx import FILES, KIND, read_idx
from fitwell.errors import DataError, StorageError
from fitwell.plan import DataPlan, Memory

CODES = {"u1": 8, "i1": 9, "i2": 11, "i4": 12, "f4": 13, "f8": 14}
SHARED = Path(os.environ.get("FITWELL_DATA") or Path(__file__).parents[3] / "shared" / "data")


def idx_bytes(values):
    code = CODES[values.dtype.str[1:]]
    sizes = struct.pack(f">{values.ndim}I", *values.shape)
    return bytes([0, 0, code, values.ndim]) + sizes + values.astype(values.dtype.newbyteorder(">")).tobytes()


def write(path, values):
    path.parent.mkdir(parents=True, exist_ok=True)
    content = idx_bytes(values)
    path.write_bytes(gzip.compress(content, mtime=0) if path.suffix == ".gz" else content)


def small_set(folder, suffix=".gz", train=6, test=2):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (train + test, 4, 4), dtype=np.uint8)
    labels = np.arange(train + test, dtype=np.uint8) % 10
    write(folder / f"{FILES[0]}{suffix}", images[:train])
    write(folder / f"{FILES[1]}{suffix}", labels[:train])
    write(folder / f"{FILES[2]}{suffix}", images[train:])
    write(folder / f"{FILES[3]}{suffix}", labels[train:])
    return images, labels


def read(source):
    return KIND.read(DataPlan(source=source), None)


@pytest.fixture(autouse=True)
def _alone(tmp_path, monkeypatch):
    """No data of this machine, no network."""
    monkeypatch.delenv("FITWELL_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("FITWELL_OFFLINE", "1")


arrays = st.sampled_from(sorted(CODES)).flatmap(
    lambda dtype: hnp.arrays(dtype, hnp.array_shapes(max_dims=4, max_side=5, min_side=0))
)


@given(arrays, st.sampled_from(["", ".gz"]))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_format_round_trips(tmp_path, values, suffix):
    path = tmp_path / f"values-idx{suffix}"
    write(path, values)
    back = read_idx(path)
    assert back.dtype == values.dtype
    np.testing.assert_array_equal(back, values)


@given(st.data(), st.booleans())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_file_cut_anywhere_is_refused_by_name(tmp_path, data, packed):
    path = tmp_path / ("cut.gz" if packed else "cut")
    write(path, np.arange(60, dtype=np.uint8).reshape(3, 4, 5))
    content = path.read_bytes()
    path.write_bytes(content[: data.draw(st.integers(0, len(content) - 1))])
    with pytest.raises(DataError, match="cut"):
        read_idx(path)


@given(st.binary(max_size=40))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_are_read_or_refused(tmp_path, content):
    path = tmp_path / "any"
    path.write_bytes(content)
    try:
        values = read_idx(path)
    except DataError:
        return
    assert idx_bytes(values) == content


def test_a_cut_file_is_refused_with_its_bytes(tmp_path):
    write(tmp_path / "cut", np.zeros((3, 4, 5), np.uint8))
    (tmp_path / "cut").write_bytes((tmp_path / "cut").read_bytes()[:-9])
    with pytest.raises(DataError, match="ends after 51 of 60 bytes"):
        read_idx(tmp_path / "cut")


def test_a_changed_byte_is_noticed(tmp_path):
    path = tmp_path / "changed.gz"
    write(path, np.random.default_rng(0).integers(0, 256, (50, 50), dtype=np.uint8))
    content = bytearray(path.read_bytes())
    content[1000] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"changed.gz is damaged"):
        read_idx(path)


def test_a_header_that_lies_takes_no_memory(tmp_path):
    (tmp_path / "lie").write_bytes(bytes([0, 0, 8, 3]) + b"\xff" * 12)
    with pytest.raises(DataError, match="which it can't hold"):
        read_idx(tmp_path / "lie")


@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize("name", ["mnist", "MNIST"])
def test_a_named_set_is_found_in_fitwell_data(tmp_path, monkeypatch, name, suffix):
    images, labels = small_set(tmp_path / "mnist", suffix)
    for home in (tmp_path, tmp_path / "mnist"):
        monkeypatch.setenv("FITWELL_DATA", str(home))
        samples = read(name)
        np.testing.assert_array_equal(samples.raw, images)
        np.testing.assert_array_equal(samples.target, labels.astype(str))
        np.testing.assert_array_equal(samples.test, [6, 7])
        assert samples.raw.dtype == np.uint8
        assert samples.count == 8


@pytest.mark.parametrize("folder", ["fashion_mnist", "fashion-mnist"])
def test_fashion_has_names(tmp_path, monkeypatch, folder):
    small_set(tmp_path / folder)
    monkeypatch.setenv("FITWELL_DATA", str(tmp_path))
    assert list(read("fashion-mnist").target[:2]) == ["T-shirt/top", "trouser"]
    assert list(read(str(tmp_path / folder)).target[:2]) == ["T-shirt/top", "trouser"]


def test_one_set_is_not_taken_for_the_other(tmp_path, monkeypatch):
    small_set(tmp_path / "fashion_mnist")
    monkeypatch.setenv("FITWELL_DATA", str(tmp_path / "fashion_mnist"))
    with pytest.raises(DataError, match="mnist is not on this machine"):
        read("mnist")


def test_recognises(tmp_path):
    small_set(tmp_path / "own")
    (tmp_path / "empty").mkdir()
    assert all(KIND.recognises(s) for s in ("mnist", "Fashion-MNIST", str(tmp_path / "own")))
    others = ("digits", "mnist.csv", str(tmp_path / "empty"), "x" * 5000, "a\0b", Memory("mnist"))
    assert not any(KIND.recognises(s) for s in others)


def test_a_missing_file_is_named(tmp_path):
    small_set(tmp_path / "own")
    (tmp_path / "own" / f"{FILES[3]}.gz").unlink()
    with pytest.raises(DataError, match=f"has no {FILES[3]}"):
        read(str(tmp_path / "own"))


def test_images_and_labels_must_agree(tmp_path):
    small_set(tmp_path / "own")
    write(tmp_path / "own" / f"{FILES[1]}.gz", np.zeros(5, np.uint8))
    with pytest.raises(DataError, match=r"labels \(7,\)"):
        read(str(tmp_path / "own"))
    write(tmp_path / "own" / f"{FILES[0]}.gz", np.zeros((5, 4, 3), np.uint8))
    with pytest.raises(DataError, match="differ"):
        read(str(tmp_path / "own"))


def test_a_label_outside_the_range_is_refused(tmp_path, monkeypatch):
    small_set(tmp_path / "mnist")
    write(tmp_path / "mnist" / f"{FILES[3]}.gz", np.array([3, 10], np.uint8))
    monkeypatch.setenv("FITWELL_DATA", str(tmp_path))
    with pytest.raises(DataError, match="label 10 of sample 7 is outside the range"):
        read("mnist")


def test_another_target_is_refused():
    with pytest.raises(DataError, match="one target of its own"):
        KIND.read(DataPlan(source="mnist", target="y"), None)


# --- downloading


@pytest.fixture
def mirrors(tmp_path, monkeypatch):
    """A server of two mirrors, as {address: content}; the asked addresses are kept in ``asked``."""
    small_set(tmp_path / "server")
    contents = [(tmp_path / "server" / f"{file}.gz").read_bytes() for file in FILES]
    served, asked = {}, []
    source = idx.Source(
        mirrors=("https://first/", "https://second/"),
        md5=tuple(hashlib.md5(content).hexdigest() for content in contents),
        classes=tuple("0123456789"),
    )

    def urlopen(address, timeout):
        asked.append(address)
        if address not in served:
            raise OSError(f"no route to {address}")
        return io.BytesIO(served[address])

    monkeypatch.setitem(idx.SOURCES, "mnist", source)
    monkeypatch.setattr(idx.urllib.request, "urlopen", urlopen)
    monkeypatch.delenv("FITWELL_OFFLINE")
    for file, content in zip(FILES, contents, strict=True):
        served[f"https://second/{file}.gz"] = content
    return served, asked


def test_files_are_fetched_once_from_the_mirror_that_answers(mirrors, tmp_path):
    _, asked = mirrors
    assert read("mnist").count == 8
    assert asked[:2] == [f"https://{mirror}/{FILES[0]}.gz" for mirror in ("first", "second")]
    folder = tmp_path / "cache" / "fitwell" / "mnist"
    assert sorted(path.name for path in folder.iterdir()) == sorted(f"{file}.gz" for file in FILES)
    asked.clear()
    assert read("mnist").count == 8
    assert not asked


def test_a_changed_download_is_refused_and_not_kept(mirrors, tmp_path):
    served, _ = mirrors
    served[f"https://second/{FILES[2]}.gz"] += b"!"
    with pytest.raises(DataError, match="MD5") as error:
        read("mnist")
    text = str(error.value)
    assert all(word in text for word in ("https://first/", "https://second/", "FITWELL_DATA", "no route"))
    folder = tmp_path / "cache" / "fitwell" / "mnist"
    assert sorted(path.name for path in folder.iterdir()) == sorted(f"{file}.gz" for file in FILES[:2])


def test_offline_asks_nobody(mirrors, monkeypatch):
    _, asked = mirrors
    monkeypatch.setenv("FITWELL_OFFLINE", "1")
    with pytest.raises(DataError, match="FITWELL_OFFLINE is set"):
        read("mnist")
    assert not asked


def test_a_cache_that_cannot_be_made_is_said(mirrors, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(StorageError, match="can't write"):
        read("mnist")


# --- the real sets


@pytest.mark.skipif(not (SHARED / "mnist").is_dir(), reason="MNIST is not in FITWELL_DATA")
def test_mnist_statistics_come_out_by_themselves_in_one_copy(monkeypatch):
    monkeypatch.setenv("FITWELL_DATA", str(SHARED))
    tracemalloc.start()
    samples = read("mnist")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert samples.raw.shape == (70_000, 28, 28)
    assert peak < 1.1 * samples.raw.nbytes
    assert samples.test.tolist() == list(range(60_000, 70_000))
    assert list(samples.target[:5]) == list("50419")
    state = ENCODING.fit(samples.raw, np.arange(60_000))
    assert unit_statistics(state) == ((0.1307,), (0.3081,))
