import bz2
import csv
import gzip
import io
import lzma
import zipfile

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fitwell.data.delimited import read_delimited
from fitwell.errors import DataError


@pytest.fixture
def table(tmp_path):
    def read(content, name="table.csv"):
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return read_delimited(path)

    return read


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_delimiters_and_line_ends(table, delimiter, end):
    rows = [["name", "size", "when"], ["a, b; c", "1.5", "2020-01-01"], ["d", "2", ""]]
    text = end.join(delimiter.join(f'"{cell}"' for cell in row) for row in rows) + end
    frame, notes = table(text)
    assert frame["name"].tolist() == ["a, b; c", "d"]
    assert frame["size"].tolist() == [1.5, 2.0]
    assert frame["when"].isna().tolist() == [False, True]
    assert frame.index.tolist() == [2, 3]
    assert notes == []


def test_names_are_found_or_given(table):
    assert list(table("a,b\n1,x\n2,y\n")[0]) == ["a", "b"]
    assert list(table("who,what\na,b\na,c\n")[0]) == ["who", "what"]
    assert list(table(",a\n0,5\n1,6\n")[0]) == ["index", "a"]
    assert list(table(",0,1,2\n0,5,6,7\n1,6,7,8\n")[0]) == ["index", "0", "1", "2"]
    frame, notes = table("M,0.5,3\nF,0.4,2\nM,0.1,1\n")
    assert list(frame) == ["column1", "column2", "column3"]
    assert len(frame) == 3
    assert "has no header" in notes[0]
    assert len(table("x,y\nx,z\nw,z\n")[0]) == 3, "x comes again below itself: it is no name"


def test_comments_above_the_table(table):
    frame, _ = table("|1x3 Cross validator\n\n25, Private, <=50K.\n38, ?, >50K.\n25, Private, >50K.\n")
    assert len(frame) == 3
    assert frame.index[0] == 3
    assert frame["column2"].isna().tolist() == [False, True, False]
    assert list(table("#id,size\n1,2\n3,4\n")[0]) == ["#id", "size"]


def test_missing_values_of_many_spellings(table):
    frame, _ = table('a,b\n1,x\n ?, NA\nnull," "\nNaN,None\n ,N/A\n2,none\n')
    assert frame["a"].tolist()[0] == 1
    assert frame["a"].isna().sum() == 4
    assert frame["b"].tolist()[-1] == "none"


def test_decimal_commas(table):
    assert table("a;b\n1,5;2\n-2,25;3\n")[0]["a"].tolist() == [1.5, -2.25]
    assert table("a\tb\n1,234\t2\n2,345\t3\n")[0]["a"].tolist() == ["1,234", "2,345"]
    assert table("7.4;0.7;5\n7,8;0.8;6\n")[0]["column2"].tolist() == [0.7, 0.8]


def test_encodings(table):
    assert list(table("\ufeffa,b\n1,2\n".encode())[0]) == ["a", "b"]
    assert table("a,b\ncafé,1\n".encode("utf-16"))[0]["a"].tolist() == ["café"]
    frame, notes = table("a,b\ncafé,1\n".encode("latin-1"))
    assert frame["a"].tolist() == ["café"]
    assert "Latin-1" in notes[0]


def _zipped(content):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("table.csv", content)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("suffix", "pack"),
    [(".gz", gzip.compress), (".bz2", bz2.compress), (".xz", lzma.compress), (".zip", _zipped)],
)
def test_packed_files(table, suffix, pack):
    packed = pack(b"a,b\n1,2\n")
    assert table(packed, f"table.csv{suffix}")[0]["b"].tolist() == [2]
    with pytest.raises(DataError, match="can't be unpacked"):
        table(packed[: len(packed) // 2], f"table.csv{suffix}")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "is empty"),
        ("\n\n", "is empty"),
        ("a,b,c\n", "but no rows"),
        ("a,b,a\n1,2,3\n", "several columns called `a` (columns 1, 3)"),
        ("a,b\n1,2\n3,4,5\n", "line 3 has 3 fields"),
        ("a,b\n1,2,3\n3,4,5\n", "line 2 has 3 fields"),
        ("a,b,c\n1,2,3\n4,5\n6,7,8\n", "line 3 has 2 fields"),
        ("# made\na,b,c\n1,2,3\n4,5\n", "line 4 has 2 fields"),
        ('a,b\n1,"2\n3,4\n', "is broken"),
        (b"PK\0\1\2\0\0", "is no text file"),
    ],
)
def test_broken_files_are_refused_and_the_line_is_named(table, content, says):
    with pytest.raises(DataError) as error:
        table(content)
    assert says in error.value.happened


def test_missing_files_and_folders(tmp_path):
    (tmp_path / "people.csv").write_text("a,b\n1,2\n")
    with pytest.raises(DataError, match=r"does not exist[\s\S]*there are people\.csv"):
        read_delimited(tmp_path / "people2.csv")
    with pytest.raises(DataError, match="is a folder"):
        read_delimited(tmp_path)


def test_lines_are_not_claimed_where_texts_span_lines(table):
    assert table('a,b\n"x\ny",1\nz,2\n')[0].index.name is None


CELLS = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Zs", "Zl", "Zp")), max_size=8)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(",;\t|"),
    st.lists(st.tuples(CELLS, st.integers(-999, 999), st.floats(-1e9, 1e9)), min_size=1, max_size=12),
)
def test_what_was_written_is_read(table, delimiter, rows):
    buffer = io.StringIO()
    writer = csv.writer(buffer, delimiter=delimiter, quoting=csv.QUOTE_NONNUMERIC)
    writer.writerows([["text", "whole", "real"], *[(f"x{text}x", n, x) for text, n, x in rows]])
    frame, _ = table(buffer.getvalue())
    assert frame["text"].tolist() == [f"x{text}x" for text, _, _ in rows]
    assert frame["whole"].tolist() == [n for _, n, _ in rows]
    np.testing.assert_allclose(frame["real"].to_numpy(float), [x for _, _, x in rows], rtol=1e-12)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=200) | st.text('ab1,;"\n\t |#', max_size=60).map(str.encode))
def test_any_bytes_are_read_or_refused_with_a_reason(table, content):
    try:
        frame, _ = table(content)
    except DataError:
        return
    assert len(frame) > 0
