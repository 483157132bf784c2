"""The store keeps sanitised observations under a key that it does not keep, and forgets what it is told to forget."""

from __future__ import annotations

import copy
import pickle
import secrets
from pathlib import Path
from typing import Any

import pytest

from zkfed.device.store import LocalStore, Observation
from zkfed.dp.how import How
from zkfed.dp.who import Who
from zkfed.errors import DecodeError, IntegrityError, LimitExceeded, StoreFault

NOW = 1_700_000_000
KEY = secrets.token_bytes(32)
HOW = How("method", ["declarative", "imperative"])
WHO = Who("persona")


def observations(answer: str = "declarative", *, now: float = NOW) -> list[Observation]:
    return Observation.of(HOW, HOW.report("anna", answer), now_s=now)


def test_what_is_kept_comes_back(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "s", key=KEY)
    store.add(observations())
    store.add(observations("imperative", now=NOW + 7200))
    store.add(Observation.of(WHO, WHO.report("anna", "power user"), now_s=NOW))
    again = LocalStore(tmp_path / "s", key=KEY)
    assert [o.index for o in again.of(HOW)] == [0, 1]
    assert [o.key for o in again.of(WHO)] == ["power user"]
    assert [o.index for o in again.of(HOW, since_s=NOW)] == [1]
    assert all(o.hour_s % 3600 == 0 for o in again.of(HOW))
    assert again.generation == 3


def test_only_observations_are_stored(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "s", key=KEY)
    for raw in ("install firefox", {"command": "ls"}, HOW.report("anna", "declarative")):
        with pytest.raises(TypeError, match="raw text is not stored"):
            store.add([raw])  # type: ignore[list-item]
    with pytest.raises(DecodeError):
        Observation.of(WHO, HOW.report("anna", "declarative"), now_s=NOW)
    assert len(store) == 0


def test_the_file_tells_nothing_without_the_key(tmp_path: Path) -> None:
    path = tmp_path / "s"
    store = LocalStore(path, key=KEY)
    store.add(Observation.of(WHO, WHO.report("anna", "power user"), now_s=NOW))
    data = path.read_bytes()
    assert not any(word in data for word in (b"power", b"anna", b"observation", KEY))
    with pytest.raises(IntegrityError):
        LocalStore(path, key=secrets.token_bytes(32))
    for text in (repr(store), str(vars(store).keys()), repr(store.of(WHO))):
        assert "power" not in text
        assert KEY.hex() not in text
    assert path.stat().st_mode & 0o077 == 0


def test_every_changed_byte_and_every_cut_is_found(tmp_path: Path) -> None:
    path = tmp_path / "s"
    LocalStore(path, key=KEY).add(observations())
    data = path.read_bytes()
    for at in range(len(data)):
        path.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
        with pytest.raises(IntegrityError):
            LocalStore(path, key=KEY)
    for end in range(len(data)):
        path.write_bytes(data[:end])
        with pytest.raises(IntegrityError):
            LocalStore(path, key=KEY)


def test_a_file_of_another_store_does_not_open_in_pieces(tmp_path: Path) -> None:
    one, two = tmp_path / "1", tmp_path / "2"
    LocalStore(one, key=KEY).add(observations())
    LocalStore(two, key=KEY).add(observations("imperative"))
    head = len(b"zkfed device store 1\n") + 32
    one.write_bytes(one.read_bytes()[:head] + two.read_bytes()[head:])
    with pytest.raises(IntegrityError):
        LocalStore(one, key=KEY)


def test_forgetting_forgets(tmp_path: Path) -> None:
    path = tmp_path / "s"
    store = LocalStore(path, key=KEY)
    store.add([*observations(now=NOW - 86400), *observations("imperative"), *observations(now=NOW)])
    store.add(Observation.of(WHO, WHO.report("anna", "power user"), now_s=NOW))
    before = path.read_bytes()
    assert store.forget(before_s=NOW - 3600) == 1
    assert len(path.read_bytes()) < len(before)
    assert store.forget(query=HOW) == 2
    assert len(LocalStore(path, key=KEY)) == 1
    assert store.forget() == 1
    assert len(LocalStore(path, key=KEY)) == 0


def test_another_key_takes_over(tmp_path: Path) -> None:
    path, new = tmp_path / "s", secrets.token_bytes(32)
    store = LocalStore(path, key=KEY)
    store.add(observations())
    store.rotate(new)
    store.add(observations())
    with pytest.raises(IntegrityError):
        LocalStore(path, key=KEY)
    assert len(LocalStore(path, key=new)) == 2


def test_what_cannot_be_written_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = LocalStore(tmp_path / "s", key=KEY)
    store.add(observations())

    def full(*_: Any, **__: Any) -> None:
        raise StoreFault("no space left on the device")

    with monkeypatch.context() as patch:
        patch.setattr("zkfed.device.store.replace_file", full)
        for call in (lambda: store.add(observations()), store.forget, lambda: store.rotate(secrets.token_bytes(32))):
            with pytest.raises(StoreFault):
                call()
    assert len(store) == 1
    store.add(observations())
    assert len(LocalStore(tmp_path / "s", key=KEY)) == 2


def test_a_key_is_32_bytes_and_is_not_copied(tmp_path: Path) -> None:
    for wrong, error in ((b"short", ValueError), ("x" * 32, TypeError), (None, TypeError)):
        with pytest.raises(error):
            LocalStore(tmp_path / "s", key=wrong)  # type: ignore[arg-type]
    store = LocalStore(tmp_path / "s", key=KEY)
    for call in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError):
            call(store)


def test_two_stores_on_one_file_do_not_bring_back_what_was_forgotten(tmp_path: Path) -> None:
    one = LocalStore(tmp_path / "s", key=KEY)
    one.add(observations())
    LocalStore(tmp_path / "s", key=KEY).forget()
    with pytest.raises(StoreFault, match="open it anew"):
        one.add(observations())
    assert len(LocalStore(tmp_path / "s", key=KEY)) == 0


def test_another_file_is_no_store(tmp_path: Path) -> None:
    for data in (b"", b"x" * 20, b"SQLite format 3\0" + bytes(200)):
        (tmp_path / "s").write_bytes(data)
        with pytest.raises(IntegrityError, match="is no device store"):
            LocalStore(tmp_path / "s", key=KEY)


def test_a_full_store_says_so_and_keeps_what_it_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zkfed.device.store.OBSERVATIONS_MAX", 2)
    store = LocalStore(tmp_path / "s", key=KEY)
    store.add(observations())
    with pytest.raises(LimitExceeded, match="forget some"):
        store.add([*observations(), *observations()])
    assert len(LocalStore(tmp_path / "s", key=KEY)) == 1
    assert store.forget() == 1
    store.add([*observations(), *observations()])


def test_a_huge_store_is_refused_before_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    LocalStore(tmp_path / "s", key=KEY).add(observations())
    monkeypatch.setattr("zkfed.device.store.FILE_BYTES_MAX", 100)
    with pytest.raises(LimitExceeded, match="above 100 bytes"):
        LocalStore(tmp_path / "s", key=KEY)
