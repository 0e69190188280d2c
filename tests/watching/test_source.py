"""Where something happened: whose line it was, and what the program calls a thing, found without touching anything."""

from __future__ import annotations

import sys
import sysconfig
import weakref
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import fitwell
from fitwell.watching.source import attributes, origin, user_frame, variable_name, variables, where

LIBRARY = Path(sysconfig.get_paths()["purelib"])


class Thing:
    """Something with a name."""


def from_file(source: str, file: str, **scope: Any) -> Any:
    """What ``run()`` of this source returns, as if it stood in that file."""
    exec(compile(source, file, "exec"), scope)
    return scope["run"]()


@pytest.mark.parametrize(
    ("file", "whose"),
    [
        ("/home/ann/train.py", "program"),
        ("/home/ann/torch/train.py", "program"),
        (__file__, "program"),
        ("<stdin>", "program"),
        ("<ipython-input-3-7f>", "program"),
        ("<doctest guide[0]>", "program"),
        (torch.__file__, "torch"),
        (nn.__file__, "torch"),
        (str(LIBRARY / "torchvision" / "models.py"), "library"),
        (str(LIBRARY / "ignite" / "torch" / "engine.py"), "library"),
        (weakref.__file__, "library"),
        ("/usr/lib/python3/dist-packages/six.py", "library"),
        ("/home/ann/.local/lib/python3.11/site-packages/six.py", "library"),
        ("<frozen runpy>", "library"),
        ("<string>", "library"),  # such as the __init__ of a dataclass
        ("<eval_with_key>.7", "library"),  # torch.fx
        (str(Path(fitwell.__file__).parent / "watching" / "watcher.py"), "fitwell"),
        (str(Path(fitwell.__file__).parent / "training" / "loop.py"), "fitwell"),
        (str(Path(fitwell.__file__).parent) + "_extra/loop.py", "program"),
    ],
)
def test_origin(file: str, whose: str) -> None:
    assert origin(file) == whose


def test_where_is_the_innermost_line_of_the_program() -> None:
    class Net(nn.Module):
        def forward(self, x: torch.Tensor) -> Any:
            return from_file("def run():\n    return where()", str(LIBRARY / "deep.py"), where=where)

    found = Net()(torch.ones(1))
    assert found is not None
    assert (found.file, found.function) == (__file__, "from_file")
    assert found.text == 'return scope["run"]()'
    assert found.plain()["line"] == found.line > 1


LAUNCH = str(Path(fitwell.__file__).parent / "watching" / "launch.py")
CALL = "def run():\n    return called()"


def test_beneath_a_launched_program_there_is_nothing_of_it() -> None:
    assert from_file(CALL, LAUNCH, called=user_frame) is None


def test_if_all_is_library_it_is_what_called_torch() -> None:
    torchs: dict[str, Any] = {"called": user_frame}
    exec(compile(CALL, torch.__file__, "exec"), torchs)
    library: dict[str, Any] = {"called": torchs["run"]}
    exec(compile(CALL, str(LIBRARY / "tool" / "trainer.py"), "exec"), library)
    frame = from_file(CALL, LAUNCH, called=library["run"])
    assert frame is not None
    assert frame.f_code.co_filename == str(LIBRARY / "tool" / "trainer.py")


def test_a_variable_is_found_in_the_function_its_callers_and_self() -> None:
    class Trainer:
        def __init__(self) -> None:
            self.net = Thing()

        def name(self) -> str:
            return variable_name(self.net, sys._getframe())

    def inner(other: Thing) -> tuple[str, str]:
        return variable_name(other, sys._getframe()), variable_name(outer, sys._getframe())

    outer = Thing()
    assert inner(Thing()) == ("other", "outer")
    assert Trainer().name() == "net"
    assert variable_name(LIBRARY, sys._getframe()) == "LIBRARY"
    assert variable_name(Thing(), sys._getframe()) == ""
    assert variable_name(outer, None) == ""


def test_a_module_of_self_is_found() -> None:
    class Outer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder = nn.Linear(1, 1)

        def forward(self, x: torch.Tensor) -> str:
            return variable_name(self.encoder, sys._getframe())

    assert Outer()(torch.ones(1)) == "encoder"


def test_no_property_of_the_program_is_run() -> None:
    class Proxy:
        def __getattribute__(self, name: str) -> Any:
            raise AssertionError(name)

        def method(self) -> str:
            return variable_name(3.25, sys._getframe())

    proxy = Proxy()
    assert Proxy.method(proxy) == ""
    assert attributes(proxy) == {}
    assert attributes(3) == {}
    assert attributes(None) == {}


def test_the_dict_that_locals_returned_is_not_updated() -> None:
    def keeps() -> dict[str, Any]:
        kept = locals()
        later = Thing()
        variable_name(later, sys._getframe())
        return kept

    def asks() -> dict[str, Any]:
        kept = vars()
        later = Thing()
        variable_name(later, sys._getframe())
        return kept

    assert keeps() == {}
    assert asks() == {}


def test_a_function_that_asks_for_the_attributes_of_a_thing_is_looked_into() -> None:
    def train() -> str:
        net = Thing()
        vars(net)
        return variable_name(net, sys._getframe())

    assert train() == "net"


def test_nothing_is_kept_alive() -> None:
    def train() -> tuple[str, object]:
        thing = Thing()
        alive = weakref.ref(thing)
        name = variable_name(thing, sys._getframe())
        del thing
        return name, alive()

    assert train() == ("thing", None)


def test_variables_of_a_frame_that_is_over() -> None:
    def fails(x: int) -> None:
        doubled = 2 * x
        raise ValueError(doubled)

    with pytest.raises(ValueError, match="6") as raised:
        fails(3)
    assert variables(raised.traceback[-1]._rawentry.tb_frame) == {"x": 3, "doubled": 6}
    assert variables(raised.traceback[-1]._rawentry.tb_frame) == {"x": 3, "doubled": 6}
