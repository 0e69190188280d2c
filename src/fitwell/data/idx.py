"""MNIST and Fashion-MNIST, in the idx format of LeCun, Cortes and Burges (1998).

    magic   0, 0, type of the values, number of dimensions   (a byte each)
    sizes   of each dimension, the first is the sample        (big-endian, 4 bytes each)
    values  row by row                                        (big-endian)

The files are looked for in ``$FITWELL_DATA/<name>``, in ``$FITWELL_DATA`` itself, and in the cache
(``$XDG_CACHE_HOME/fitwell/<name>``, by default ``~/.cache``); else they are downloaded into the cache, unless
``FITWELL_OFFLINE`` is set.
"""

from __future__ import annotations

import gzip
import hashlib
import math
import os
import urllib.request
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np

from fitwell.data.bundled import refuse_other_target
from fitwell.data.contract import Kind, Samples
from fitwell.errors import DataError, StorageError
from fitwell.plan import DataPlan
from fitwell.shape import Shape

FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
DTYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
PIECE = 2**20  # bytes read at a time, so that no second copy of the data arises
DEFLATE_MOST = 1032  # zlib.net/zlib_tech.html: no byte of a compressed file holds more than these
TIMEOUT = 30  # seconds without an answer


@dataclass(frozen=True)
class Source:
    """A published set: where its four files are, their MD5 in the order of FILES, and its classes."""

    mirrors: tuple[str, ...]
    md5: tuple[str, ...]
    classes: tuple[str, ...]


SOURCES = {
    "mnist": Source(
        mirrors=(
            "https://ossci-datasets.s3.amazonaws.com/mnist/",
            "https://storage.googleapis.com/cvdf-datasets/mnist/",
        ),
        md5=(
            "f68b3c2dcbeaaa9fbdd348bbdeb94873",
            "d53e105ee54ea40749a09fcbcd1e9432",
            "9fb629c4189551a2d022fa330f9573f3",
            "ec29112dd5afa0611ce80d1b7f02629c",
        ),
        classes=tuple("0123456789"),
    ),
    "fashion_mnist": Source(
        mirrors=("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",),
        md5=(
            "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
            "25c81989df183df01b3e8a0aad5dffbe",
            "bef4ecab320f06d8554ea6380940ec79",
            "bb300cfdad3c16e7a12a480ee83cd310",
        ),
        classes=(
            "T-shirt/top",
            "trouser",
            "pullover",
            "dress",
            "coat",
            "sandal",
            "shirt",
            "sneaker",
            "bag",
            "ankle boot",
        ),
    ),
}


def recognises(source: Any) -> bool:
    """Whether it is the name of a set (hyphens and capitals are forgiven) or a folder with idx files."""
    return isinstance(source, str) and (_name(source) in SOURCES or is_idx_folder(Path(source)))


def is_idx_folder(folder: Path) -> bool:
    """Whether at least one of the four files is there."""
    return any(_find(folder, file) for file in FILES)


def read(plan: DataPlan, like: Shape | None = None) -> Samples:
    """Images (N, 28, 28) uint8, the training samples first, then those set apart for testing.

    Raises:
        DataError: files are missing and can't be downloaded, or are damaged; it names them.
        StorageError: the cache can't be written.
    """
    if like is None:
        refuse_other_target(plan)
    name = _name(plan.source)
    folder = _locate(name) if name in SOURCES else Path(plan.source)
    images, tested = _join(_paths(folder, FILES[0::2]))
    labels, labels_tested = _join(_paths(folder, FILES[1::2]))
    if labels.ndim != 1 or images.ndim != 3 or (len(images), tested) != (len(labels), labels_tested):
        raise DataError(
            f"{folder}: images are {images.shape} and labels {labels.shape}, of them {tested:,} and "
            f"{labels_tested:,} for testing",
            "images (N, H, W) and as many labels (N,)",
            "restore the files, or remove them to download them again",
        )
    return Samples(
        raw=images,
        count=len(images),
        target=_named(labels, _name(folder.name), folder),
        target_names=("class",),
        test=np.arange(len(images) - tested, len(images), dtype=np.int64),
    )


def _name(source: str) -> str:
    return source.lower().replace("-", "_")


def _named(labels: np.ndarray, name: str, folder: Path) -> np.ndarray:
    if name not in SOURCES:
        return labels.astype(str)
    classes = np.array(SOURCES[name].classes)
    if labels.max(initial=0) >= len(classes):
        raise DataError(
            f"{folder}: the label {labels.max()} of sample {labels.argmax()} is outside the range",
            f"labels from 0 to {len(classes) - 1}",
            "restore the files, or remove them to download them again",
        )
    return cast("np.ndarray", classes[labels])


def _find(folder: Path, file: str) -> Path | None:
    """The file under one of its usual names: train-images-idx3-ubyte or .idx3-ubyte, with or without .gz."""
    for name in (file, file.replace("-idx", ".idx")):
        for path in (folder / f"{name}.gz", folder / name):
            if os.path.isfile(path):  # unlike Path.is_file, false for names that no file can have
                return path
    return None


def _paths(folder: Path, files: tuple[str, ...]) -> list[Path]:
    found = [_find(folder, file) for file in files]
    if None in found:
        raise DataError(
            f"{folder} has no {files[found.index(None)]}[.gz]",
            f"all of {', '.join(FILES)}",
            "put the missing file there",
        )
    return [path for path in found if path]


# --- the format


def read_idx(path: Path) -> np.ndarray:
    """The array in an idx file, in the byte order of this machine.

    Raises:
        DataError: it is no idx file, is cut short or damaged.
    """
    values, _ = _join([path])
    return values


def _join(paths: list[Path]) -> tuple[np.ndarray, int]:
    """The samples of several files in one array that is allocated once, and how many the last one has."""
    headers = []
    for path in paths:
        with _open(path) as file:
            headers.append(_header(file, path))
    dtype, shape = headers[0]
    if any(other != dtype or sizes[1:] != shape[1:] for other, sizes in headers):
        raise DataError(
            " and ".join(f"{p}: {d} {s}" for p, (d, s) in zip(paths, headers, strict=True)) + " differ",
            "samples of one type and size",
            "restore the files",
        )
    values = np.empty((sum(sizes[0] for _, sizes in headers), *shape[1:]), dtype)
    start = 0
    for path, (_, sizes) in zip(paths, headers, strict=True):
        with _open(path) as file:
            _header(file, path)
            _fill(values[start : start + sizes[0]], file, path)
        start += sizes[0]
    return values.astype(dtype.newbyteorder("="), copy=False), headers[-1][1][0]


@contextmanager
def _open(path: Path) -> Iterator[BinaryIO]:
    try:
        with cast("BinaryIO", gzip.open(path) if path.suffix == ".gz" else open(path, "rb")) as file:
            yield file
    except (OSError, EOFError, zlib.error) as error:
        raise _damaged(path, str(error)) from None


def _header(file: BinaryIO, path: Path) -> tuple[np.dtype[Any], tuple[int, ...]]:
    magic = file.read(4)
    if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] not in DTYPES or not magic[3]:
        raise _damaged(path, f"it begins with the bytes {magic.hex(' ') or 'of an empty file'}")
    sizes = file.read(4 * magic[3])
    if len(sizes) < 4 * magic[3]:
        raise _damaged(path, f"it ends after {4 + len(sizes)} bytes, within its header")
    dtype = np.dtype(DTYPES[magic[2]])
    shape = tuple(int(size) for size in np.frombuffer(sizes, ">u4"))
    claimed = math.prod(shape) * dtype.itemsize
    if claimed > DEFLATE_MOST * path.stat().st_size:
        raise _damaged(path, f"it claims {claimed:,} bytes of values {shape}, which it can't hold")
    return dtype, shape


def _fill(out: np.ndarray, file: BinaryIO, path: Path) -> None:
    """Read exactly the values of an array, piece by piece, into their place."""
    place = out.reshape(-1).view(np.uint8).data
    done = 0
    while done < len(place):
        piece = file.read(min(PIECE, len(place) - done))
        if not piece:
            raise _damaged(path, f"it ends after {done:,} of {len(place):,} bytes of values")
        place[done : done + len(piece)] = piece
        done += len(piece)
    if file.read(1):  # reading to the end also makes gzip compare its checksum
        raise _damaged(path, f"it goes on after its {len(place):,} bytes of values")


def _damaged(path: Path, why: str) -> DataError:
    return DataError(
        f"{path} is damaged or no idx file: {why}",
        "magic 00 00 <type> <dimensions>, sizes, and exactly as many values",
        "restore the file, or remove it to download it again",
    )


# --- the files


def _locate(name: str) -> Path:
    """The first folder that has all four files, downloaded if need be."""
    home = os.environ.get("FITWELL_DATA")
    looked = [Path(home, spelled) for spelled in (name, name.replace("_", "-"))] if home else []
    if home and _name(Path(home).name) not in SOURCES.keys() - {name}:
        looked.append(Path(home))
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "fitwell", name)
    for folder in (*looked, cache):
        if all(_find(folder, file) for file in FILES):
            return folder
    _download(name, cache)
    return cache


def _download(name: str, cache: Path) -> None:
    source = SOURCES[name]
    failures = ["FITWELL_OFFLINE is set"] if os.environ.get("FITWELL_OFFLINE", "0") != "0" else []
    try:
        cache.mkdir(parents=True, exist_ok=True)
        for file, md5 in zip(FILES, source.md5, strict=True):
            if not failures and not _find(cache, file):
                failures = _fetch(f"{file}.gz", md5, source.mirrors, cache)
    except OSError as error:
        raise StorageError(
            f"can't write {cache}: {error}",
            "a cache folder that can be written",
            f"set XDG_CACHE_HOME, or put the files of {name} into $FITWELL_DATA/{name}",
        ) from error
    if failures:
        raise DataError(
            f"{name} is not on this machine and could not be downloaded: {'; '.join(failures)}",
            f"{', '.join(f'{file}.gz' for file in FILES)} from {' or '.join(source.mirrors)}",
            f"download them there and set FITWELL_DATA to the folder that contains {name}/",
        )


def _fetch(file: str, md5: str, mirrors: tuple[str, ...], folder: Path) -> list[str]:
    """Get a file from the first mirror that has it unchanged; else what went wrong with each."""
    failures = []
    temporary = folder / f".{file}.{os.getpid()}.tmp"
    try:
        for mirror in mirrors:
            digest = hashlib.md5(usedforsecurity=False)
            try:
                with (
                    urllib.request.urlopen(mirror + file, timeout=TIMEOUT) as answer,
                    open(temporary, "wb") as out,
                ):
                    while piece := answer.read(PIECE):
                        digest.update(piece)
                        out.write(piece)
            except (OSError, HTTPException) as error:
                failures.append(f"{mirror}{file}: {error}")
                continue
            if digest.hexdigest() == md5:
                os.replace(temporary, folder / file)
                return []
            failures.append(f"{mirror}{file}: MD5 {digest.hexdigest()}, expected {md5}")
    finally:
        temporary.unlink(missing_ok=True)
    return failures


KIND = Kind(recognises, read)
