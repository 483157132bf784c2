"""Shows that the repository keeps the house rules that no linter checks.

Sizes of files and functions, names of modules, what library code may not contain, what loads at
`import zkfed`, and that the import contracts in pyproject.toml name every module there is.
Each rule is a function from a parsed file to its offences, and is shown to catch a sample.
"""

from __future__ import annotations

import ast
import contextlib
import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
LIBRARY = ROOT / "zkfed"
FOLDERS = ("zkfed", "tests", "benches", "examples")

FILE_LINES_MAX = 400
FUNCTION_LINES_MAX = 70
ARGUMENTS_MAX = 5
EMPTY_NAMES = {"base", "common", "core", "helper", "helpers", "manager", "misc", "types", "util", "utils"}
CHANCE = {"random", "numpy.random", "np.random"}
SYNTHETIC_DATA = {LIBRARY / "orchestrator" / "synthetic.py"}  # draws data to play with, nothing secret
UNSAFE_LOADERS = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve"}
HEAVY = {
    "galois", "matplotlib", "numba", "opendp", "py_arkworks_bls12381", "py_ecc", "rich", "scipy", "sklearn", "tenseal",
}  # fmt: skip

Offences = Iterator[tuple[int, str]]
Function = ast.FunctionDef | ast.AsyncFunctionDef


# -- the rules ------------------------------------------------------------------------------------


def functions(tree: ast.Module) -> Iterator[Function]:
    return (node for node in ast.walk(tree) if isinstance(node, Function))


def long_functions(tree: ast.Module) -> Offences:
    for function in functions(tree):
        lines = (function.end_lineno or function.lineno) - function.lineno + 1
        if lines > FUNCTION_LINES_MAX:
            yield function.lineno, f"{function.name} has {lines} lines, at most {FUNCTION_LINES_MAX}"


def many_arguments(tree: ast.Module) -> Offences:
    for function in functions(tree):
        a = function.args
        named = [x.arg for x in (*a.posonlyargs, *a.args, *a.kwonlyargs) if x.arg not in {"self", "cls"}]
        if len(named) > ARGUMENTS_MAX:
            yield function.lineno, f"{function.name} has {len(named)} arguments, at most {ARGUMENTS_MAX}"


def undocumented(tree: ast.Module) -> Offences:
    if ast.get_docstring(tree) is None:
        yield 1, "the module has no docstring"
    for node in tree.body:
        is_public = isinstance(node, Function | ast.ClassDef) and not node.name.startswith("_")
        if is_public and ast.get_docstring(node) is None:
            yield node.lineno, f"{node.name} has no docstring"


def assertions(tree: ast.Module) -> Offences:
    return ((node.lineno, "assert vanishes under python -O") for node in ast.walk(tree) if isinstance(node, ast.Assert))


def prints(tree: ast.Module) -> Offences:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in {"print", "input"}:
            yield node.lineno, f"{node.func.id}()"


def used_modules(tree: ast.Module) -> Offences:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            yield node.lineno, f"{node.value.id}.{node.attr}"


def chance(tree: ast.Module) -> Offences:
    for line, used in used_modules(tree):
        if any(f"{used}.".startswith(f"{name}.") for name in CHANCE):
            yield line, f"uses {used}; draw from `secrets`"


def unsafe_loaders(tree: ast.Module) -> Offences:
    return ((line, f"uses {used}") for line, used in used_modules(tree) if used.split(".")[0] in UNSAFE_LOADERS)


def bare_exceptions(tree: ast.Module) -> Offences:
    for node in ast.walk(tree):
        if isinstance(node, ast.Raise) and node.exc is not None:
            raised = node.exc.func if isinstance(node.exc, ast.Call) else node.exc
            if isinstance(raised, ast.Name) and raised.id in {"Exception", "BaseException", "AssertionError"}:
                yield node.lineno, f"raises {raised.id}; zkfed/errors.py has a typed error"


def python_files(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def offences(rule: Callable[[ast.Module], Offences], files: list[Path]) -> list[str]:
    found = []
    for path in files:
        tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
        found += [f"{path.relative_to(ROOT)}:{line}: {what}" for line, what in rule(tree)]
    return found


@pytest.mark.parametrize("rule", [long_functions], ids=lambda rule: rule.__name__)
def test_all_code_keeps(rule: Callable[[ast.Module], Offences]) -> None:
    assert offences(rule, python_files(*FOLDERS)) == []


@pytest.mark.parametrize(
    "rule",
    [many_arguments, undocumented, assertions, unsafe_loaders, bare_exceptions],
    ids=lambda rule: rule.__name__,
)
def test_the_library_keeps(rule: Callable[[ast.Module], Offences]) -> None:
    assert offences(rule, python_files("zkfed")) == []


def test_only_the_command_line_prints() -> None:
    files = [path for path in python_files("zkfed") if path.name != "__main__.py"]
    assert offences(prints, files) == []


def test_randomness_comes_from_the_system() -> None:
    files = [path for path in python_files("zkfed") if path not in SYNTHETIC_DATA]
    assert offences(chance, files) == []


@pytest.mark.parametrize(
    ("rule", "sample"),
    [
        (long_functions, "def f():\n" + "    x = 1\n" * 70),
        (many_arguments, "class A:\n  def f(self, a, b, *, c, d, e, f): ..."),
        (undocumented, "x = 1"),
        (undocumented, '"""doc"""\ndef f(): ...'),
        (undocumented, '"""doc"""\nclass A: ...'),
        (assertions, "def f(x):\n    assert x"),
        (prints, "def f(x):\n    print(x)"),
        (unsafe_loaders, "def f():\n    import pickle"),
        (unsafe_loaders, "from pickle import loads"),
        (chance, "from random import randint"),
        (chance, "import numpy.random"),
        (chance, "from numpy import random"),
        (chance, "import numpy as np\nx = np.random.default_rng()"),
        (chance, "import random as r"),
        (bare_exceptions, "raise Exception('x')"),
        (bare_exceptions, "raise AssertionError"),
    ],
)
def test_each_rule_catches_what_it_forbids(rule: Callable[[ast.Module], Offences], sample: str) -> None:
    assert len(list(rule(ast.parse(sample)))) > 0


# -- files and names ------------------------------------------------------------------------------


def test_no_file_is_longer_than_a_reader_holds() -> None:
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in python_files(*FOLDERS)}
    assert {str(path): n for path, n in lengths.items() if n > FILE_LINES_MAX} == {}


def test_names_say_what_is_inside() -> None:
    paths = [path.relative_to(ROOT) for path in python_files(*FOLDERS)]
    names = {str(path): {part.removesuffix(".py").removeprefix("test_") for part in path.parts} for path in paths}
    assert [path for path, parts in names.items() if parts & EMPTY_NAMES] == []


def test_nothing_is_deeper_than_one_folder() -> None:
    assert [str(p) for p in python_files("zkfed") if len(p.relative_to(LIBRARY).parts) > 2] == []


def test_tests_open_with_what_they_show() -> None:
    silent = [p for p in (ROOT / "tests").rglob("test_*.py") if not ast.get_docstring(ast.parse(p.read_text("utf-8")))]
    assert [str(path) for path in silent] == []


def text_files() -> Iterator[tuple[Path, str]]:
    """Yields every text file that is, or may become, part of the repository."""
    made = {"build", "dist", "__pycache__"}
    for folder, below, names in os.walk(ROOT):
        below[:] = [d for d in below if d not in made and (not d.startswith(".") or d == ".ci")]
        for path in (Path(folder, name) for name in sorted(names)):
            if path != Path(__file__).resolve():
                with contextlib.suppress(UnicodeDecodeError):
                    yield path, path.read_text(encoding="utf-8")


MACHINE = re.compile(
    r"(?<![\w.$}])/(home|root|work|opt|tmp|Users|mnt|srv)/\w"  # a path of one machine
    r"|[A-Z]:\\Users"
    r"|\b(pypi\.org|pythonhosted\.org|crates\.io/api|registry\.npmjs)"  # a registry's host
    r"|(--|_)(index-url|INDEX_URL|find-links|FIND_LINKS|trusted-host)",
)


def test_no_file_names_a_machine_or_a_registry() -> None:
    found = [f"{path.relative_to(ROOT)}: {match[0]}" for path, text in text_files() for match in MACHINE.finditer(text)]
    assert found == []
    for sample in ("see /home/me/x", '"/tmp/x"', "https://pypi" + ".org/simple", "pip --index-url x"):
        assert MACHINE.search(sample), sample


# -- imports --------------------------------------------------------------------------------------


def fresh(script: str, *flags: str) -> str:
    """Runs a script in a fresh interpreter and returns what it printed."""
    done = subprocess.run([sys.executable, *flags, "-c", script], cwd=ROOT, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_import_is_light() -> None:
    script = "import sys, json, zkfed; print(json.dumps(sorted({m.split('.')[0] for m in sys.modules})))"
    assert HEAVY & set(json.loads(fresh(script))) == set()


def test_every_public_name_is_there_and_loads_no_heavy_library() -> None:
    script = (
        "import sys, json, zkfed\n"
        "missing = [name for name in zkfed.__all__ if not hasattr(zkfed, name)]\n"
        "print(json.dumps([missing, sorted({m.split('.')[0] for m in sys.modules})]))"
    )
    missing, loaded = json.loads(fresh(script))
    assert missing == []
    assert HEAVY & set(loaded) == set()


def test_noise_loads_no_more_than_it_needs() -> None:
    """OpenDP's prelude would import scikit-learn, SciPy and pandas, 1.6 s of a device's first second."""
    script = (
        "import sys, json\n"
        "from zkfed.dp.noise import calibrate, sample\n"
        "sample(calibrate(1.0, 1e-6, 100), 4)\n"
        "print(json.dumps(sorted({m.split('.')[0] for m in sys.modules})))"
    )
    loaded = set(json.loads(fresh(script)))
    assert "opendp" in loaded
    assert loaded & (HEAVY - {"opendp"}) == set()
    assert loaded & {"pandas", "polars"} == set()


def test_every_module_imports_without_its_checks_being_optimised_away() -> None:
    modules = [".".join(p.relative_to(ROOT).with_suffix("").parts) for p in python_files("zkfed")]
    modules = [name.removesuffix(".__init__") for name in modules]
    script = f"import importlib\nfor name in {modules!r}: importlib.import_module(name)\nprint('done')"
    # Flower imports typer, which imports names that click is about to drop.
    assert fresh(script, "-O", "-W", "error", "-W", "ignore:'click.:DeprecationWarning").strip() == "done"


# -- import contracts -----------------------------------------------------------------------------


def test_the_contracts_name_every_module_below_the_orchestrator() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]["contracts"]
    by_id = {contract["id"]: contract for contract in contracts}
    floors = [re.findall(r"\w+", layer) for layer in by_id["floors"]["layers"]]
    below = {name for layer in floors[floors.index(["orchestrator"]) + 1 :] for name in layer}
    present = {path.stem for path in LIBRARY.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}

    closed = {name.removeprefix("zkfed.") for name in by_id["closed-world"]["source_modules"]}
    assert closed == below & present
    apart = {name.removeprefix("zkfed.") for name in by_id["no-algebra"]["source_modules"]}
    assert apart == {"device", "dp", "he", "updates", "governance", "skills", "timing"} & present
