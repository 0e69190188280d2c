"""A program launched by fitwell does the same as by ``python``: it prints, ends, and finds around it the same."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from fitwell.errors import PlanError
from fitwell.run import Run, list_runs
from fitwell.watching import launch as launching
from fitwell.watching.launch import Program

pytest.importorskip("fcntl", reason="processes are ended by signals")

END = "the end\n"
OS_EXIT = 7
LAUNCH = """
import os, sys
from fitwell.watching.launch import Program, launch
from fitwell.watching.session import Session
is_module = sys.argv[1] == "-m"
name, *arguments = sys.argv[1 + is_module:]
program = Program(name, arguments, is_module)
launch(program, Session(program.title, {}), lambda: os.write(2, b"the end\\n"))
"""
SHOW = """
import sys
print(sys.argv, sys.path[0], __name__, __file__, __package__, __spec__ and __spec__.name)
print(type(__loader__), list(globals()), sys.excepthook is sys.__excepthook__)
import side
print(side.__file__)
1 / side.zero
"""
MULTIPROCESSING = """
import multiprocessing, pickle
from concurrent.futures import ProcessPoolExecutor
class Pair:
    def __init__(self, x):
        self.x = x
def double(pair):
    return Pair(pair.x * 2)
if __name__ == "__main__":
    for method in ("fork", "spawn"):
        with multiprocessing.get_context(method).Pool(1) as pool:
            print([pair.x for pair in pool.map(double, [Pair(1), Pair(2)])])
    with ProcessPoolExecutor(1) as pool:
        print([pair.x for pair in pool.map(double, [Pair(3)])])
    print(pickle.dumps(Pair(1)))
"""


@dataclass(frozen=True)
class Ended:
    """What is seen of a process from outside."""

    code: int
    output: str
    errors: str


Files = dict[str, str | bytes]
Both = Callable[..., Ended]


@pytest.fixture
def both(tmp_path: Path) -> Both:
    """Run a program by ``python`` and by ``launch``; they must not differ. What the program did is returned."""

    def run(
        program: str | Files, *arguments: str, then: signal.Signals | None = None, **environment: str
    ) -> Ended:
        sources = program if isinstance(program, dict) else {"program.py": program}
        for name, source in sources.items():
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_bytes(source if isinstance(source, bytes) else source.encode())
        environment["FITWELL_RUNS"] = "runs"
        rest = arguments or ("program.py",)
        alone = ended([*rest], tmp_path, then, environment)
        launched = ended(["-c", LAUNCH, *rest], tmp_path, then, environment)
        killed = (alone.code < 0 and alone.code != -signal.SIGINT) or alone.code == OS_EXIT
        assert launched == Ended(alone.code, alone.output, alone.errors + END * (not killed))
        return alone

    return run


def ended(
    arguments: list[str], folder: Path, then: signal.Signals | None, environment: dict[str, str]
) -> Ended:
    with subprocess.Popen(
        [sys.executable, *arguments], cwd=folder, env=os.environ | environment, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        begin = ""
        if then is not None:
            assert process.stdout
            begin = process.stdout.readline()
            time.sleep(0.1)  # until it sleeps
            process.send_signal(then)
        output, errors = process.communicate("typed\n", timeout=60)
    return Ended(process.returncode, begin + output, errors)


def the_run(folder: Path) -> Run:
    (run,) = list_runs(folder / "runs")
    return run


ENDINGS = {
    "nothing": ("", 0, "done"),
    "exit": ("import sys; sys.exit(3)", 3, "failed"),
    "exit with a text": ("import sys; sys.exit('no data')", 1, "failed"),
    "exit with nothing": ("import sys; sys.exit()", 0, "done"),
    "exit of a thread": (
        "import sys, threading, time\ndef run(): time.sleep(.05); print('ran'); sys.exit(4)\n"
        "threading.Thread(target=run).start()",
        0, "done",
    ),
    "exit at once": (f"import os; print('out', flush=True); os._exit({OS_EXIT})", OS_EXIT, "preempted"),
    "exception": ("def f(x):\n    return (x['a']\n            + 1)\nf({})", 1, "failed"),
    "chained": (
        "try:\n    try: {}['a']\n    except KeyError as e: raise ValueError('b') from e\n"
        "except ValueError: raise TypeError('c')",
        1, "failed",
    ),
    "group": ("raise ExceptionGroup('g', [ValueError(1), TypeError(2)])", 1, "failed"),
    "without words": (
        "class Silent(Exception):\n    def __str__(self): raise RuntimeError\nraise Silent", 1, "failed"
    ),
    "syntax": ("def f(:\n", 1, "failed"),
    "another syntax": ("eval('1 +')", 1, "failed"),
    "coding": ("# -*- coding: latin-1 -*-\nraise ValueError('\xe9')".encode("latin-1"), 1, "failed"),
    "own hook": (
        "import sys, traceback\ndef hook(kind, error, trace):\n"
        "    print(kind, traceback.extract_tb(trace), error.__traceback__ is trace, sys.excepthook is hook)\n"
        "sys.excepthook = hook\n1 / 0",
        1, "failed",
    ),
    "hook for a thread": (
        "import sys, threading, time\nthreading.excepthook = lambda a: sys.excepthook(*a[:3])\n"
        "def run(): time.sleep(.05); 1 / 0\nthreading.Thread(target=run).start()\nraise ValueError",
        1, "failed",
    ),
    "folder": ("import os; os.mkdir('b' + str(os.getpid())); os.chdir('b' + str(os.getpid()))\n1 / 0", 1, "failed"),
    "closed": ("import sys; print('out'); sys.stdout.close(); sys.stderr.close()", 0, "done"),
    "own code": ("import inspect\ndef f(): return 1  # one\nprint(inspect.getsource(f))", 0, "done"),
}  # fmt: skip


@pytest.mark.parametrize(("source", "code", "state"), ENDINGS.values(), ids=ENDINGS.keys())
def test_a_program_ends_as_it_does_alone(
    both: Both, tmp_path: Path, source: str, code: int, state: str
) -> None:
    assert both(source).code == code
    assert the_run(tmp_path).state == state


def test_exit_handlers_come_before_the_end(both: Both) -> None:
    alone = both("import atexit; atexit.register(print, 'last'); print(input(), 'first')")
    assert alone.output == "typed first\nlast\n"


HANDLERS = """
import atexit, time
class Last:
    def __del__(self): print("deleted")
last = Last()
atexit.register(print, "handler")
print("begun", flush=True)
time.sleep(60)
"""


def test_ctrl_c_ends_it_by_the_signal_after_its_handlers(both: Both, tmp_path: Path) -> None:
    alone = both(HANDLERS, then=signal.SIGINT)
    assert (alone.code, alone.output) == (-signal.SIGINT, "begun\nhandler\ndeleted\n")
    assert the_run(tmp_path).state == "preempted"


def test_python_may_forget_that_it_was_interrupted(both: Both) -> None:
    source = "import atexit; atexit.register(lambda: exec('x = 1'))\nraise KeyboardInterrupt"
    assert both(source).code == 1  # as it does alone, when anything is compiled from a text


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_what_kills_a_program_leaves_a_run_that_has_ended(
    both: Both, tmp_path: Path, how: signal.Signals
) -> None:
    alone = both(HANDLERS, then=how)
    assert (alone.code, alone.output) == (-how, "begun\n")
    assert the_run(tmp_path).state == "preempted"


def test_a_child_that_goes_on_does_not_keep_the_run_alive(tmp_path: Path) -> None:
    source = "import os, time\nif os.fork(): os.kill(os.getpid(), 9)\nos.closerange(0, 3)\ntime.sleep(5)"
    (tmp_path / "program.py").write_text(source)
    runs = {"FITWELL_RUNS": str(tmp_path / "runs")}
    began = time.monotonic()
    assert ended(["-c", LAUNCH, "program.py"], tmp_path, None, runs).code == -signal.SIGKILL
    assert time.monotonic() - began < 4  # the child is still there
    assert the_run(tmp_path).state == "preempted"


def test_processes_get_what_is_defined_in_the_program(both: Both) -> None:
    assert both(MULTIPROCESSING).output.startswith("[2, 4]\n[2, 4]\n[6]\nb'")


def test_a_forked_process_is_another_program(both: Both, tmp_path: Path) -> None:
    source = "import os, sys\nif os.fork() == 0: sys.exit(5)\nprint(os.waitstatus_to_exitcode(os.wait()[1]))"
    assert both(source).output == "5\n"
    assert the_run(tmp_path).state == "done"


PACKAGE = {
    "package/__init__.py": "import sys; print(sys.argv)",
    "package/part.py": "from . import side" + SHOW.replace("import side", ""),
    "package/__main__.py": "from . import side" + SHOW.replace("import side", ""),
    "package/side.py": "zero = 0",
}


def archive() -> bytes:
    content = io.BytesIO(b"#!/usr/bin/env python3\n")
    content.seek(0, io.SEEK_END)
    with zipfile.ZipFile(content, "a") as file:
        file.writestr("__main__.py", SHOW)
        file.writestr("side.py", "zero = 0")
    return content.getvalue()


@pytest.mark.parametrize(
    ("sources", "arguments"),
    [
        ({"my program.py": SHOW, "side.py": "zero = 0"}, ("./my program.py", "--runs", "-m", "a b", "--", "")),
        ({"no_suffix": SHOW, "side.py": "zero = 0", "folder/x": ""}, ("folder/../no_suffix",)),
        (PACKAGE, ("-m", "package.part", "--json", "x")),
        (PACKAGE, ("-m", "package")),
        ({"package/__init__.py": "1 / 0", "package/part.py": ""}, ("-m", "package.part")),
        ({}, ("-m", "absent")),
        ({"folder/__main__.py": SHOW, "folder/side.py": "zero = 0"}, ("./folder/", "x")),
        ({"folder/x": ""}, ("folder",)),
        ({"archive.pyz": archive()}, ("archive.pyz", "x")),
    ],
    ids=["path", "dots", "module", "package", "broken package", "no module", "folder", "no main", "archive"],
)  # fmt: skip
@pytest.mark.parametrize("safe", ["", "1"])
def test_a_program_finds_around_it_what_it_finds_alone(
    both: Both, sources: Files, arguments: tuple[str, ...], safe: str
) -> None:
    assert both(sources, *arguments, PYTHONSAFEPATH=safe).code == 1


def test_torch_is_looked_for_and_then_imported(both: Both, tmp_path: Path) -> None:
    find = "import importlib.util as util; print(util.find_spec('torch').origin)"
    source = f"{find}\nimport torch\nprint(vars(torch.__loader__))"
    both({"program.py": source, "torch.py": ""})
    assert "could not begin" in the_run(tmp_path).facts["unseen"]["everything"]  # for this is not torch


FAILING = """
import traceback
def load():
    import torch
try:
    load()
except {error}:
    traceback.print_exc()
import torch
"""


@pytest.mark.parametrize(
    ("error", "torch"),
    [("ImportError", "import absent"), ("ZeroDivisionError", "def f(): 1 / 0\nf()"), ("SyntaxError", "x =")],
)
def test_a_torch_that_fails_fails_as_it_does_alone(both: Both, error: str, torch: str) -> None:
    alone = both(
        {
            "program.py": FAILING.format(error=error),
            "torch/__init__.py": "from . import a",
            "torch/a.py": torch,
        }
    )
    assert alone.errors.count("Traceback") == 2


def test_a_torch_that_fails_at_first_is_watched_later(both: Both, tmp_path: Path) -> None:
    source = (
        "import os\ntry:\n    import torch\nexcept KeyError:\n    os.environ['READY'] = 'yes'\nimport torch"
    )
    both({"program.py": source, "torch.py": "import os; os.environ['READY']"})
    assert the_run(tmp_path).facts["unseen"]


def test_torch_in_a_forked_process_is_left_alone(both: Both, tmp_path: Path) -> None:
    source = "import os\nif os.fork() == 0:\n    import torch\n    os._exit(0)\nos.wait()"
    both({"program.py": source, "torch.py": ""})
    assert the_run(tmp_path).facts == {}


def test_what_ended_it_is_in_the_facts_without_torch(both: Both, tmp_path: Path) -> None:
    both("x = {}\nx['key']")
    failure = the_run(tmp_path).facts["failure"]
    assert (failure["type"], failure["where"]["line"], failure["where"]["text"]) == (
        "KeyError",
        2,
        "x['key']",
    )


def test_act_is_called_at_once_where_torch_is_there() -> None:
    called: list[int] = []
    launching.when_torch_is_imported(lambda: called.append(1))
    assert called == [1]


def test_a_program_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match="there is no such file"):
        Program(str(tmp_path / "absent.py"), []).check()
    Program("any.module", [], is_module=True).check()


def test_a_folder_gives_the_run_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert Program(".", []).title == tmp_path.name
    assert Program("a.b", [], is_module=True).title == "a.b"
