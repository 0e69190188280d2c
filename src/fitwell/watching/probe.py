"""A probe runs a function of ours where a Python function begins and where it returns, in that function's own frame.

A wrapper would stand in every traceback and would miss names that were imported before it was put there
(``from torch.nn.functional import cross_entropy``). A probe exchanges the function's code instead: the same source,
compiled again with two more calls in it, which keep the lines and columns that a traceback shows. To take it away
is to put the old code back.
"""

from __future__ import annotations

import __future__
import ast
import inspect
import linecache
from collections.abc import Callable, Iterator
from types import CodeType, FunctionType
from typing import Any

MARK = "\0fitwell probe"  # stands for the probe in the source, and is exchanged for it in the compiled code


class Probe:
    """Two hooks in a function; inactive until ``arm`` is called.

    Args:
        function: any function written in Python whose source is at hand; of a decorated one the innermost.
        enter: is called with the function's arguments before anything else happens.
        leave: is called with the result and the arguments when the function returns; what it returns is ignored.

    What the hooks raise would reach the caller of the function: they must not raise.

    Raises:
        OSError, TypeError, ValueError: the source of the function is not there, or it is a closure.
    """

    def __init__(
        self, function: Callable[..., Any], enter: Callable[..., Any] | None, leave: Callable[..., Any] | None
    ) -> None:
        self.function = _innermost(function)
        self.enter, self._leave = enter, leave
        self._plain = self.function.__code__
        code = _compiled(self.function, enter is not None, leave is not None)
        # The code holds what it calls, so that a frame that still runs can end after the probe is gone.
        self._probed = code.replace(co_consts=tuple(self if c == MARK else c for c in code.co_consts))

    def leave(self, result: Any, *arguments: Any) -> Any:
        """What the function returns, after the hook was told of it."""
        self._leave(result, *arguments)  # type: ignore[misc]
        return result

    def arm(self) -> None:
        """Let the hooks be called from now on."""
        self.function.__code__ = self._probed

    def disarm(self) -> None:
        """Put the function back as it was."""
        self.function.__code__ = self._plain


def _innermost(function: Callable[..., Any]) -> FunctionType:
    function = inspect.unwrap(function)
    if not isinstance(function, FunctionType):
        raise TypeError(f"{function!r} is not written in Python")
    if function.__code__.co_freevars:
        raise ValueError(f"{function.__qualname__} is a closure")
    return function


def _compiled(function: FunctionType, enter: bool, leave: bool) -> CodeType:
    code = function.__code__
    first, last = code.co_firstlineno, max(_lines(code))
    lines = linecache.getlines(code.co_filename)[first - 1 : last]
    if not lines:
        raise OSError(f"the source of {function.__qualname__} is not there")
    # Empty lines put it where it was; inside a block it may keep its indentation, so that columns stay too.
    block = "if True:\n" if lines[0][:1].isspace() else "\n" * (first > 1)
    tree = ast.parse("\n" * (first - 2) + block + "".join(lines))
    definition = next(node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))
    definition.decorator_list, definition.returns, definition.args.defaults = [], None, []
    definition.args.kw_defaults = [None] * len(definition.args.kwonlyargs)
    arguments = _arguments(definition.args)
    if leave:
        _Returns(arguments).edit(definition)
    if enter:
        call = ast.Expr(_call("enter", [], arguments))
        definition.body.insert(0, _located(call, definition.body[0]))
    flags = code.co_flags & _FUTURES
    module: CodeType = compile(tree, code.co_filename, "exec", dont_inherit=True, flags=flags)
    found = next(c for c in module.co_consts if isinstance(c, CodeType) and c.co_name == code.co_name)
    return found.replace(co_qualname=code.co_qualname)


def _lines(code: CodeType) -> Iterator[int]:
    """The last lines of everything in a function, and in the functions within it."""
    for _, end, _, _ in code.co_positions():
        yield end or 0
    for _, _, line in code.co_lines():
        yield line or 0
    for part in code.co_consts:
        if isinstance(part, CodeType):
            yield from _lines(part)


_FUTURES = 0
for _feature in __future__.all_feature_names:
    _FUTURES |= getattr(__future__, _feature).compiler_flag


def _arguments(arguments: ast.arguments) -> list[str]:
    every = [*arguments.posonlyargs, *arguments.args, arguments.vararg, *arguments.kwonlyargs, arguments.kwarg]
    return [argument.arg for argument in every if argument is not None]


def _call(method: str, first: list[ast.expr], arguments: list[str]) -> ast.Call:
    names: list[ast.expr] = [ast.Name(argument, ast.Load()) for argument in arguments]
    return ast.Call(ast.Attribute(ast.Constant(MARK), method, ast.Load()), first + names, [])


def _located(node: Any, where: ast.AST) -> Any:
    """The node, and everything new in it, on the line of another one."""
    ast.copy_location(node, where)
    return ast.fix_missing_locations(node)


class _Returns(ast.NodeTransformer):
    """Passes what a function returns through the hook; functions inside it are left alone."""

    def __init__(self, arguments: list[str]) -> None:
        self.arguments = arguments

    def edit(self, definition: ast.FunctionDef) -> None:
        """Change every return, and the end of the body."""
        definition.body = [self.visit(statement) for statement in definition.body]
        end = ast.Return(_call("leave", [ast.Constant(None)], self.arguments))
        definition.body.append(_located(end, definition.body[-1]))

    def visit_Return(self, node: ast.Return) -> ast.Return:  # noqa: N802 - the name is ast's
        """``return x`` becomes ``return probe.leave(x, *arguments)``."""
        call = _located(_call("leave", [], self.arguments), node)
        call.args.insert(0, node.value or _located(ast.Constant(None), node))
        result: ast.Return = ast.copy_location(ast.Return(call), node)
        return result

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:  # noqa: N802
        """Not this function's returns."""
        return node

    def visit_Lambda(self, node: ast.Lambda) -> ast.Lambda:  # noqa: N802
        """Not this function's returns."""
        return node
