"""A probe tells of a function's arguments and results, and nothing else of the function changes."""

from __future__ import annotations

import dis
import functools
import importlib.util
import inspect
import io
import linecache
import traceback
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from fitwell.watching import hooks
from fitwell.watching.probe import Probe

SOURCE = '''"""Functions that are probed."""

import functools
import warnings
from math import sqrt as root


def decorated(function):
    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        return function(*args, **kwargs)
    return wrapper


def plain(a, b=2, *rest, c, d=4, **more):
    """What it does."""
    return (a, b, rest, c, d, more)


def positional(a, /, b): return a + b


def nothing(a):
    a


def early(a):
    for i in range(a):
        if i == 3:
            return i
    else:
        a = -a
    with warnings.catch_warnings():
        return


def finally_(a):
    try:
        return 1 / a
    except ZeroDivisionError:
        return "none"
    finally:
        log.append(a)


def nested(a):
    def inner(b):
        return b + 1

    async def later():
        return 5

    class Local:
        def method(self):
            return 7

    return [inner(a), (lambda x: (yield x)), Local().method(), inner.__qualname__, [inner(i) for i in range(2)]]


log = []


@decorated
@decorated
def wrapped(a, b="b"):
    return a * 2


class Thing:
    __secret = 3

    def method(self, a):
        """Adds."""
        return self.__secret + a

    @staticmethod
    def static(a):
        return a

    @property
    def value(self):
        return self.__secret

    def inner(self):
        return (lambda: 1).__qualname__

    class Deep:
        def method(self):
            return self._Deep__x if hasattr(self, "_Deep__x") else self.__x

        __x = 9


def fails(a):
    b = a + 1
    return (
        root(b)
        + a["key"]
        + undefined
    )


def recursive(n):
    return n and recursive(
        n - 1
    )


def generator(a):
    yield a
    return 2


async def coroutine(a):
    return a


def deletes(a):
    del a
    return 1


def forgets(a, e):
    try:
        a()
    except Exception as e:
        pass


function = lambda a: a


def make(x):
    def closure(a):
        return a + x
    return closure


def passes(a):
    """Text, and
    text."""
    pass  # the file ends here'''


@pytest.fixture
def module(tmp_path: Path) -> ModuleType:
    path = tmp_path / "functions.py"
    path.write_text(SOURCE)
    spec = importlib.util.spec_from_file_location("functions", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Told:
    """What the hooks of a probe were told."""

    def __init__(self, function: Callable[..., Any], enter: bool = True, leave: bool = True) -> None:
        self.entered: list[tuple[Any, ...]] = []
        self.left: list[tuple[Any, ...]] = []
        self.probe = Probe(function, self._enter if enter else None, self._leave if leave else None)
        self.probe.arm()

    def _enter(self, *arguments: Any) -> None:
        self.entered.append(arguments)

    def _leave(self, *arguments: Any) -> str:
        self.left.append(arguments)
        return "ignored"


def test_every_kind_of_argument_is_told(module: ModuleType) -> None:
    known = module.plain  # as by ``from functions import plain``
    told = Told(known)
    assert known(1, c=3) == (1, 2, (), 3, 4, {})
    assert known(1, 5, 6, 7, c=3, d=0, e=8) == (1, 5, (6, 7), 3, 0, {"e": 8})
    assert told.entered == [(1, 2, (), 3, 4, {}), (1, 5, (6, 7), 3, 0, {"e": 8})]
    assert [each[0] for each in told.left] == told.entered
    assert [each[1:] for each in told.left] == told.entered
    with pytest.raises(TypeError, match="missing 1 required keyword-only argument: 'c'"):
        known(1)
    assert len(told.entered) == 2
    told = Told(module.positional)
    assert module.positional(1, b=2) == 3
    assert (told.entered, told.left) == ([(1, 2)], [(3, 1, 2)])


def test_every_way_to_return_is_told(module: ModuleType) -> None:
    told = Told(module.early)
    assert (module.early(5), module.early(2)) == (3, None)
    assert told.entered == [(5,), (2,)]
    assert told.left == [(3, 5), (None, -2)]  # arguments as they are by then
    told = Told(module.nothing)
    assert module.nothing(1) is None
    assert told.left == [(None, 1)]
    told = Told(module.passes)
    assert module.passes(1) is None
    assert told.left == [(None, 1)]
    told = Told(module.finally_)
    assert (module.finally_(2), module.finally_(0), module.log) == (0.5, "none", [2, 0])
    assert told.left == [(0.5, 2), ("none", 0)]


def test_functions_within_are_left_alone(module: ModuleType) -> None:
    expected = module.nested(1)
    told = Told(module.nested)
    found = module.nested(1)
    assert (
        [found[i] for i in (0, 2, 3, 4)] == [expected[i] for i in (0, 2, 3, 4)] == [2, 7, expected[3], [1, 2]]
    )
    assert expected[3] == "nested.<locals>.inner"
    assert len(told.left) == len(told.entered) == 1


def test_methods_keep_their_class(module: ModuleType) -> None:
    thing = module.Thing()
    inner = thing.inner()
    for function in (module.Thing.method, module.Thing.inner, module.Thing.static, module.Thing.Deep.method):
        Told(function)
    told = Told(module.Thing.value.fget)
    assert (thing.method(4), thing.inner(), thing.static(1), thing.value) == (7, inner, 1, 3)
    assert module.Thing.Deep().method() == 9
    assert told.left == [(3, thing)]


def test_of_a_decorated_function_the_innermost_is_probed(module: ModuleType) -> None:
    told = Told(module.wrapped)
    assert module.wrapped(2) == 4
    assert told.entered == [(2, "b")]
    assert module.wrapped.__wrapped__.__wrapped__ is told.probe.function


def trace(function: Callable[..., Any], *arguments: Any) -> str:
    try:
        function(*arguments)
    except Exception:
        return traceback.format_exc()
    return ""


@pytest.mark.parametrize("argument", [1, "x", {"key": "x"}, -5])
def test_tracebacks_are_the_same_to_the_column(module: ModuleType, argument: object) -> None:
    before = trace(module.fails, argument)
    told = Told(module.fails)
    assert trace(module.fails, argument) == before != ""
    assert told.left == []


def test_what_is_known_of_a_function_stays(module: ModuleType) -> None:
    functions = (module.plain, module.Thing.method, module.wrapped, module.early)
    known = [(inspect.getsource(f), inspect.signature(f), f.__doc__, f.__qualname__) for f in functions]
    codes = [inspect.unwrap(f).__code__ for f in functions]
    for function, code in zip(functions, codes, strict=True):
        Told(function)
        probed = inspect.unwrap(function).__code__
        for name in ("co_firstlineno", "co_filename", "co_name", "co_qualname", "co_varnames", "co_flags"):
            assert getattr(probed, name) == getattr(code, name)
    assert [
        (inspect.getsource(f), inspect.signature(f), f.__doc__, f.__qualname__) for f in functions
    ] == known


def test_a_probe_is_armed_and_disarmed_again_and_again(module: ModuleType) -> None:
    plain = module.positional.__code__
    told = Told(module.positional)
    for _ in range(2):
        told.probe.arm()
        module.positional(1, 2)
        told.probe.disarm()
        module.positional(1, 2)
        assert module.positional.__code__ is plain
    assert len(told.entered) == len(told.left) == 2


def test_a_function_that_runs_may_be_disarmed(module: ModuleType) -> None:
    def enter(n: int) -> None:
        if n == 1:
            probe.disarm()

    left: list[Any] = []
    probe = Probe(module.recursive, enter, lambda *each: left.append(each))
    probe.arm()
    assert module.recursive(3) == 0
    assert left == [(0, 1), (0, 2), (0, 3)]
    assert module.recursive(3) == 0
    assert len(left) == 3


def test_one_hook_is_enough(module: ModuleType) -> None:
    told = Told(module.positional, leave=False)
    assert module.positional(1, 2) == 3
    assert (told.entered, told.left) == ([(1, 2)], [])
    told.probe.disarm()
    told = Told(module.positional, enter=False)
    assert module.positional(1, 2) == 3
    assert (told.entered, told.left) == ([], [(3, 1, 2)])


@pytest.mark.parametrize("name", ["generator", "coroutine", "deletes", "forgets", "function"])
def test_what_has_no_plain_beginning_and_end_is_refused(module: ModuleType, name: str) -> None:
    with pytest.raises(ValueError, match=name if name != "function" else "<lambda>"):
        Told(getattr(module, name))


def test_what_is_not_written_in_python_or_not_there_is_refused(module: ModuleType) -> None:
    with pytest.raises(TypeError):
        Told(len)
    with pytest.raises(ValueError, match="closure"):
        Told(module.make(1))
    scope: dict[str, Any] = {}
    exec("def made(a): return a", scope)
    with pytest.raises(OSError, match="made"):
        Told(scope["made"])


def test_another_source_than_the_function_was_made_from_is_refused(module: ModuleType) -> None:
    path = Path(module.__file__ or "")
    path.write_text(SOURCE.replace("return a + b", "return a + len(b)"))
    with pytest.raises(ValueError, match="is not what positional was made from"):
        Told(module.positional)
    path.write_text("\n" + SOURCE)
    linecache.clearcache()
    with pytest.raises((ValueError, SyntaxError)):
        Told(module.plain)


class Receiver:
    """Takes everything."""

    def __getattr__(self, name: str) -> Receiver:
        return self

    def __call__(self, *_: Any) -> None:
        pass


def every_probe() -> list[Probe]:
    receiver: Any = Receiver()
    makers = (hooks.lasting, hooks.looking, hooks.modules)
    probes = [probe for make in makers for probe in make(receiver, lambda hook: hook)]
    return [*hooks.losses(lambda _: lambda *_: None), *probes, *hooks.backward(receiver.backward, None)]


def test_the_functions_of_torch_can_be_probed() -> None:
    probes = every_probe()
    functions = {probe.function for probe in probes}
    assert inspect.unwrap(nn.Module.zero_grad) in functions
    assert {getattr(F, name) for name in hooks.LOSSES} <= functions
    for probe in probes:
        plain, probed = probe._plain, probe._probed
        for name in ("co_firstlineno", "co_qualname", "co_flags"):
            assert getattr(probed, name) == getattr(plain, name)
        assert lines(plain) <= lines(probed)


def lines(code: Any) -> set[int | None]:
    return {line for _, _, line in code.co_lines()}


def test_probed_losses_are_still_scripted_and_exported() -> None:
    probe = Probe(F.mse_loss, None, lambda *_: None)
    probe.arm()
    try:
        exported = torch.fx.symbolic_trace(nn.MSELoss())
        assert exported(torch.ones(2), torch.zeros(2)).item() == 1
        assert "mse_loss" in exported.code
    finally:
        probe.disarm()


def test_hooks_may_be_any_callable(module: ModuleType) -> None:
    told = io.StringIO()
    probe = Probe(module.positional, functools.partial(print, "in", file=told), print)
    assert "enter" in {i.argval for i in dis.get_instructions(probe._probed)}
    probe.arm()
    module.positional(1, 2)
    assert told.getvalue() == "in 1 2\n"
