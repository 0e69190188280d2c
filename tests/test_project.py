"""What holds for the project as a whole: imports, errors, the mirror of src, the sizes of files."""

import copy
import importlib.util
import pickle
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from fitwell import errors
from fitwell.errors import FitwellError

ROOT = Path(__file__).parents[1]
SRC = ROOT / "src" / "fitwell"

# Modules without a test file of their own, and why.
EXEMPT = {
    "__init__.py": "test_imports_leave_torch_out and every example of the guide go through it",
    "errors.py": "tested below",
    "remedy.py": "nouns without behavior, used by every test of remedies",
    "data/contract.py": "nouns without behaviour, used by every test of data",
    "integrations/_training.py": "what the callbacks of lightning, transformers and skorch share: tested through them",
    "views/page.py": "the frame of both reports: tested through them",
    "watching/signals/loss.py": "tested with phases and losses",
    "training/observer.py": "a protocol, and an observer that does nothing",
}
# Folders whose members are tested together, by test_<folder>.py, and in files of any name where behavior needs it.
MEMBERS = ("rules", "remedies", "interventions", "layers")
# Tests of laws that many modules keep together.
LAWS = {
    Path("test_project.py"),
    Path("training/test_resume.py"),
    Path("lab/test_neutrality.py"),
    Path("lab/test_programs.py"),
    Path("lab/test_figures.py"),
    Path("watching/signals/test_signals.py"),
    Path("rules/test_rules.py"),
}


def subclasses(cls: type) -> list[type]:
    return [cls, *(deeper for child in cls.__subclasses__() for deeper in subclasses(child))]


ERRORS = [cls for cls in subclasses(FitwellError) if cls.__module__ == errors.__name__]


@pytest.mark.parametrize("module", ["fitwell", "fitwell.run", "fitwell.plan", "fitwell.errors"])
def test_imports_leave_torch_out(module: str) -> None:
    heavy = "{'torch', 'numpy', 'pandas', 'sklearn', 'matplotlib'}"
    program = f"import sys, {module}; sys.exit(', '.join(sorted({heavy} & set(sys.modules))) or 0)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"import {module} brings {done.stderr}"


@pytest.mark.parametrize("cls", ERRORS)
def test_an_error_says_what_happened_what_was_expected_and_the_fix(cls: type[FitwellError]) -> None:
    error = cls("lr = -1 can't be used", "a number above 0", "change lr")
    assert (error.happened, error.expected, error.fix) == (
        "lr = -1 can't be used", "a number above 0", "change lr",
    )  # fmt: skip
    assert str(error) == "lr = -1 can't be used\n  expected: a number above 0\n  fix: change lr"


@pytest.mark.parametrize("cls", ERRORS)
@pytest.mark.parametrize(
    "carry", [copy.copy, lambda e: pickle.loads(pickle.dumps(e))], ids=["copy", "pickle"]
)
def test_an_error_travels_between_processes(cls: type[FitwellError], carry) -> None:
    error = cls("happened", "expected", "fix")
    again = carry(error)
    assert type(again) is cls
    assert str(again) == str(error)


@pytest.mark.parametrize(
    ("cls", "usual"),
    [
        (errors.PlanError, ValueError),
        (errors.DataError, ValueError),
        (errors.StorageError, OSError),
        (errors.DamagedError, errors.RunError),
    ],
)
def test_an_error_is_caught_as_what_python_calls_it(cls: type[FitwellError], usual: type[Exception]) -> None:
    with pytest.raises(usual, match="it broke"):
        raise cls("it broke", "a whole one", "mend it")


def test_every_error_stands_in_the_tree_that_people_read() -> None:
    assert len(ERRORS) >= 8
    missing = [
        cls.__name__ for cls in ERRORS if f" {cls.__name__} " not in f" {errors.__doc__} ".replace("\n", " ")
    ]
    assert not missing


def has_code(path: Path) -> bool:
    """Whether a module defines anything; one that only names and re-exports needs no test."""
    return any(line.startswith(("def ", "class ", "async def ")) for line in path.read_text().splitlines())


def mirror(module: Path) -> Path:
    """src/fitwell/data/table.py -> tests/data/test_table.py; data/__init__.py -> tests/data/test_data.py."""
    name = module.parent.name if module.name == "__init__.py" else module.stem
    return module.parent / f"test_{name}.py"


def source_modules() -> list[Path]:
    """All but the members of folders that are tested together."""
    found = [path.relative_to(SRC) for path in sorted(SRC.rglob("*.py")) if has_code(path)]
    return [path for path in found if path.parent.name not in MEMBERS]


def test_every_module_has_its_test_file() -> None:
    missing = [
        f"src/fitwell/{module} needs tests/{mirror(module)}"
        for module in source_modules()
        if str(module) not in EXEMPT and not (ROOT / "tests" / mirror(module)).is_file()
    ]
    assert not missing, "\n".join(missing)


def test_every_test_file_has_its_module() -> None:
    known = {mirror(module) for module in source_modules()} | LAWS
    files = (path.relative_to(ROOT / "tests") for path in (ROOT / "tests").rglob("test_*.py"))
    tests = {path for path in files if path.parent.name not in MEMBERS}
    assert sorted(map(str, tests - known)) == []


def test_the_exempt_modules_exist_and_have_no_test_file() -> None:
    for name in EXEMPT:
        assert (SRC / name).is_file(), name
        assert not (ROOT / "tests" / mirror(Path(name))).is_file(), f"{name} is tested: take it off the list"


@pytest.fixture(scope="module")
def sizes() -> ModuleType:
    spec = importlib.util.spec_from_file_location("sizes", ROOT / "tools" / "sizes.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def function_of(lines: int, docstring: int = 0) -> str:
    words = ['    """' + "words\n" * (docstring - 1) + '    """'] if docstring else []
    return "\n".join(["def f():", *words, *["    pass"] * (lines - 1)]) + "\n"


@pytest.mark.parametrize(
    ("source", "fault"),
    [
        (function_of(40), None),
        (function_of(41), "module.py:1: function f has 41 lines, the limit is 40"),
        (function_of(40, docstring=30), None),
        ("class C:\n" + "    x = 1\n" * 199, None),
        ("class C:\n" + "    x = 1\n" * 200, "module.py:1: class C has 201 lines, the limit is 200"),
        ("x = 1\n" * 400, None),
        ('"""' + "words\n" * 50 + '"""\n' + "x = 1\n" * 400, None),
        ("x = 1\n" * 401, "module.py:1: file has 401 lines, the limit is 400"),
    ],
)
def test_sizes_counts_lines_without_docstrings(
    sizes: ModuleType, tmp_path: Path, source: str, fault: str | None
) -> None:
    (tmp_path / "module.py").write_text(source)
    assert list(sizes.too_long([str(tmp_path)])) == ([f"{tmp_path}/{fault}"] if fault else [])
