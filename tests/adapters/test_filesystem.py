"""Shows what the drop folder does between processes, and with files that do not belong there.

Two real processes exchange messages; a reader that starts late sees everything; a writer that is
killed leaves nothing half written. Cut, changed, renamed, huge and linked files are refused with a
typed error, foreign files are not looked at, and the folder works again afterwards.
"""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import socket
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from zkfed.adapters import filesystem
from zkfed.adapters.filesystem import FilesystemTransport
from zkfed.errors import IntegrityError, LimitExceeded, TransportError

WRITER = """
import sys
from zkfed.adapters.filesystem import FilesystemTransport

root, name, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
transport = FilesystemTransport(root)
for index in range(count):
    transport.publish("shared", f"{name} {index}".encode() + bytes(index))
    transport.publish("shared", b"everybody says this %d" % index)
"""

ECHO = """
import sys, time
from zkfed.adapters.filesystem import FilesystemTransport

transport = FilesystemTransport(sys.argv[1])
answered = 0
while answered < int(sys.argv[2]):
    for message in transport.fetch("questions")[answered:]:
        transport.publish("answers", b"answer to " + message)
        answered += 1
    time.sleep(0.01)
"""

ENDLESS = """
import sys
from zkfed.adapters.filesystem import FilesystemTransport

transport = FilesystemTransport(sys.argv[1])
print("ready", flush=True)
index = 0
while True:
    transport.publish("a", (b"%d " % index) * 50_000)
    index += 1
"""


def start(script: str, *arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", script, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


@pytest.fixture
def drop(tmp_path: Path) -> FilesystemTransport:
    return FilesystemTransport(tmp_path / "drop")


def only_file(drop: FilesystemTransport, channel: str = "a") -> Path:
    (path,) = (drop.root / channel).glob("*.msg")
    return path


# -- processes ------------------------------------------------------------------------------------


def test_two_writers_at_once_lose_and_double_nothing_and_keep_their_order(drop: FilesystemTransport) -> None:
    count = 40
    writers = [start(WRITER, drop.root, name, count) for name in ("left", "right")]
    seen: tuple[bytes, ...] = ()
    while any(writer.poll() is None for writer in writers):
        now = drop.fetch("shared")
        assert now[: len(seen)] == seen  # also while others write, a fetch only adds at the end
        seen = now
    assert [writer.communicate() and writer.returncode for writer in writers] == [0, 0]

    messages = drop.fetch("shared")
    assert len(messages) == len(set(messages)) == 3 * count
    for name in (b"left", b"right"):
        indices = [int(m.rstrip(b"\0").split()[1]) for m in messages if m.startswith(name)]
        assert indices == list(range(count))
    places = [int(path.name[:16]) for path in (drop.root / "shared").iterdir()]
    assert sorted(places) == list(range(3 * count))


def test_two_processes_talk(drop: FilesystemTransport) -> None:
    questions = [b"question %d" % index for index in range(5)]
    echo = start(ECHO, drop.root, len(questions))
    for question in questions:
        drop.publish("questions", question)
    echo.communicate(timeout=60)
    assert echo.returncode == 0
    assert drop.fetch("answers") == tuple(b"answer to " + question for question in questions)


def test_a_reader_that_starts_late_sees_everything(drop: FilesystemTransport) -> None:
    writer = start(WRITER, drop.root, "early", 3)
    writer.communicate(timeout=60)
    late = FilesystemTransport(drop.root)
    assert [message.split()[0] for message in late.fetch("shared")] == [b"early", b"everybody"] * 3


def test_a_writer_that_is_killed_leaves_nothing_half_written_and_no_lock(drop: FilesystemTransport) -> None:
    for _ in range(3):
        writer = start(ENDLESS, drop.root)
        assert writer.stdout is not None
        writer.stdout.readline()
        while len(drop.fetch("a")) < 5:
            pass
        writer.send_signal(signal.SIGKILL)
        writer.communicate()
        messages = drop.fetch("a")
        assert all(message == (message.split()[0] + b" ") * 50_000 for message in messages)
        drop.publish("a", b"0 " * 50_000)  # the lock is free again
        for path in (drop.root / "a").iterdir():
            path.unlink()


# -- the folder -----------------------------------------------------------------------------------


def test_temporary_files_do_not_stay(drop: FilesystemTransport) -> None:
    drop.publish("a", b"x")
    drop.publish("a", b"x")
    assert [path.suffix for path in (drop.root / "a").iterdir()] == [".msg"]


def test_a_full_disk_is_a_typed_error_and_leaves_nothing(
    drop: FilesystemTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    drop.publish("a", b"before")
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(TransportError, match="cannot publish on 'a': No space left"):
            drop.publish("a", b"x")
    assert len(list((drop.root / "a").iterdir())) == 1
    drop.publish("a", b"after")
    assert drop.fetch("a") == (b"before", b"after")


def test_a_root_that_is_a_file_or_gone_is_a_typed_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(TransportError, match="cannot create"):
        FilesystemTransport(tmp_path / "file")
    drop = FilesystemTransport(tmp_path / "drop")
    drop.root.rmdir()
    with pytest.raises(TransportError, match="No such file"):
        drop.fetch("a")
    with pytest.raises(TransportError, match="No such file"):
        drop.publish("a", b"x")


def test_a_lock_that_is_held_is_waited_for_and_then_reported(
    drop: FilesystemTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    drop.publish("a", b"x")
    monkeypatch.setattr(filesystem, "_LOCK_S_MAX", 0.05)
    held = os.open(drop.root / "a", os.O_RDONLY)
    fcntl.flock(held, fcntl.LOCK_EX)
    try:
        with pytest.raises(TransportError, match="holds the lock"):
            drop.publish("a", b"y")
        with pytest.raises(TransportError, match="holds the lock"):
            drop.fetch("a")
    finally:
        os.close(held)
    assert drop.fetch("a") == (b"x",)


# -- hostile files --------------------------------------------------------------------------------


def test_foreign_files_are_not_looked_at(drop: FilesystemTransport) -> None:
    drop.publish("a", b"x")
    good = only_file(drop)
    for name in (
        ".0123.tmp",
        "readme.txt",
        good.name + "~",
        "x" + good.name,
        good.name.upper(),
        good.name.removeprefix("0"),
        good.name.replace("0" * 16, "\u0660" * 16),
    ):
        (good.parent / name).write_bytes(b"foreign")
    (good.parent / "folder").mkdir()
    assert drop.fetch("a") == (b"x",)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def lengthen(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"\0")


def empty(path: Path) -> None:
    path.write_bytes(b"")


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def link_to_equal_content(path: Path) -> None:
    target = path.parent.parent / "outside"
    target.write_bytes(path.read_bytes())
    path.unlink()
    path.symlink_to(target)


def link_to_nowhere(path: Path) -> None:
    path.unlink()
    path.symlink_to("nowhere")


def pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def listening_socket(path: Path) -> None:
    path.unlink()
    listener = socket.socket(socket.AF_UNIX)
    here = os.open(path.parent, os.O_RDONLY)
    try:  # the name is too long for a socket's address, so by the folder's handle
        listener.bind(f"/proc/self/fd/{here}/s")
    finally:
        os.close(here)
        listener.close()
    (path.parent / "s").rename(path)


@pytest.mark.parametrize(
    "tamper",
    [cut, lengthen, empty, flip, link_to_equal_content, link_to_nowhere, pipe, listening_socket],
)
def test_a_tampered_file_is_refused_and_publishing_again_repairs_it(
    drop: FilesystemTransport, tamper: Callable[[Path], None]
) -> None:
    message = b"a message of some length"
    drop.publish("a", message)
    path = only_file(drop)
    tamper(path)
    drop.publish("a", b"of somebody else")
    with pytest.raises(IntegrityError) as refused:
        drop.fetch("a")
    assert path.name in str(refused.value)
    assert str(drop.root) not in str(refused.value)
    drop.publish("a", message)
    assert path.is_file()
    assert not path.is_symlink()
    assert drop.fetch("a") == (message, b"of somebody else")


def test_a_pipe_that_somebody_holds_open_is_no_message(drop: FilesystemTransport) -> None:
    drop.publish("a", b"x")
    path = only_file(drop)
    pipe(path)
    held = os.open(path, os.O_RDWR | os.O_NONBLOCK)
    try:
        with pytest.raises(IntegrityError, match="no regular file"):
            drop.fetch("a")
    finally:
        os.close(held)


def test_a_renamed_file_is_refused(drop: FilesystemTransport) -> None:
    drop.publish("a", b"x")
    path = only_file(drop)
    wrong = path.rename(path.with_name(path.name[:-6] + "ff.msg" if path.name[-6:-4] != "ff" else "00.msg"))
    with pytest.raises(IntegrityError, match="do not match its address"):
        drop.fetch("a")
    wrong.unlink()
    assert drop.fetch("a") == ()


def test_a_copy_under_another_place_is_delivered_once(drop: FilesystemTransport) -> None:
    drop.publish("a", b"x")
    path = only_file(drop)
    path.with_name("0" * 15 + "7" + path.name[16:]).write_bytes(path.read_bytes())
    drop.publish("a", b"y")
    assert drop.fetch("a") == (b"x", b"y")


def test_a_huge_file_is_refused_before_it_is_read(drop: FilesystemTransport) -> None:
    drop.publish("a", b"x")
    path = only_file(drop)
    os.truncate(path, 1 << 40)  # a sparse file of 1 TiB
    tracemalloc.start()
    with pytest.raises(LimitExceeded, match="1099511627776 bytes"):
        drop.fetch("a")
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()
    drop.publish("a", b"x")
    assert drop.fetch("a") == (b"x",)


def test_a_flood_of_files_is_refused_at_the_limit_of_the_channel(tmp_path: Path) -> None:
    roomy = FilesystemTransport(tmp_path, message_bytes_max=1000)
    strict = FilesystemTransport(tmp_path, message_bytes_max=1000, channel_bytes_max=5000)
    for index in range(6):
        roomy.publish("a", bytes([index]) * 1000)
    with pytest.raises(LimitExceeded, match="more than 5000 bytes"):
        strict.fetch("a")


def test_the_last_place_being_taken_is_a_typed_error(drop: FilesystemTransport) -> None:
    drop.publish("a", b"x")
    path = only_file(drop)
    last = path.rename(path.with_name("9" * 16 + path.name[16:]))
    with pytest.raises(TransportError, match="no place is left"):
        drop.publish("a", b"y")
    assert drop.fetch("a") == (b"x",)
    last.unlink()
    drop.publish("a", b"y")
    assert drop.fetch("a") == (b"y",)


def test_no_folder_on_the_way_may_be_a_link(drop: FilesystemTransport, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    (outside / "b").mkdir(parents=True)
    (drop.root / "a").symlink_to(outside, target_is_directory=True)
    for channel in ("a", "a/b", "a/c"):
        with pytest.raises(TransportError):
            drop.publish(channel, b"x")
        with pytest.raises(TransportError):
            drop.fetch(channel)
    assert sorted(path.name for path in outside.rglob("*")) == ["b"]
    drop.publish("b", b"x")
    assert drop.fetch("b") == (b"x",)


def test_a_file_in_place_of_a_folder_is_a_typed_error(drop: FilesystemTransport) -> None:
    (drop.root / "a").write_bytes(b"")
    with pytest.raises(TransportError, match="Not a directory"):
        drop.publish("a/b", b"x")
    with pytest.raises(TransportError, match="Not a directory"):
        drop.fetch("a")


def test_a_folder_in_place_of_a_message_is_refused(drop: FilesystemTransport) -> None:
    drop.publish("a", b"x")
    path = only_file(drop)
    path.unlink()
    path.mkdir()
    with pytest.raises(IntegrityError, match="no regular file"):
        drop.fetch("a")
    with pytest.raises(TransportError, match="cannot publish"):
        drop.publish("a", b"x")  # a folder is not replaced: whoever put it there has to remove it
    path.rmdir()
    drop.publish("a", b"x")
    assert drop.fetch("a") == (b"x",)


def test_handles_are_closed_also_after_refusals(drop: FilesystemTransport) -> None:
    drop.publish("a/b", b"x")
    cut(only_file(drop, "a/b"))
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        with pytest.raises(IntegrityError):
            drop.fetch("a/b")
        with pytest.raises(TransportError):
            drop.fetch("a//b")
        drop.fetch("a/c")
    assert len(os.listdir("/proc/self/fd")) == before
