"""Delimited text: find out how a CSV file is written, read it, and name the line where it is broken."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import lzma
import re
import zipfile
import zlib
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from fitwell.data.cells import MISSING, numbers_of
from fitwell.errors import DataError

HEAD = 1 << 20  # bytes that are looked at to find delimiter and header
LINES = 200
# A comma last: it also stands inside numbers, where a semicolon divides them.
DELIMITERS = ("\t", ";", "|", ",")
_BROKEN = (OSError, EOFError, ValueError, zlib.error, lzma.LZMAError, zipfile.BadZipFile)


@dataclass(frozen=True)
class Dialect:
    """How a file is written.

    Args:
        delimiter: between two fields.
        decimal: the decimal point or comma.
        skip: lines before the table: comments and blank lines.
        header: whether the first line of the table holds the names.
        names: of the columns.
    """

    delimiter: str
    decimal: Literal[".", ","]
    skip: int
    header: bool
    names: list[str]


def read_delimited(path: Path) -> tuple[pd.DataFrame, list[str]]:
    """The table in a file, its index the line numbers (named ``line``), and notes for a person.

    Raises:
        DataError: the file is missing, empty, damaged, no text, without rows, or ragged.
    """
    content = read_bytes(path)
    content, notes = _to_utf8(content, path)
    content = content.rstrip(b"\r\n ")
    if not content:
        raise DataError(f"{path} is empty", "a table with a header and rows", "check the file")
    dialect = sniff(_head(content), path)
    frame = _parse(content, dialect, path)
    if frame.empty:
        raise DataError(
            f"{path} has a header ({', '.join(dialect.names[:5])}) but no rows",
            "at least a few rows",
            "add the data below the header",
        )
    if not dialect.header:
        notes.append(
            f"{path.name} has no header: its columns are called {dialect.names[0]} to {dialect.names[-1]}"
        )
    first = dialect.skip + int(dialect.header) + 1
    if content.count(b"\n") + 1 == first - 1 + len(frame):
        frame.index = pd.RangeIndex(first, first + len(frame), name="line")
    return frame, notes


def read_bytes(path: Path) -> bytes:
    """The content of a file, unpacked if it ends with .gz, .bz2, .xz or .zip.

    Raises:
        DataError: there is no such file, it can't be read, or the packing is damaged.
    """
    if path.is_dir():
        raise DataError(f"{path} is a folder", "a file with a table", "name a file inside the folder")
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        near = sorted(p.name for p in path.parent.glob(f"{path.name[:3]}*"))[:3] if path.name else []
        hint = f"; there are {', '.join(near)}" if near else ""
        raise DataError(f"{path} does not exist", "an existing file", f"check the path{hint}") from None
    except OSError as error:
        raise DataError(
            f"{path} can't be read: {error.strerror}", "a readable file", "check its permissions"
        ) from None
    unpack = _UNPACK.get(path.suffix.lower())
    if unpack is None or not content:
        return content
    try:
        return unpack(content)
    except _BROKEN as error:
        raise DataError(
            f"{path} can't be unpacked: {error}", f"a whole {path.suffix} file", "fetch or pack it again"
        ) from None


def _unzip(content: bytes) -> bytes:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = [name for name in archive.namelist() if not name.endswith("/")]
        if len(members) != 1:
            raise ValueError(f"it holds {len(members)} files instead of one table")
        return archive.read(members[0])


_UNPACK = {".gz": gzip.decompress, ".bz2": bz2.decompress, ".xz": lzma.decompress, ".zip": _unzip}


def _to_utf8(content: bytes, path: Path) -> tuple[bytes, list[str]]:
    """The text as UTF-8 without a byte order mark, and a note if its encoding had to be guessed."""
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return content.decode("utf-16", errors="replace").encode(), []
    content = content.removeprefix(b"\xef\xbb\xbf")
    if b"\0" in content[:HEAD].rstrip(b"\0"):
        raise DataError(f"{path} is no text file", "a table as text", "give a .csv, .tsv or .parquet file")
    try:
        content.decode("utf-8")
    except UnicodeDecodeError as error:
        note = f"{path.name} is not UTF-8 (byte {error.start}): read as Latin-1"
        return content.decode("latin-1").encode(), [note]
    return content, []


def _head(content: bytes) -> str:
    """The first lines, whole ones only."""
    head = content[:HEAD]
    if len(content) > HEAD and b"\n" in head:
        head = head[: head.rfind(b"\n")]
    return head.decode("utf-8", errors="ignore")


def sniff(head: str, path: Path) -> Dialect:
    """How the file is written, from its first lines.

    Raises:
        DataError: two columns have the same name, or the first row has more fields than the header.
    """
    lines = head.split("\n")
    skip = 0
    while skip < len(lines) - 1 and _is_comment(lines[skip], lines[skip + 1]):
        skip += 1
    text = "\n".join(lines[skip : skip + LINES])
    delimiter = _delimiter(text, path)
    rows = [row for row in _fields(text, delimiter) if row]
    if not rows:
        raise DataError(f"{path} is broken: a quote is never closed", "a table", "check the first line")
    decimal = _decimal(rows, delimiter)
    header = _has_header(rows, decimal)
    if header and len(rows) > 1 and len(rows[1]) > len(rows[0]):
        raise _ragged(path, skip + 2, len(rows[1]), len(rows[0]))
    names = _names(rows[0], path) if header else [f"column{k + 1}" for k in range(len(rows[0]))]
    return Dialect(delimiter, decimal, skip, header, names)


def _is_comment(line: str, following: str) -> bool:
    """Blank, or marked as a comment and not divided as the line below it is (``#id,name`` are names)."""
    marked = line.startswith(("#", "|"))
    divided = any(line.count(d) == following.count(d) > 0 for d in DELIMITERS)
    return not line.strip() or (marked and not divided)


def _fields(text: str, delimiter: str) -> list[list[str]]:
    rows: list[list[str]] = []
    with suppress(csv.Error):  # an endless quote: pandas will say where it begins
        rows.extend(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True))
    return rows


def _delimiter(text: str, path: Path) -> str:
    """The delimiter that gives most lines the same number of fields, more than one."""

    def steadiness(delimiter: str) -> float:
        widths = Counter(len(row) for row in _fields(text, delimiter) if row)
        width, count = widths.most_common(1)[0] if widths else (0, 0)
        return count / widths.total() if width > 1 else 0.0

    order = sorted(DELIMITERS, key=lambda d: (d == "\t") != (".tsv" in path.name.lower()))
    best = max(order, key=steadiness)
    return best if steadiness(best) else ","


def _decimal(rows: list[list[str]], delimiter: str) -> Literal[".", ","]:
    """A comma if some numbers have one, none has a point, and the commas don't group thousands."""
    if delimiter == ",":
        return "."
    cells = [cell.strip() for row in rows for cell in row]
    commas = [cell for cell in cells if re.fullmatch(r"[+-]?\d+,\d+", cell)]
    points = any(re.fullmatch(r"[+-]?\d+\.\d+", cell) for cell in cells)
    # Semicolons divide fields where the comma is the decimal sign; elsewhere 1,234 is a thousand.
    grouped = delimiter != ";" and all(re.fullmatch(r"[+-]?[1-9]\d{0,2},\d{3}", cell) for cell in commas)
    return "," if commas and not points and not grouped else "."


def _has_header(rows: list[list[str]], decimal: str) -> bool:
    """Whether the first row is made of names: texts above numbers, or texts that never come again."""
    width = len(rows[0])
    cells = [[cell.strip() for cell in row] for row in rows if len(row) == width]
    flat = [cell.replace(decimal, ".") for row in cells for cell in row]
    number = ~np.isnan(numbers_of(flat)).reshape(len(cells), width)
    missing = np.array([[cell in MISSING for cell in row] for row in cells])
    first, text = cells[0], ~number[0] & ~missing[0]
    if len(rows) == 1:
        return not number.any()
    if width > 2 and first[1:] in ([str(k) for k in range(width - 1)], [str(k) for k in range(1, width)]):
        return True  # an array that pandas wrote: ",0,1,2" or "0,1,2"
    over_numbers = (number | missing)[1:].all(0) & number[1:].any(0)
    if (text & over_numbers).any():
        return True
    again = any(row[k] == first[k] for row in cells[1:] for k in np.flatnonzero(text))
    return bool(text[1:].all()) and not number[0, 0] and len(set(first)) == width and not again


def _names(first: list[str], path: Path) -> list[str]:
    """The names of the columns; the first may be empty (pandas' index), others get their number."""
    names = [cell.strip() or ("index" if k == 0 else f"column{k + 1}") for k, cell in enumerate(first)]
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        places = ", ".join(str(k + 1) for k, name in enumerate(names) if name == twice[0])
        raise DataError(
            f"{path} has several columns called `{twice[0]}` (columns {places})",
            "a name of its own for each column",
            "rename the columns in the first line",
        )
    return names


def _parse(content: bytes, dialect: Dialect, path: Path) -> pd.DataFrame:
    options: dict[str, Any] = {
        "sep": dialect.delimiter, "decimal": dialect.decimal, "header": 0 if dialect.header else None,
        "names": dialect.names, "skiprows": dialect.skip, "index_col": False, "skipinitialspace": True,
        "keep_default_na": False, "na_values": sorted(MISSING), "low_memory": False,
    }  # fmt: skip
    try:
        frame: pd.DataFrame = pd.read_csv(io.BytesIO(content), **options)
    except pd.errors.ParserError as error:
        found = re.search(r"Expected (\d+) fields in line (\d+), saw (\d+)", str(error))
        if found:
            wanted, line, saw = map(int, found.groups())
            raise _ragged(path, line, saw, wanted) from None
        what = str(error).removeprefix("Error tokenizing data. C error: ")
        raise DataError(
            f"{path} is broken: {what}",
            "quotes that are closed",
            "find the line with an odd number of quotes",
        ) from None
    # pandas fills short lines with missing values; only then does the last column show one.
    if len(dialect.names) > 1 and frame.iloc[:, -1].isna().any():
        _check_widths(content, dialect, path)
    return frame


def _check_widths(content: bytes, dialect: Dialect, path: Path) -> None:
    text = io.TextIOWrapper(io.BytesIO(content), "utf-8", newline="")
    reader = csv.reader(text, delimiter=dialect.delimiter, skipinitialspace=True)
    with suppress(csv.Error):
        for row in reader:
            if row and len(row) < len(dialect.names) and reader.line_num > dialect.skip:
                raise _ragged(path, reader.line_num, len(row), len(dialect.names))


def _ragged(path: Path, line: int, saw: int, wanted: int) -> DataError:
    return DataError(
        f"{path}, line {line} has {saw} fields",
        f"{wanted}, as in the lines before",
        "add or remove a field there, or quote the text that holds a delimiter",
    )
