"""Folders of pictures, one sub-folder a class: photos/cat/1.jpg, photos/dog/7.png.

If they are divided already (photos/train/cat, photos/test/cat), the test part is set apart; photos/val is
divided anew together with photos/train. New data for a model may also be a flat folder or a single picture.

Every picture gets the same size: their own if all agree, else the median height and width, stretched; at
most 64 on the longer side, then as multiples of 8, which a cnn can halve three times. PNG, JPEG, BMP and WebP
are read, grey only if all of them are.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from PIL import Image, ImageOps

from fitwell.data.bundled import refuse_other_target
from fitwell.data.contract import Kind, Samples
from fitwell.data.idx import is_idx_folder
from fitwell.errors import DataError
from fitwell.plan import DataPlan
from fitwell.shape import Shape

FORMATS = ("PNG", "JPEG", "BMP", "WEBP")
SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp")
VALIDATION = ("val", "valid", "validation")
LONGEST = 64
MULTIPLE = 8
ORIENTATION = 0x0112  # the EXIF tag; from 5 on, width and height are exchanged
GREY_MODES = ("1", "L", "LA", "I", "I;16", "I;16B", "I;16L")

T = TypeVar("T")


@dataclass(frozen=True)
class Picture:
    """A file, its class (None in a flat folder), and whether it is set apart for testing."""

    path: Path
    label: str | None = None
    tested: bool = False


@dataclass(frozen=True)
class Form:
    """What every picture is brought to."""

    channels: int
    height: int
    width: int


@dataclass(frozen=True)
class Header:
    """What a picture says of itself before it is decoded."""

    height: int
    width: int
    grey: bool


def recognises(source: Any) -> bool:
    """Whether it is a folder (without idx files) or a picture."""
    if not isinstance(source, str):
        return False
    if os.path.isdir(source):
        return not is_idx_folder(Path(source))
    return Path(source).suffix.lower() in SUFFIXES


def read(plan: DataPlan, like: Shape | None = None) -> Samples:
    """Pictures as (N, C, H, W) uint8, and the names of their folders as classes.

    Raises:
        DataError: no pictures, an empty class, fewer than two classes, or a picture that is corrupt or has
            more pixels than Pillow's MAX_IMAGE_PIXELS; it names the folder or file.
    """
    if like is None:
        refuse_other_target(plan)
    root = Path(plan.source)
    pictures, notes = _find(root)
    if not pictures:
        raise DataError(
            f"{root} holds no pictures", f"files that end in {', '.join(SUFFIXES)}", "check the folder"
        )
    if like is None and plan.task != "none":
        _check_classes(root, pictures)
    paths = [picture.path for picture in pictures]
    form, said = _choose_form(_each(_header, paths)) if like is None else (_form_of(like), [])
    x_NCHW = np.empty((len(paths), form.channels, form.height, form.width), np.uint8)
    _each(partial(_decode, form=form), paths, x_NCHW)
    labels = [picture.label for picture in pictures if picture.label is not None]
    tested = np.flatnonzero([picture.tested for picture in pictures])
    return Samples(
        raw=x_NCHW,
        count=len(x_NCHW),
        target=np.array(labels) if labels else None,
        target_names=("class",),
        test=tested if len(tested) else None,
        notes=(*notes, *said),
        rows=tuple(path.relative_to(root).as_posix() if path != root else path.name for path in paths),
    )


# --- finding the pictures


def _find(root: Path) -> tuple[list[Picture], list[str]]:
    """The pictures of a source, those set apart for testing last, and what to tell about it."""
    if root.is_file():
        return [Picture(root)], []
    if not root.is_dir():
        raise DataError(
            f"there is no file or folder {root}", "a picture, or a folder of them", "check the path"
        )
    try:
        parts = _parts(root)
        loose, strange = _pictures(root, deep=False)
        pictures = []
        for part, folders in parts.items():
            for folder in folders:
                paths, others = _class(folder)
                pictures += [Picture(path, folder.name, part == "test") for path in paths]
                strange += others
    except OSError as error:
        raise DataError(
            f"{root} can't be read: {error}", "a folder of pictures", "check its rights"
        ) from None
    if not pictures:
        pictures, loose = [Picture(path) for path in loose], []
    return pictures, _left_out(loose, strange, parts)


def _left_out(loose: list[Path], strange: list[Path], parts: Iterable[str]) -> list[str]:
    notes = []
    if loose:
        notes.append(f"{len(loose)} pictures outside of the class folders are left out")
    if strange:
        notes.append(
            f"files that are no pictures are left out: {len(strange)}, for example {strange[0].name}"
        )
    if any(part in VALIDATION for part in parts):
        notes.append("the validation folder is divided anew together with train")
    return notes


def _parts(root: Path) -> dict[str, list[Path]]:
    """The class folders of each part: {"train": ..., "test": ...}, or {"": ...} if it isn't divided."""
    inner = {folder.name.lower(): folder for folder in _folders(root)}
    train = inner.get("train")
    if train is None or not _folders(train):  # without folders of its own, train is a class
        return {"": list(inner.values())}
    return {part: _folders(inner[part]) for part in ("train", *VALIDATION, "test") if part in inner}


def _folders(folder: Path) -> list[Path]:
    """The visible folders in a folder, sorted; none that is a link to where it stands."""
    here = folder.resolve()
    return sorted(
        inner
        for inner in folder.iterdir()
        if not inner.name.startswith((".", "__"))
        and inner.is_dir()
        and not here.is_relative_to(inner.resolve())
    )


def _pictures(folder: Path, deep: bool = True) -> tuple[list[Path], list[Path]]:
    """The pictures and the other visible files in a folder, sorted; folders behind links are not entered."""
    files: list[Path] = []
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if deep and not name.startswith(".")]
        files.extend(Path(place, name) for name in names if not name.startswith("."))
    files.sort()
    good = [path for path in files if path.suffix.lower() in SUFFIXES]
    return good, [path for path in files if path.suffix.lower() not in SUFFIXES]


def _class(folder: Path) -> tuple[list[Path], list[Path]]:
    """The pictures and the other files of a class."""
    paths, strange = _pictures(folder)
    if not paths:
        raise DataError(
            f"the class folder {folder} holds no pictures",
            f"files that end in {', '.join(SUFFIXES)}",
            "add pictures, or remove the folder",
        )
    return paths, strange


def _check_classes(root: Path, pictures: list[Picture]) -> None:
    if pictures[0].label is None:
        raise DataError(
            f"{root} holds pictures ({len(pictures)}), but no folder for each class",
            "a folder of pictures with one sub-folder a class",
            "sort the pictures into folders named as their classes",
        )
    known = {picture.label for picture in pictures if not picture.tested}
    if len(known) < 2:
        raise DataError(
            f"{root} holds only one class: {known.pop()}",
            "two classes at least",
            "add a folder of another class",
        )
    for picture in pictures:
        if picture.label not in known:
            raise DataError(
                f"the class {picture.label!r} of {picture.path} is not among those to train on",
                f"one of {', '.join(sorted(str(name) for name in known))}",
                "add the class to train/, or remove it from test/",
            )


# --- reading them


def _each(task: Callable[..., T], *columns: Iterable[Any]) -> list[T]:
    """Do a task for every picture, in threads: Pillow decodes outside of the interpreter's lock."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # odd metadata says nothing of the picture
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
            try:
                return list(pool.map(task, *columns))
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise


def _header(path: Path) -> Header:
    try:
        with Image.open(path, formats=FORMATS) as picture:
            # A PNG may keep its orientation behind the pixels, which are not to be read now.
            known = picture.format != "PNG" or "exif" in picture.info
            turned = known and picture.getexif().get(ORIENTATION, 1) >= 5
            width, height = reversed(picture.size) if turned else picture.size
            return Header(height, width, picture.mode in GREY_MODES)
    except Exception as error:  # damaged files make Pillow raise whatever they lead to
        raise _unreadable(path, error) from None


def _decode(path: Path, out: np.ndarray, form: Form) -> None:
    """Write a picture into its place (C, H, W)."""
    try:
        with Image.open(path, formats=FORMATS) as picture:
            side = 2 * max(form.height, form.width)
            picture.draft(
                picture.mode, (side, side)
            )  # a JPEG much larger than needed is decoded at a fraction
            plain = _plain(ImageOps.exif_transpose(picture), "L" if form.channels == 1 else "RGB")
        if plain.size != (form.width, form.height):
            plain = plain.resize((form.width, form.height), Image.Resampling.BILINEAR, reducing_gap=3.0)
        values = np.asarray(plain)
    except Exception as error:  # as above
        raise _unreadable(path, error) from None
    out[:] = values if form.channels == 1 else values.transpose(2, 0, 1)


def _plain(picture: Image.Image, mode: str) -> Image.Image:
    """8 bits a channel, transparent places white."""
    if picture.mode.startswith("I"):  # 16 bits
        wide = np.asarray(picture).astype(np.uint32)
        picture = Image.fromarray(((wide * 255 + 32767) // 65535).astype(np.uint8))
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
    return picture.convert(mode)


def _unreadable(path: Path, error: Exception) -> DataError:
    if isinstance(error, Image.DecompressionBombWarning | Image.DecompressionBombError):
        return DataError(
            f"{path} has too many pixels: {error}",
            f"at most {Image.MAX_IMAGE_PIXELS:,} pixels",
            "make the picture smaller, or remove it",
        )
    return DataError(
        f"{path} can't be read: {error or type(error).__name__}",
        f"a whole picture ({', '.join(FORMATS)})",
        "replace the file, or remove it",
    )


# --- the common form


def _choose_form(headers: list[Header]) -> tuple[Form, list[str]]:
    """The form of all pictures, and what to tell about it."""
    sizes = np.array([(header.height, header.width) for header in headers])
    low, high = sizes.min(axis=0), sizes.max(axis=0)
    grey = sum(header.grey for header in headers)
    channels = 1 if grey == len(headers) else 3
    notes = [f"{grey} grey pictures are read as colour, as the others are"] if 0 < grey < len(headers) else []
    if (low == high).all() and low.max() <= LONGEST:
        return Form(channels, int(low[0]), int(low[1])), notes
    middle = np.median(sizes, axis=0)
    scaled = middle * min(1.0, LONGEST / middle.max())
    height, width = (max(MULTIPLE, MULTIPLE * round(side / MULTIPLE)) for side in scaled)
    before = f"{low[0]}x{low[1]}" + ("" if (low == high).all() else f" to {high[0]}x{high[1]}")
    notes.append(f"pictures are resized from {before} to {height}x{width} (height x width)")
    return Form(channels, height, width), notes


def _form_of(like: Shape) -> Form:
    """The form that a model was trained with."""
    wanted = like.inputs.get("x")
    if wanted is None or wanted.kind != "image" or wanted.shape[0] not in (1, 3):
        raise DataError(
            "pictures are given to a model of other data",
            ", ".join(f"{name}: {field.kind} {field.shape}" for name, field in like.inputs.items()),
            "give data of the kind that the model was trained with",
        )
    return Form(*wanted.shape)


KIND = Kind(recognises, read)
