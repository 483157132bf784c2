"""Shows that the tree of errors is the drawn one, that codes stay, and that excerpts are harmless."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zkfed import errors
from zkfed.errors import ProofInvalid, UnsatisfiedConstraint, ZkfedError, excerpt

# Hosts match on these: a code may be added here, but never changed, reused or taken out.
CODES = {
    "BackendFault": "backend-fault",
    "BudgetExceeded": "budget-exceeded",
    "CeremonyInvalid": "ceremony-invalid",
    "CiphertextRefused": "ciphertext-refused",
    "CommitmentMismatch": "commitment-mismatch",
    "ConsensusFault": "consensus-fault",
    "DecodeError": "decode",
    "GovernanceError": "governance",
    "IntegrityError": "integrity",
    "KeyRefused": "key-refused",
    "LedgerCorrupt": "ledger-corrupt",
    "LimitExceeded": "limit-exceeded",
    "LogInconsistent": "log-inconsistent",
    "ModelRefused": "model-refused",
    "NotAuthorised": "not-authorised",
    "PolicyError": "policy",
    "ProofInvalid": "proof-invalid",
    "Replay": "replay",
    "RollbackRefused": "rollback-refused",
    "SandboxUnavailable": "sandbox-unavailable",
    "SandboxViolation": "sandbox-violation",
    "SignatureInvalid": "signature-invalid",
    "StoreFault": "store-fault",
    "TransportError": "transport",
    "UnsatisfiedConstraint": "unsatisfied-constraint",
    "ZkfedError": "zkfed",
}


def defined() -> dict[str, type[ZkfedError]]:
    return {n: c for n, c in vars(errors).items() if isinstance(c, type) and issubclass(c, ZkfedError)}


def drawn() -> dict[str, str]:
    """Returns the parent of each class in the drawing of the docstring."""
    parents: dict[str, str] = {}
    line_of: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        found = re.match(r"([│ ]*[├└]── |)(\w+)(?: {2,}\S.*)?$", line)
        if not found or (not found[1] and found[2] != "ZkfedError"):
            continue
        depth = len(found[1]) // 4
        del line_of[depth:]
        parents[found[2]] = line_of[-1] if line_of else "Exception"
        line_of.append(found[2])
    return parents


def test_the_drawing_is_the_tree() -> None:
    classes = defined()
    for cls in classes.values():
        assert len(cls.__bases__) == 1
    assert drawn() == {name: cls.__bases__[0].__name__ for name, cls in classes.items()}


def test_every_error_is_public_and_listed_in_order() -> None:
    assert errors.__all__ == [*sorted(defined()), "excerpt", "shown"]


def test_codes_are_the_known_ones() -> None:
    assert {name: cls.code for name, cls in defined().items()} == CODES


def test_each_class_has_a_code_of_its_own() -> None:
    assert len(set(CODES.values())) == len(CODES)
    assert all("code" in vars(cls) for cls in defined().values())
    assert all(re.fullmatch("[a-z]+(-[a-z]+)*", code) for code in CODES.values())


@pytest.mark.parametrize("name", CODES)
def test_an_error_carries_its_text_and_a_docstring(name: str) -> None:
    cls = defined()[name]
    assert str(cls("what came, what was expected")) == "what came, what was expected"
    assert cls.__doc__
    with pytest.raises(ZkfedError):
        raise cls("text")


def test_a_limit_is_a_decode_error_and_nothing_is_a_builtin_misuse() -> None:
    assert issubclass(errors.LimitExceeded, errors.DecodeError)
    assert not any(issubclass(cls, (ValueError, TypeError, KeyError, OSError)) for cls in defined().values())


def test_attributes() -> None:
    assert ProofInvalid("bad").culprits == (0,)
    assert ProofInvalid("bad", [4, 2]).culprits == (4, 2)
    broken = UnsatisfiedConstraint("bad", "improvement/slack/limbs", (3, 1))
    assert (broken.constraint, broken.position) == ("improvement/slack/limbs", (3, 1))
    assert (UnsatisfiedConstraint("bad").constraint, UnsatisfiedConstraint("bad").position) == ("", ())


# -- excerpts ----------------------------------------------------------------------------------


@given(st.binary(max_size=300) | st.text(max_size=300), st.integers(0, 250))
def test_an_excerpt_is_short_and_printable_ascii(data: bytes | str, limit: int) -> None:
    shown = excerpt(data, limit)
    assert len(shown) <= limit
    assert all(" " <= c <= "~" for c in shown)


@given(st.text(alphabet=st.characters(min_codepoint=32, max_codepoint=126, exclude_characters="\\"), max_size=200))
def test_plain_text_stays(text: str) -> None:
    assert excerpt(text) == excerpt(text.encode()) == text


@given(st.binary(max_size=50))
def test_what_fits_can_be_read_back(data: bytes) -> None:
    """So two different inputs never look alike, whatever backslashes a sender writes."""
    assert excerpt(data).encode("ascii").decode("unicode_escape").encode("latin-1") == data


@given(st.text(max_size=20))
def test_text_that_fits_can_be_read_back(text: str) -> None:
    assert excerpt(text).encode("ascii").decode("unicode_escape") == text


@pytest.mark.parametrize(
    ("data", "shown"),
    [
        (b"\xff\x00", r"\xff\x00"),
        (b"\\xff", r"\\xff"),
        ("a\nb\r\x1b[2J", r"a\nb\r\x1b[2J"),
        ("é\u202e\U0001f600", r"\xe9\u202e\U0001f600"),
        ("\ud800", r"\ud800"),
        ("x" * 200, "x" * 200),
        ("x" * 201, "x" * 197 + "..."),
        (b"x" * 1000, "x" * 197 + "..."),
        ("", ""),
    ],
)
def test_examples(data: bytes | str, shown: str) -> None:
    assert excerpt(data) == shown


@pytest.mark.parametrize("limit", range(5))
def test_a_tiny_limit_holds(limit: int) -> None:
    assert excerpt("abcdefgh", limit) == ("a..." if limit == 4 else "..."[:limit])
