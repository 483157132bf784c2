"""Shows which backend is chosen, that the environment can name one, and what is said about it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from zkfed.algebra import backend as seam
from zkfed.algebra.curve import BLS12_381, BN254


@pytest.fixture(autouse=True)
def _no_wish(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ZKFED_BACKEND", raising=False)


def only(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    monkeypatch.setattr(seam, "_why_not", lambda name: "" if name in names else f"not installed: {seam._INSTALL[name]}")


def test_without_a_build_the_wheel_serves_bls12_381_and_python_serves_bn254(monkeypatch: pytest.MonkeyPatch) -> None:
    only(monkeypatch, "arkworks", "reference")
    assert seam.use().name == "arkworks"
    assert seam.use("bls12-381") is seam.use(BLS12_381)
    assert seam.use("bn254").name == "reference"
    assert seam.use(BN254).curve == BN254


def test_the_environment_names_a_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZKFED_BACKEND", "reference")
    assert repr(seam.use()) == "ReferenceBackend(bls12-381)"
    monkeypatch.setenv("ZKFED_BACKEND", "arkworks")
    assert repr(seam.use()) == "ArkworksBackend(bls12-381)"
    assert seam.use(BN254).name == "reference"  # the wheel has one curve


def test_an_unknown_name_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="bls12-381"):
        seam.use("secp256k1")
    monkeypatch.setenv("ZKFED_BACKEND", "fastest")
    with pytest.raises(ValueError, match="arkworks, reference"):
        seam.use()


def test_status_says_which_one_runs_and_why(monkeypatch: pytest.MonkeyPatch) -> None:
    for names, expected in ((("native", "arkworks", "reference"), "native"), (("arkworks", "reference"), "arkworks")):
        only(monkeypatch, *names)
        chosen = {s.name: s for s in seam.backends()}
        assert [s.name for s in chosen.values() if s.is_chosen] == [expected]
        assert {s.name for s in chosen.values() if s.is_available} == set(names)
        assert all(s.reason for s in chosen.values())
    assert "make native" in chosen["native"].reason
    only(monkeypatch, "reference")
    fallback = {s.name: s for s in seam.backends()}
    assert fallback["reference"].is_chosen
    assert "pip install py-arkworks-bls12381" in fallback["arkworks"].reason


def test_a_backend_that_is_named_and_absent_is_said_to_be_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    only(monkeypatch, "arkworks", "reference")
    monkeypatch.setenv("ZKFED_BACKEND", "native")
    native = seam.backends()[0]
    assert native.is_chosen
    assert not native.is_available
    assert native.reason == "named by ZKFED_BACKEND; not installed: make native"


SAY = """
import logging
logging.basicConfig(level=logging.WARNING, format="%(message)s")
import zkfed
from zkfed.algebra.backend import use
try:
    print(use().name)
except ImportError as error:
    print("ImportError", error)
print([s.reason for s in zkfed.backends() if s.name == "native"][0])
"""
BROKEN = {
    "stale": ("zkfed_native.py", b"__version__ = '0.0.1'", "has interface 0, expected"),
    "of a later build": ("zkfed_native.py", b"INTERFACE = 1 << 30", "has interface 1073741824, expected"),
    "half of a file": ("zkfed_native.abi3.so", b"\x7fELF", "zkfed_native.abi3.so: "),
    "needs what is absent": ("zkfed_native.py", b"import a_library_that_is_absent", "No module named"),
}


@pytest.mark.parametrize("kind", BROKEN)
@pytest.mark.parametrize("wish", ["", "native"])
def test_a_native_module_that_does_not_work_is_named_and_not_called(kind: str, wish: str, tmp_path: Path) -> None:
    name, content, fault = BROKEN[kind]
    (tmp_path / name).write_bytes(content)
    path = os.pathsep.join([str(tmp_path), *filter(None, sys.path)])
    done = subprocess.run(
        [sys.executable, "-c", SAY], env=os.environ | {"PYTHONPATH": path, "ZKFED_BACKEND": wish},
        check=True, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    runs, reason = done.stdout.splitlines()
    assert fault in reason
    if wish:
        assert runs.startswith("ImportError")
        assert fault in runs
    else:
        assert runs == "arkworks"
        assert reason.startswith("does not work: ")
        assert [line for line in done.stderr.splitlines() if fault in line] == done.stderr.splitlines() != []


def test_each_backend_has_its_own_curve_only() -> None:
    from zkfed.algebra.curve import Curve
    from zkfed.algebra.reference import ReferenceBackend

    tiny = Curve("tiny", 17, 17, 1, 4, 3, 0)
    with pytest.raises(ValueError, match="tiny"):
        ReferenceBackend(tiny)
