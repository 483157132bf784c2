"""Shows that a file is there whole or not at all, also after a kill, and that a mapped one stays.

What is written under other names meanwhile is gone afterwards, whatever happened.
"""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from zkfed import files
from zkfed.errors import LimitExceeded, StoreFault
from zkfed.files import map_file, replace_file


def names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


@pytest.fixture(params=["unnamed", "named"])
def folder(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder, on a system with files that have no name yet, and on one without."""
    if request.param == "named":
        monkeypatch.delattr(os, "O_TMPFILE", raising=False)
    return tmp_path


def test_a_file_is_written_and_replaced(folder: Path) -> None:
    path = folder / "key"
    for content in (b"first", b"second, and longer", b""):
        replace_file(path, [content[:3], memoryview(content)[3:]])
        assert path.read_bytes() == content
        assert names(folder) == ["key"]


def test_permissions_are_the_callers(folder: Path) -> None:
    replace_file(folder / "secret", [b"s"], mode=0o600)
    assert stat.S_IMODE((folder / "secret").stat().st_mode) == 0o600


class Stopped(BaseException):
    """Like KeyboardInterrupt: no Exception."""


@pytest.mark.parametrize("fault", [RuntimeError, Stopped])
def test_a_fault_in_the_middle_leaves_what_was_there(folder: Path, fault: type[BaseException]) -> None:
    def parts() -> Iterator[bytes]:
        yield b"half"
        raise fault

    replace_file(folder / "key", [b"whole"])
    with pytest.raises(fault):
        replace_file(folder / "key", parts())
    assert (folder / "key").read_bytes() == b"whole"
    with pytest.raises(fault):
        replace_file(folder / "other", parts())
    assert names(folder) == ["key"]


def test_a_full_disk_is_a_store_fault_and_leaves_what_was_there(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    replace_file(folder / "key", [b"whole"])
    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(StoreFault, match="key cannot be written: No space"):
        replace_file(folder / "key", [b"new"])
    assert (folder / "key").read_bytes() == b"whole"
    assert names(folder) == ["key"]


def test_writers_at_once_leave_one_whole_file(folder: Path) -> None:
    contents = [bytes([i]) * 100_000 for i in range(8)]
    threads = [threading.Thread(target=replace_file, args=(folder / "key", [c] * 3)) for c in contents]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (folder / "key").read_bytes() in [c * 3 for c in contents]
    assert names(folder) == ["key"]


KILLED = """
import os, signal, sys
from pathlib import Path
from zkfed.files import replace_file

def parts():
    yield b"half" * 10_000
    os.kill(os.getpid(), signal.SIGKILL)

replace_file(Path(sys.argv[1]), parts())
"""


@pytest.mark.skipif(not hasattr(os, "O_TMPFILE"), reason="Linux has files without a name")
def test_a_writer_that_is_killed_leaves_nothing(tmp_path: Path) -> None:
    replace_file(tmp_path / "key", [b"whole"])
    killed = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / "key")], timeout=60, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert names(tmp_path) == ["key"]
    assert (tmp_path / "key").read_bytes() == b"whole"


def test_what_a_killed_writer_left_elsewhere_is_ignored(folder: Path) -> None:
    (folder / ".key.0123456789abcdef.partial").write_bytes(b"half")
    replace_file(folder / "key", [b"whole"])
    assert bytes(map_file(folder / "key", 100)) == b"whole"


def test_a_mapped_file_is_read_only_and_survives_its_replacement(tmp_path: Path) -> None:
    path = tmp_path / "key"
    replace_file(path, [b"old"])
    view = map_file(path, 3)
    replace_file(path, [b"new and longer"])
    path.unlink()
    assert bytes(view) == b"old"
    assert view.readonly


def test_what_cannot_be_mapped(tmp_path: Path) -> None:
    replace_file(tmp_path / "empty", [])
    assert bytes(map_file(tmp_path / "empty", 0)) == b""
    replace_file(tmp_path / "long", [bytes(101)])
    with pytest.raises(LimitExceeded, match="101 bytes, at most 100"):
        map_file(tmp_path / "long", 100)
    for wrong in (tmp_path, tmp_path / "missing", tmp_path / "long" / "inside"):
        with pytest.raises(StoreFault, match="cannot be read"):
            map_file(wrong, 100)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="POSIX has named pipes")
def test_a_named_pipe_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(StoreFault, match="it is no file"):
        map_file(tmp_path / "pipe", 100)
