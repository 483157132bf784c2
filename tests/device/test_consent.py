"""Nothing holds that was not granted, everything is on record, and no clock or edit revives a consent."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from zkfed.device.consent import ConsentBook, ConsentEntry
from zkfed.encoding import item
from zkfed.errors import IntegrityError, NotAuthorised, PolicyError, StoreFault
from zkfed.files import replace_file

NOW = 1_700_000_000
HOW = ("statistics", "HOW")


def book(path: Path | None = None, *, version: int = 1, head: bytes | None = None) -> ConsentBook:
    return ConsentBook(path, version=version, head=head)


def test_granted_used_withdrawn(tmp_path: Path) -> None:
    path = tmp_path / "consent"
    one = book(path)
    with pytest.raises(NotAuthorised, match="never granted"):
        one.require(*HOW, now_s=NOW)
    one.grant(*HOW, now_s=NOW)
    one.record(*HOW, now_s=NOW + 1, detail="HOW method, local", paid=bytes(32))
    one.withdraw(*HOW, now_s=NOW + 2)
    for again in (one, book(path)):
        with pytest.raises(NotAuthorised, match="withdrawn"):
            again.require(*HOW, now_s=NOW + 3)
        assert [e.action for e in again] == ["granted", "used", "withdrawn"]
    one.grant(*HOW, now_s=NOW + 4)
    assert book(path).is_granted(*HOW, now_s=NOW + 5)


def test_a_consent_is_for_one_purpose_and_dimension() -> None:
    one = book()
    one.grant(*HOW, now_s=NOW)
    for other in (("statistics", "WHO"), ("training", "HOW"), ("training", "model")):
        assert not one.is_granted(*other, now_s=NOW)
    for wrong in (("sales", "HOW"), ("statistics", "WHY"), ("", ""), (None, None)):
        with pytest.raises(PolicyError):
            one.is_granted(*wrong, now_s=NOW)  # type: ignore[arg-type]
        with pytest.raises(PolicyError):
            one.grant(*wrong, now_s=NOW)  # type: ignore[arg-type]


def test_a_consent_to_an_older_text_does_not_hold(tmp_path: Path) -> None:
    book(tmp_path / "c").grant(*HOW, now_s=NOW)
    with pytest.raises(NotAuthorised, match="version 1 of the text, now it is version 2"):
        book(tmp_path / "c", version=2).require(*HOW, now_s=NOW)
    for wrong in (0, -1, True, 1.0, None):
        with pytest.raises(PolicyError):
            book(version=wrong)  # type: ignore[arg-type]


def test_an_expired_consent_is_not_revived_by_a_clock_that_goes_back() -> None:
    one = book()
    one.grant(*HOW, now_s=NOW, expires_s=NOW + 10)
    one.grant("training", "model", now_s=NOW)
    assert one.is_granted(*HOW, now_s=NOW + 9)
    with pytest.raises(NotAuthorised, match="expired"):
        one.require(*HOW, now_s=NOW + 10)
    one.record("training", "model", now_s=NOW + 10, detail="round 1", paid=bytes(32))
    with pytest.raises(NotAuthorised, match="expired"):
        one.require(*HOW, now_s=NOW)
    with pytest.raises(PolicyError):
        one.grant(*HOW, now_s=NOW, expires_s=NOW + 5)


def test_a_use_without_consent_is_not_recorded() -> None:
    one = book()
    with pytest.raises(NotAuthorised):
        one.record(*HOW, now_s=NOW, detail="x", paid=bytes(32))
    assert list(one) == []


def _longer(data: bytes) -> bytes:
    return (int.from_bytes(data[:4], "big") + 1).to_bytes(4, "big") + data[4:]


@pytest.mark.parametrize(
    "change", [lambda d: d[:-1], lambda d: d + b"\0", lambda d: d[40:], lambda d: b"\xff" * 9, _longer], ids=range(5)
)
def test_a_broken_book_is_no_book(change: Any, tmp_path: Path) -> None:
    path = tmp_path / "c"
    book(path).grant(*HOW, now_s=NOW)
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(IntegrityError):
        book(path)


def test_every_byte_counts_and_entries_cannot_be_taken_out(tmp_path: Path) -> None:
    path = tmp_path / "c"
    one = book(path)
    one.grant(*HOW, now_s=NOW)
    first = path.read_bytes()
    one.withdraw(*HOW, now_s=NOW)
    one.grant("training", "model", now_s=NOW)
    data = path.read_bytes()
    second = data[len(first) :]
    for at in range(0, len(first), 7):
        path.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
        with pytest.raises(IntegrityError):
            book(path)
    path.write_bytes(first + second[len(second) // 2 :])
    with pytest.raises(IntegrityError):
        book(path)


def test_a_cut_end_is_found_by_the_head(tmp_path: Path) -> None:
    path = tmp_path / "c"
    one = book(path)
    one.grant(*HOW, now_s=NOW)
    before = path.read_bytes()
    one.withdraw(*HOW, now_s=NOW)
    head = one.head
    path.write_bytes(before)
    assert book(path).is_granted(*HOW, now_s=NOW)
    with pytest.raises(IntegrityError, match="old or another copy"):
        book(path, head=head)


def test_a_full_disk_keeps_no_consent_alive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = book(tmp_path / "c")
    one.grant(*HOW, now_s=NOW)

    def full(*_: Any, **__: Any) -> None:
        raise StoreFault("no space left on the device")

    monkeypatch.setattr("zkfed.device.consent.replace_file", full)
    with pytest.raises(StoreFault):
        one.withdraw(*HOW, now_s=NOW)
    assert not one.is_granted(*HOW, now_s=NOW)
    with pytest.raises(StoreFault):
        one.grant("training", "model", now_s=NOW)
    assert not one.is_granted("training", "model", now_s=NOW)


def test_an_expiry_that_was_seen_stays_when_the_clock_goes_back(tmp_path: Path) -> None:
    path = tmp_path / "consent"
    one = book(path)
    one.grant(*HOW, now_s=NOW, expires_s=NOW + 10)
    with pytest.raises(NotAuthorised, match="expired"):
        one.require(*HOW, now_s=NOW + 10)
    for again in (one, book(path)):
        with pytest.raises(NotAuthorised, match="expired"):
            again.require(*HOW, now_s=NOW + 5)
    assert [e.action for e in one] == ["granted", "expired"]
    one.grant(*HOW, now_s=NOW + 11)
    assert book(path).is_granted(*HOW, now_s=NOW + 12)


@pytest.mark.parametrize("detail", ["\U0001d54f" * 200, "\ud800", "ü" * 128 + "x" * 72])
def test_no_detail_makes_the_book_unreadable(detail: str, tmp_path: Path) -> None:
    path = tmp_path / "consent"
    one = book(path)
    one.grant(*HOW, now_s=NOW)
    one.record(*HOW, now_s=NOW, detail=detail, paid=bytes(32))
    assert [e.digest for e in book(path)] == [e.digest for e in one]


def test_a_use_that_nothing_paid_for_is_not_written(tmp_path: Path) -> None:
    path = tmp_path / "consent"
    one = book(path)
    one.grant(*HOW, now_s=NOW)
    with pytest.raises(ValueError, match="32 bytes"):
        one.record(*HOW, now_s=NOW, detail="HOW method, local", paid=b"short")
    assert len(list(book(path))) == 1


def test_a_withdrawal_in_the_middle_of_a_use_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "consent"
    one = book(path)
    one.grant(*HOW, now_s=NOW)
    other = threading.Thread(target=lambda: one.withdraw(*HOW, now_s=NOW + 1))

    def slow(*args: Any, **more: Any) -> None:
        if other.ident is None:
            other.start()
            other.join(0.3)  # long enough for a withdrawal that does not wait
        replace_file(*args, **more)

    monkeypatch.setattr("zkfed.device.consent.replace_file", slow)
    one.record(*HOW, now_s=NOW, detail="HOW method, local", paid=bytes(32))
    other.join()
    assert [e.action for e in book(path)] == ["granted", "used", "withdrawn"]


def test_two_books_on_one_file_do_not_write_over_a_withdrawal(tmp_path: Path) -> None:
    one = book(tmp_path / "c")
    one.grant(*HOW, now_s=NOW)
    book(tmp_path / "c").withdraw(*HOW, now_s=NOW)
    with pytest.raises(StoreFault, match="open it anew"):
        one.record(*HOW, now_s=NOW, detail="HOW method, local", paid=bytes(32))
    assert not book(tmp_path / "c").is_granted(*HOW, now_s=NOW)


def test_a_clock_that_goes_back_makes_no_grant_that_has_ended() -> None:
    """By the book's own time the grant below would be over before it began."""
    one = book()
    one.grant("training", "model", now_s=NOW + 100)
    with pytest.raises(PolicyError, match="later than now"):
        one.grant(*HOW, now_s=NOW, expires_s=NOW + 50)
    one.withdraw("training", "model", now_s=NOW)
    assert [e.time_s for e in one] == [NOW + 100] * 2


def test_a_well_chained_entry_that_is_dated_back_is_found(tmp_path: Path) -> None:
    path = tmp_path / "c"
    one = book(path)
    one.withdraw(*HOW, now_s=NOW)
    forged = ConsentEntry(one.head, "granted", *HOW, 1, NOW - 1)
    path.write_bytes(path.read_bytes() + item(forged.encode()))
    with pytest.raises(IntegrityError, match="does not continue"):
        book(path)


def test_a_well_chained_entry_of_no_known_action_is_found(tmp_path: Path) -> None:
    """The last word about a consent is a grant unless it says otherwise: a word of nobody's must not stand there."""
    path = tmp_path / "c"
    one = book(path)
    one.withdraw(*HOW, now_s=NOW)
    for action in ("renewed", "", "Granted"):
        forged = ConsentEntry(one.head, action, *HOW, 1, NOW)
        path.write_bytes(path.read_bytes() + item(forged.encode()))
        with pytest.raises(IntegrityError, match="the action is"):
            book(path)


def test_a_huge_book_is_refused_before_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    book(tmp_path / "c").grant(*HOW, now_s=NOW)
    monkeypatch.setattr("zkfed.device.consent.BOOK_BYTES_MAX", 100)
    with pytest.raises(IntegrityError, match="is above 100 bytes"):
        book(tmp_path / "c")
