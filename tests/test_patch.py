from __future__ import annotations

import ast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fitwell.patch import Code, Edit, argument, called, diff, number

TEXT = '''\
"""Über — naïve, 数."""
import torch  # kept


@torch.no_grad()
def évaluate(model, x):
    # a comment
    if x: return model(x)  # one line
    y = 1; z = 2
    return y, z


class A:
\tdef step(self):
\t\tfor i in range(3):
\t\t\twith torch.no_grad():  # head
\t\t\t\t# inside
\t\t\t\tself.loss = """a
\t\t\t\tb"""
\t\t\t\tcall(1, b=2, *c)
\t\telse:
\t\t\tpass
'''

NESTED = """\
for epoch in range(3):
    with torch.no_grad():
        # what it does
        x = model(
            a,
        )
        if x:
            y = '''
        kept as it is
'''

    print(x)
"""


def first(code: Code, kind: type[ast.AST]) -> ast.AST:
    return next(node for node in ast.walk(code.tree) if isinstance(node, kind))


def nodes(code: Code) -> list[ast.expr | ast.stmt]:
    return [node for node in ast.walk(code.tree) if isinstance(node, ast.expr | ast.stmt)]


@pytest.mark.parametrize(
    "text", [TEXT, TEXT.replace("\n", "\r\n"), TEXT.replace("\n", "\r"), "\ufeff" + TEXT, NESTED]
)
def test_the_segment_of_a_node_is_what_python_says_it_is(text: str) -> None:
    code = Code(text)
    plain = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    for node in nodes(code):
        segment = code.segment(node).replace("\r\n", "\n").replace("\r", "\n")
        assert segment == ast.get_source_segment(plain, node)


@pytest.mark.parametrize("character", ["\x0c", "\x0b", "\x1c", "\x85", "\u2028"])
def test_only_what_python_takes_for_the_end_of_a_line_ends_one(character: str) -> None:
    code = Code(f"a = 'x{character}y'\nb = 2\n")
    assert code.segment(code.tree.body[1]) == "b = 2"
    assert code.edited([code.after(code.tree.body[0], "c = 3")]) == f"a = 'x{character}y'\nc = 3\nb = 2\n"


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_new_lines_end_like_those_of_the_file(newline: str) -> None:
    code = Code(f"if a:{newline}\tb(){newline}")
    call = code.calls("b")[0]
    statement = code.statement(call)
    assert statement is not None
    assert code.edited([code.before(statement, "c()\nd()")]) == newline.join(
        ["if a:", "\tc()", "\td()", "\tb()", ""]
    )
    assert code.edited([code.after(statement, "c()")]) == newline.join(["if a:", "\tb()", "\tc()", ""])


@pytest.mark.parametrize(
    ("text", "before", "after"),
    [
        ("if x: f()\n", "if x: g(); f()\n", "if x: f(); g()\n"),
        ("a = 1; f(); b = 2\n", "a = 1; g(); f(); b = 2\n", "a = 1; f(); g(); b = 2\n"),
        ("f(); b = 2\n", "g()\nf(); b = 2\n", "f(); g(); b = 2\n"),
        ("f()  # why\n", "g()\nf()  # why\n", "f()  # why\ng()\n"),
        ("f()", "g()\nf()", "f()\ng()\n"),
        ("f();\n", "g()\nf();\n", "f(); g();\n"),
        ("f(\n  1,\n)\n", "g()\nf(\n  1,\n)\n", "f(\n  1,\n)\ng()\n"),
        ("if x:\n\tf()\n", "if x:\n\tg()\n\tf()\n", "if x:\n\tf()\n\tg()\n"),
        ("while x: f()", "while x: g(); f()", "while x: f(); g()"),
    ],
)
def test_lines_are_put_before_and_after_a_statement(text: str, before: str, after: str) -> None:
    code = Code(text)
    statement = code.statement(code.calls("f")[0])
    assert statement is not None
    assert code.edited([code.before(statement, "g()")]) == before
    assert code.edited([code.after(statement, "g()")]) == after


def test_nothing_comes_between_a_function_and_its_decorators() -> None:
    code = Code("@a\n@b\ndef f():\n    pass\n")
    statement = code.tree.body[0]
    assert code.edited([code.before(statement, "x = 1")]) == "x = 1\n@a\n@b\ndef f():\n    pass\n"
    assert code.edited([code.remove(statement)]) == ""


def test_nothing_comes_between_the_branches_of_a_condition() -> None:
    code = Code("if a:\n    f()\nelif b:\n    g()\n")
    inner = first(code, ast.If).orelse[0]  # type: ignore[attr-defined]
    assert code.edited([code.before(inner, "x = 1")]) == "x = 1\nif a:\n    f()\nelif b:\n    g()\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a()\nf()\nb()\n", "a()\nb()\n"),
        ("f()  # gone as well\nb()\n", "b()\n"),
        ("if x:\n    f()  # why\n", "if x:\n    pass  # why\n"),
        ("if x: f()\n", "if x: pass\n"),
        ("f(); b()\n", "pass; b()\n"),
        ("a(); f()\n", "a(); pass\n"),
        ("try:\n    f()\nfinally:\n    b()\n", "try:\n    pass\nfinally:\n    b()\n"),
        ("if x:\n    a()\nelse:\n    f()\n", "if x:\n    a()\nelse:\n    pass\n"),
        ("try:\n    a()\nexcept E:\n    f()\n", "try:\n    a()\nexcept E:\n    pass\n"),
        ("f()", ""),
    ],
)
def test_a_statement_is_removed_and_its_block_stays_whole(text: str, expected: str) -> None:
    code = Code(text)
    statement = code.statement(code.calls("f")[0])
    assert statement is not None
    edited = code.edited([code.remove(statement)])
    assert edited == expected
    ast.parse(edited)


def test_a_block_is_unwrapped_with_its_comments_and_strings_kept() -> None:
    code = Code(NESTED)
    block = first(code, ast.With)
    assert isinstance(block, ast.With)
    assert code.edited(code.unwrap(block)) == (
        "for epoch in range(3):\n    # what it does\n    x = model(\n        a,\n    )\n    if x:\n        y = '''\n"
        "        kept as it is\n'''\n\n    print(x)\n"
    )


def test_a_block_of_one_line_is_unwrapped() -> None:
    code = Code("if a:\n    with b: c()\n    d()\n")
    block = first(code, ast.With)
    assert isinstance(block, ast.With)
    assert code.edited(code.unwrap(block)) == "if a:\n    c()\n    d()\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("f(x)\n", "f(x, lr=2)\n"),
        ("f(x, 1)\n", "f(x, 2)\n"),
        ("f(x, lr=1, b=3)\n", "f(x, lr=2, b=3)\n"),
        ("f()\n", "f(lr=2)\n"),
        ("f(\n    x,\n)\n", "f(\n    x, lr=2,\n)\n"),
        ("f(*x)\n", "f(*x, lr=2)\n"),
        ("f(x, **more)\n", "f(x, **more, lr=2)\n"),
    ],
)
def test_an_argument_is_set(text: str, expected: str) -> None:
    code = Code(text)
    assert code.edited([code.set_argument(code.calls("f")[0], "lr", "2", 1)]) == expected


def test_the_statement_on_a_line_is_the_innermost_and_a_block_counts_with_its_head() -> None:
    code = Code("for i in range(\n    3\n):\n    f(\n        i\n    )\n\ng()\n")
    assert isinstance(code.statement(2), ast.For)
    assert isinstance(code.statement(5), ast.Expr)
    assert code.statement(7) is None
    assert code.statement(code.calls("g")[0]) is code.tree.body[1]


def test_edits_that_overlap_are_refused() -> None:
    code = Code("abc = 1\n", "a.py")
    with pytest.raises(ValueError, match=r"overlap at character 1 of a\.py"):
        code.edited([Edit(0, 3, "x"), Edit(1, 2, "y")])


def test_values_are_read_where_they_are_plain() -> None:
    call = Code("a.b.f(1, *c, lr=-1e-3, on=True)\n").calls("f")[0]
    assert called(call) == "f"
    assert number(argument(call, "lr")) == -1e-3
    assert number(argument(call, "x", 0)) == 1
    assert argument(call, "x", 1) is None
    assert number(argument(call, "on")) is None


def test_the_diff_names_the_file_and_says_where_there_is_no_newline() -> None:
    assert diff("a\nb", "a\nc", "t.py") == (
        "--- a/t.py\n+++ b/t.py\n@@ -1,2 +1,2 @@\n a\n-b\n\\ No newline at end of file\n+c\n"
        "\\ No newline at end of file\n"
    )
    assert diff("a\n", "a\n", "t.py") == ""


NEWLINES = st.sampled_from(["\n", "\r\n"])
INDENTS = st.sampled_from(["  ", "    ", "\t"])


@st.composite
def programs(draw: st.DrawFn) -> str:
    """Nested blocks, comments, several statements on a line, and letters of more than one byte."""
    newline, indent = draw(NEWLINES), draw(INDENTS)
    lines: list[str] = []

    def block(depth: int) -> None:
        for _ in range(draw(st.integers(1, 3))):
            kind = draw(st.integers(0, 5 if depth < 3 else 3))
            lead = indent * depth
            if kind == 0:
                lines.append(f"{lead}# Größe — 数")
            if kind <= 1:
                lines.append(f"{lead}größe = f('日本')  # ↑")
            elif kind == 2:
                lines.append(f"{lead}a = 1; b = f(a)")
            elif kind == 3:
                lines.append(f"{lead}if a: f(b)")
            else:
                lines.append(
                    f"{lead}{draw(st.sampled_from(['if a:', 'for a in b:', 'with f(a):', 'while a:']))}"
                )
                block(depth + 1)

    block(0)
    return newline.join(lines) + draw(st.sampled_from(["", newline]))


def statements(tree: ast.AST) -> list[ast.stmt]:
    return [node for node in ast.walk(tree) if isinstance(node, ast.stmt)]


@settings(max_examples=60, deadline=None)
@given(programs(), st.data())
def test_edits_leave_the_rest_untouched(text: str, data: st.DataObject) -> None:
    code = Code(text)
    statement = data.draw(st.sampled_from(statements(code.tree)))
    for edit in (code.before(statement, "new()"), code.after(statement, "new()")):
        edited = code.edited([edit])
        assert len(statements(ast.parse(edited))) == len(statements(code.tree)) + 1
        assert edited[: edit.start] == text[: edit.start]
        assert edited[edit.start + len(edit.text) :] == text[edit.end :]
        again = Code(edited)
        new = again.statement(again.calls("new")[0])
        assert new is not None
        kept = ast.dump(
            ast.parse(again.edited([again.remove(new)]).replace("pass; ", "").replace("; pass", ""))
        )
        assert kept == ast.dump(code.tree)
    ast.parse(code.edited([code.remove(statement)]))


@settings(max_examples=60, deadline=None)
@given(programs(), st.data())
def test_unwrapping_a_block_keeps_what_is_in_it(text: str, data: st.DataObject) -> None:
    code = Code(text)
    blocks = [s for s in statements(code.tree) if isinstance(s, ast.With | ast.For | ast.While | ast.If)]
    if not blocks:
        return
    block = data.draw(st.sampled_from(blocks))
    tree = ast.parse(code.edited(code.unwrap(block)))
    assert len(statements(tree)) == len(statements(code.tree)) - 1
    assert {ast.dump(each) for each in block.body} <= {ast.dump(each) for each in statements(tree)}
