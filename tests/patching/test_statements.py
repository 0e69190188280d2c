import ast

import pytest

from fitwell.patch import Code
from fitwell.patching.statements import (
    alone,
    calls_within,
    following,
    line_of,
    moved,
    nearest,
    previous,
    removed,
)


def statement(code: Code, name: str) -> ast.stmt:
    found = code.statement(code.calls(name)[0])
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("f()\n", True),
        ("f()  # a\n", True),
        ("f(\n    1)\n", True),
        ("f(); g()\n", False),
        ("if x: f()\n", False),
    ],
)
def test_a_statement_is_alone_in_its_lines(text: str, expected: bool) -> None:
    code = Code(text)
    statement = code.statement(code.calls("f")[0])
    assert isinstance(statement, ast.stmt)
    assert alone(code, statement) is expected


def test_what_stands_before_and_after_in_a_block() -> None:
    code = Code("a()\nb()\nif x:\n    c()\nd()\n")
    here = statement(code, "b")
    assert [code.segment(each) for each in previous(code, here)] == ["a()"]
    assert [each.lineno for each in following(code, here)] == [3, 5]


def test_calls_in_a_function_that_is_defined_within_do_not_count() -> None:
    code = Code("if x:\n    f()\n    def g():\n        f()\n")
    assert len(calls_within(code.tree.body[0], "f")) == 1


@pytest.mark.parametrize(("line", "found"), [(3, 3), (2, 3), (4, 3), (1, None), (7, 7), (None, None)])
def test_the_nearest_call_is_in_the_function_of_the_line(line: int | None, found: int | None) -> None:
    code = Code("x = 1\ndef a():\n    f()\n    y = 2\n\ndef b():\n    f()\n")
    call = nearest(code, code.calls("f"), line)
    assert (None if call is None else call.lineno) == found


def test_a_statement_is_moved_to_another_block() -> None:
    code = Code("for x in y:\n    a()\n    b(\n        1)\nc()\n")
    edits = moved(code, statement(code, "b"), code.after, statement(code, "c"))
    assert code.edited(edits) == "for x in y:\n    a()\nc()\nb(\n    1)\n"


@pytest.mark.parametrize(
    ("text", "rest"),
    [
        ("for p in m:\n    if p:\n        f(p)\ng()\n", "g()\n"),
        ("def h():\n    f(1)\n    f(2)\n", "def h():\n    pass\n"),
        ("for p in m:\n    f(p)\n    g(p)\n", "for p in m:\n    g(p)\n"),
    ],
)
def test_blocks_go_with_all_that_is_in_them(text: str, rest: str) -> None:
    code = Code(text)
    found = [each for call in code.calls("f") if (each := code.statement(call)) is not None]
    assert code.edited(removed(code, found)) == rest


def test_a_line_that_was_seen_counts_where_its_text_still_stands() -> None:
    code = Code("a()\n  # b\n")
    assert line_of(code, {"line": 1, "text": "a()"}) == 1
    assert [
        line_of(code, each) for each in (None, {}, {"line": 1, "text": "b()"}, {"line": 9, "text": ""})
    ] == [None] * 4
