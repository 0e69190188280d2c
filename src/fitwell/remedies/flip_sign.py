"""Make the loss small, not large."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence

from fitwell.patch import Code, Edit, argument, called, number
from fitwell.patching.assignments import assigned
from fitwell.patching.losses import losses
from fitwell.remedy import About, Remedy

LIKELIHOOD = re.compile(r"\blog(?!its?\b|_var|var)\w*|entropy\(\)|similarity|dot\(")


def _patch(code: Code, about: About) -> Sequence[Edit]:
    maximized = _maximized(code)
    if maximized:
        return maximized
    for statement in _statements(code, about.line):
        edit = _turned(code, statement)
        if edit is not None:
            return (edit,)
    return ()


def _maximized(code: Code) -> Sequence[Edit]:
    told = [(call, argument(call, "maximize")) for call in code.calls()]
    return [
        code.replace(value, "False")
        for _, value in told
        if isinstance(value, ast.Constant) and value.value is True
    ]


def _statements(code: Code, line: int | None) -> Iterator[ast.stmt]:
    """That in the line, those that make what it propagates back or calls, and the others of its function."""
    statement = code.statement(line) if line is not None else None
    if statement is None or line is None:
        return
    yield statement
    names = [each.id for each in ast.walk(statement) if isinstance(each, ast.Name)]
    made = [code.statement(target) for name in names for target, _ in assigned(code, name)]
    own = [each for each in made if each is not None and code.function(each) is code.function(statement)]
    yield from sorted(own, key=lambda each: abs(each.lineno - line))
    beside = [each for each in ast.walk(code.function(statement)) if isinstance(each, ast.stmt)]
    near = [each for each in beside if isinstance(each, ast.Assign | ast.AugAssign | ast.Return)]
    yield from (
        each
        for each in near
        if code.function(each) is code.function(statement) and abs(each.lineno - line) < 6
    )


def _turned(code: Code, statement: ast.stmt) -> Edit | None:
    """A statement with the sign of a term turned, if that is wrong."""
    if isinstance(statement, ast.AugAssign):
        return _of_sum(code, statement)
    value = getattr(statement, "value", None)
    if not isinstance(value, ast.expr):
        return None
    for term in _terms(value):
        edit = _without_minus(code, term) or _with_minus(code, term)
        if edit is not None:
            return edit
    return None


def _of_sum(code: Code, statement: ast.AugAssign) -> Edit | None:
    """``loss *= -1``."""
    if isinstance(statement.op, ast.Mult) and number(statement.value) == -1:
        return code.remove(statement)
    return None


def _terms(node: ast.expr) -> Iterator[ast.expr]:
    """What a loss is the sum of, down to what is propagated back: ``(-loss).backward()``."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        yield from _terms(node.left)
        yield from _terms(node.right)
    elif isinstance(node, ast.Call) and called(node) in ("backward", "mean", "sum", "scale"):
        yield node
        if isinstance(node.func, ast.Attribute):
            yield from _terms(node.func.value)
        for each in node.args[:1]:
            yield from _terms(each)
    elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult | ast.Div):
        yield node
        yield from _terms(node.left)
    else:
        yield node


def _without_minus(code: Code, term: ast.expr) -> Edit | None:
    """The term without its minus, unless it is that of a likelihood."""
    if isinstance(term, ast.UnaryOp) and isinstance(term.op, ast.USub) and number(term) is None:
        return None if _is_likelihood(code, term.operand) else _bare(code, term, term.operand)
    if isinstance(term, ast.BinOp) and isinstance(term.op, ast.Mult):
        for sign, rest in ((term.left, term.right), (term.right, term.left)):
            if number(sign) == -1 and not _is_likelihood(code, rest):
                return _bare(code, term, rest)
    if isinstance(term, ast.BinOp) and isinstance(term.op, ast.Sub) and number(term.left) == 0:
        return None if _is_likelihood(code, term.right) else _bare(code, term, term.right)
    return None


def _bare(code: Code, term: ast.expr, rest: ast.expr) -> Edit:
    text, above = code.segment(rest), code.parent(term)
    start, end = code.span(term)
    if (
        isinstance(above, ast.Attribute)
        and code.text[start - 1 : start] == "("
        and isinstance(rest, ast.Name)
    ):
        return Edit(start - 1, end + 1, text)
    return Edit(
        start, end, text if isinstance(rest, ast.Name | ast.Call) or "\n" not in text else f"({text})"
    )


def _with_minus(code: Code, term: ast.expr) -> Edit | None:
    """The negative of a likelihood, or of the bound of a divergence, that has no minus yet."""
    text = ast.unparse(term)
    signed = any(isinstance(each, ast.UnaryOp) and isinstance(each.op, ast.USub) for each in _factors(term))
    if signed or not (
        _is_divergence(term) or re.search(r"\.log_prob\([^()]*(\([^()]*\))?[^()]*\)(\.\w+\([^()]*\))*$", text)
    ):
        return None
    start = code.span(term)[0]
    return Edit(start, start, "-")


def _factors(term: ast.expr) -> Iterator[ast.expr]:
    yield term
    if isinstance(term, ast.BinOp):
        yield from _factors(term.left)
        yield from _factors(term.right)
    elif isinstance(term, ast.Call):
        for inner in [*term.args[:1], *([term.func.value] if isinstance(term.func, ast.Attribute) else [])]:
            yield from _factors(inner)


def _is_divergence(term: ast.expr) -> bool:
    """Whether it has the part ``1 + log s - m ** 2 - s`` of a divergence from the standard normal distribution."""
    for node in ast.walk(term):
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Sub):
            parts = _summed(node, 1)
            ones = [each for sign, each in parts if sign > 0 and number(each) == 1]
            exps = [each for sign, each in parts if sign < 0 and "exp(" in ast.unparse(each)]
            if ones and exps:
                return True
    return False


def _summed(node: ast.expr, sign: int) -> list[tuple[int, ast.expr]]:
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Sub):
        right = sign if isinstance(node.op, ast.Add) else -sign
        return _summed(node.left, sign) + _summed(node.right, right)
    return [(sign, node)]


def _is_likelihood(code: Code, node: ast.expr) -> bool:
    """Whether it is large when it is good: then its minus is right. Losses are small when they are."""
    if any(each.call is inner for each in losses(code) for inner in ast.walk(node)):
        return False
    return bool(LIKELIHOOD.search(ast.unparse(node))) or _is_divergence(node)


REMEDY = Remedy(
    says="turn the sign of the loss: it is to be small",
    treats={"loss-sign-flipped": 1},
    costs="nothing",
    not_when="what is minimized is a reward or a likelihood: its negative is right",
    patch=_patch,
)
