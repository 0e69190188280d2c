"""A probe runs a function of ours where a Python function begins and where it returns, in that function's own frame.

A wrapper would stand in every traceback and would miss names that were imported before it was put there
(``from torch.nn.functional import cross_entropy``). A probe exchanges the function's code instead: the same source,
compiled again with two more calls in it, which keep the lines and columns that a traceback shows. To take it away
is to put the old code back.
"""

from __future__ import annotations
import __future__

import ast
import functools
import inspect
import linecache
import operator
from collections.abc import Callable, Iterator
from types import CodeType, FunctionType
from typing import Any

MARK = "\0fitwell probe"  # stands for the probe in the source, and is exchanged for it in the compiled code
PAUSED = inspect.CO_GENERATOR | inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR
FUTURES = functools.reduce(
    operator.or_, (getattr(__future__, name).compiler_flag for name in __future__.all_feature_names)
)


class Probe:
    """Two hooks in a function; inactive until ``arm`` is called.

    Args:
        function: any function written in Python whose source is at hand; of a decorated one the innermost.
        enter: is called with the function's arguments before anything else happens.
        leave: is called with the result and the arguments (as they are by then) when the function returns; what it
            returns is ignored.

    What the hooks raise would reach the caller of the function: they must not raise.

    Raises:
        OSError, TypeError, ValueError, SyntaxError: the source of the function is not there or is another one, or it
            is a closure, a generator, or deletes an argument.
    """

    def __init__(
        self, function: Callable[..., Any], enter: Callable[..., Any] | None, leave: Callable[..., Any] | None
    ) -> None:
        self.function = _innermost(function)
        self.enter, self._leave = enter, leave
        self._plain = self.function.__code__
        code = _compiled(self._plain, enter is not None, leave is not None)
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
    if function.__code__.co_flags & PAUSED:
        raise ValueError(f"{function.__qualname__} does not run from its beginning to its end at once")
    return function


def _compiled(code: CodeType, enter: bool, leave: bool) -> CodeType:
    tree = _tree(code)
    definition = next((node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)), None)
    if definition is None:
        raise ValueError(f"{code.co_qualname} is not made by def")
    arguments = _arguments(definition.args)
    if leave:
        if any(_deletes(node, arguments) for node in ast.walk(definition)):
            raise ValueError(f"{code.co_qualname} deletes an argument, so that it can't be told at the end")
        _Returns(arguments).edit(definition)
    if enter:
        call = ast.Expr(_call("enter", [], arguments))
        definition.body.insert(0, _located(call, definition.body[0]))
    probed = _found(tree, code)
    names = [set(each.co_names) - {"enter", "leave"} for each in (probed, code)]
    if probed.co_varnames != code.co_varnames or names[0] != names[1]:
        raise ValueError(f"{code.co_filename} is not what {code.co_qualname} was made from")
    return probed.replace(co_qualname=code.co_qualname)


def _tree(code: CodeType) -> ast.Module:
    """The definition of a function, on the lines and in the columns where it stands, in a class if it is a method."""
    first, last = code.co_firstlineno, max(_lines(code))
    lines = linecache.getlines(code.co_filename)[first - 1 : last]
    if not lines:
        raise OSError(f"the source of {code.co_qualname} is not there")
    owner = code.co_qualname.rpartition(".")[0].rpartition(".")[2]
    block = f"class {owner}:\n" if owner.isidentifier() else "if True:\n"
    indented = lines[0][:1].isspace()
    above = "\n" * (first - 2) + block if indented else "\n" * (first - 1)
    return ast.parse(above + "".join(lines))


def _found(tree: ast.Module, like: CodeType) -> CodeType:
    """The code of the function in a tree."""
    flags = like.co_flags & FUTURES
    codes: list[CodeType] = [compile(tree, like.co_filename, "exec", dont_inherit=True, flags=flags)]
    for code in codes:
        if code.co_name == like.co_name and code.co_firstlineno == like.co_firstlineno:
            return code
        codes.extend(part for part in code.co_consts if isinstance(part, CodeType))
    raise ValueError(f"{like.co_filename} is not what {like.co_qualname} was made from")


def _lines(code: CodeType) -> Iterator[int]:
    """The last lines of everything in a function, and in the functions within it."""
    for _, end, _, _ in code.co_positions():
        yield end or 0
    for _, _, line in code.co_lines():
        yield line or 0
    for part in code.co_consts:
        if isinstance(part, CodeType):
            yield from _lines(part)


def _arguments(arguments: ast.arguments) -> list[str]:
    every = [
        *arguments.posonlyargs,
        *arguments.args,
        arguments.vararg,
        *arguments.kwonlyargs,
        arguments.kwarg,
    ]
    return [argument.arg for argument in every if argument is not None]


def _call(method: str, first: list[ast.expr], arguments: list[str]) -> ast.Call:
    names: list[ast.expr] = [ast.Name(argument, ast.Load()) for argument in arguments]
    return ast.Call(ast.Attribute(ast.Constant(MARK), method, ast.Load()), first + names, [])


def _deletes(node: ast.AST, names: list[str]) -> bool:
    if isinstance(node, ast.ExceptHandler):
        return node.name in names  # Python deletes it at the end of the block
    return isinstance(node, ast.Name) and isinstance(node.ctx, ast.Del) and node.id in names


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

    def visit_Return(self, node: ast.Return) -> ast.Return:
        """``return x`` becomes ``return probe.leave(x, *arguments)``."""
        call = _located(_call("leave", [], self.arguments), node)
        call.args.insert(0, node.value or _located(ast.Constant(None), node))
        result: ast.Return = ast.copy_location(ast.Return(call), node)
        return result

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:
        """Not this function's returns."""
        return node

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AsyncFunctionDef:
        """Not this function's returns."""
        return node

    def visit_Lambda(self, node: ast.Lambda) -> ast.Lambda:
        """Not this function's returns."""
        return node
