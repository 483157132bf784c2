"""Shows what a policy refuses, that its texts say what came and what was expected, and its bytes.

The digest of a policy is bound into every proof and signature: so every field moves it, and one
policy has one encoding.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import fields, replace
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zkfed import policy as module
from zkfed.encoding import Writer
from zkfed.errors import DecodeError, PolicyError
from zkfed.policy import CLIENTS_MAX, MLP, Improvement, LinearModel, Registration, RoundPolicy, parse_share

MODEL = LinearModel(features=8, classes=3)
STATEMENT = Improvement(MODEL, rows=64, at_least="5%")
POLICY = RoundPolicy(STATEMENT, clip_norm=1.0, epsilon=0.5, delta=1e-6, min_clients=4)
A, B = b"a" * 32, b"b" * 32
NO_INTS = [True, False, 1.0, "3", None, b"3", Fraction(3)]
NO_NUMBERS = [True, False, "1", None, b"1", Fraction(1, 2), 1j]
HUGE = 10**5000  # Python itself refuses to print it, so a text that tried would raise ValueError


def refused(build: Callable[[], Any], *parts: str) -> str:
    """Checks that `build` raises PolicyError with all `parts` in its text; returns the text."""
    with pytest.raises(PolicyError) as caught:
        build()
    text = str(caught.value)
    assert type(caught.value) is PolicyError
    assert all(part in text for part in parts), text
    assert len(text) <= 300
    return text


# -- shares ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "millionths"),
    [
        ("5%", 50_000), ("5 %", 50_000), (" 0.5% ", 5_000), ("0.05", 50_000), ("1/20", 50_000), (0.05, 50_000),
        (Fraction(1, 20), 50_000), (1, 1_000_000), (1.0, 1_000_000), ("100%", 1_000_000), ("0.0001%", 1), (1e-6, 1),
    ],
)  # fmt: skip
def test_a_share_is_read_as_written(value: Any, millionths: int) -> None:
    assert parse_share(value) == millionths


@given(st.integers(1, 1_000_000))
def test_every_millionth_is_a_share(n: int) -> None:
    assert parse_share(Fraction(n, 10**6)) == parse_share(n / 10**6) == parse_share(f"{n}/1000000") == n


@pytest.mark.parametrize(
    "value",
    [
        0, 0.0, -0.0, "0%", "0", -1, "-5%", -0.05, 2, 1.000001, "100.0001%", "101%", 1e300, HUGE, -HUGE, Fraction(HUGE),
        Fraction(1, HUGE), 5e-324, Fraction(1, 3), "1/3", 1e-7, "0.00001%", 0.1234567,
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_a_share_outside_its_range_or_too_fine_is_refused(value: Any) -> None:
    refused(lambda: parse_share(value), "outside (0, 1] or finer than a millionth")


@pytest.mark.parametrize(
    "value",
    ["", "%", "five", "5%%", "1/0", "1/0%", "nan", "inf", "1e-2", "1e999999999", "1E-999999999", "0" * 5000, "5‰",
     math.nan, math.inf, -math.inf],
)  # fmt: skip
def test_what_is_no_share_is_refused_at_once(value: Any) -> None:
    refused(lambda: parse_share(value), 'is no share; write for example "5%"')


@pytest.mark.parametrize("value", [True, False, None, b"5%", [0.05], 1j])
def test_another_type_is_no_share(value: Any) -> None:
    refused(lambda: parse_share(value), 'a share is "5%", 0.05 or a Fraction', type(value).__name__)


@given(st.text(max_size=60))
def test_any_text_is_a_share_or_a_harmless_policy_error(text: str) -> None:
    try:
        shown = str(parse_share(text))
    except PolicyError as error:
        shown = str(error)
    assert re.fullmatch("[ -~]+", shown)


# -- bounds ----------------------------------------------------------------------------------------

MODEL_LIMITS = {"features": 1 << 16, "classes": 1 << 12, "fraction_bits": 15, "weight_bits": 30}


@pytest.mark.parametrize(("name", "maximum"), MODEL_LIMITS.items())
def test_bounds_of_a_model(name: str, maximum: int) -> None:
    for good in (1, maximum):
        assert getattr(replace(MODEL, **{name: good}), name) == good
    for bad in (0, -1, maximum + 1, HUGE, *NO_INTS):
        refused(lambda bad=bad: replace(MODEL, **{name: bad}), f"LinearModel.{name} is ", f"an int in [1, {maximum}]")


def test_bounds_of_a_statement() -> None:
    for good in (1, 1 << 20):
        assert replace(STATEMENT, rows=good).rows == good
    for bad in (0, -1, (1 << 20) + 1, HUGE, *NO_INTS):
        refused(lambda bad=bad: replace(STATEMENT, rows=bad), "Improvement.rows is ", "an int in [1, 1048576]")
    for good in (1, 2**256 - 1):
        assert replace(STATEMENT, base_loss_min=good).base_loss_min == good
    for bad in (0, -1, 2**256, HUGE, *NO_INTS):
        refused(lambda bad=bad: replace(STATEMENT, base_loss_min=bad), "base_loss_min is ", "an int in [1, 2^256)")
    for other in (None, "model", STATEMENT):
        refused(lambda other=other: replace(STATEMENT, model=other), "Improvement.model is a ", "expected LinearModel")


NUMBER_LIMITS = {"clip_norm": 1 << 15, "epsilon": 100, "delta": 0.1, "server_rate": 1 << 20, "epsilon_max": 1000}


@pytest.mark.parametrize(("name", "high"), NUMBER_LIMITS.items())
def test_bounds_of_numbers(name: str, high: float) -> None:
    for good in (high, high / 2, 5e-324):
        value = getattr(replace(POLICY, **{name: good}), name)
        assert (type(value), value) == (float, good)
    above = math.nextafter(high, math.inf)
    for bad in (0, 0.0, -0.0, -1, -5e-324, above, math.nan, math.inf, -math.inf, HUGE, -HUGE):
        text = refused(
            lambda bad=bad: replace(POLICY, **{name: bad}), f"RoundPolicy.{name} is ", f"a number in (0, {high}]"
        )
        assert ("a number of 16610 bits" if abs(bad) == HUGE else repr(bad)) in text
    for bad in NO_NUMBERS:
        refused(
            lambda bad=bad: replace(POLICY, **{name: bad}),
            f"RoundPolicy.{name} is a {type(bad).__name__}, expected a number",
        )


INT_LIMITS = {
    "min_clients": (2, CLIENTS_MAX),
    "max_clients": (POLICY.min_clients, CLIENTS_MAX),
    "attempts": (1, 8),
    "groups": (1, 64),
    "acceptance_bits_max": (1, 1 << 16),
}


@pytest.mark.parametrize(("name", "limits"), INT_LIMITS.items())
def test_bounds_of_counts(name: str, limits: tuple[int, int]) -> None:
    wide = replace(POLICY, max_clients=CLIENTS_MAX)
    for good in limits:
        assert getattr(replace(wide, **{name: good}), name) == good
    for bad in (limits[0] - 1, -1, limits[1] + 1, HUGE, *NO_INTS):
        refused(
            lambda bad=bad: replace(wide, **{name: bad}),
            f"RoundPolicy.{name} is ",
            f"an int in [{limits[0]}, {limits[1]}]",
        )


def test_at_most_as_many_clients_as_at_least_is_enough() -> None:
    assert replace(POLICY, min_clients=9, max_clients=9).max_clients == 9
    refused(lambda: replace(POLICY, min_clients=10, max_clients=9), "max_clients is 9", "an int in [10, 16384]")


@pytest.mark.parametrize(
    ("name", "good"),
    [("scheme", ("ckks", "bfv")), ("curve", ("bls12-381", "bn254")), ("setup", ("development", "production"))],
)
def test_choices(name: str, good: tuple[str, str]) -> None:
    for value in good:
        assert getattr(replace(POLICY, **{name: value}), name) == value
    for bad in (good[0].upper(), "", good[0] + " ", None, 0, b"ckks", "\x1b[2J" * 100):
        text = refused(lambda bad=bad: replace(POLICY, **{name: bad}), f"RoundPolicy.{name} is ", f"one of {good}")
        assert "\x1b" not in text


@pytest.mark.parametrize("other", [None, MODEL, "5%"])
def test_a_statement_is_an_improvement(other: Any) -> None:
    refused(lambda: replace(POLICY, statement=other), f"is a {type(other).__name__}, expected Improvement")


def test_lanes_hold_the_sum_and_both_noises(monkeypatch: pytest.MonkeyPatch) -> None:
    """At most 2^14 clients fill half a lane; the rule itself bites from 49152 clients on."""
    widest = replace(POLICY, max_clients=CLIENTS_MAX)
    assert widest.sum_bound + (1 << module.NOISE_BITS) == 1 << 30
    monkeypatch.setattr(module, "CLIENTS_MAX", 1 << 20)
    most = ((1 << 31) - (2 << 28)) // (1 << 15)
    assert most == 49152
    fits = replace(POLICY, max_clients=most - 1)
    assert fits.sum_bound + (1 << module.NOISE_BITS) < 1 << 31
    refused(lambda: replace(POLICY, max_clients=most), "49152 clients and two noises overflow a lane of 32 bits")


# -- keys --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["adder_key", "holder_key"])
def test_a_key_is_32_bytes_or_not_yet_known(name: str) -> None:
    assert getattr(replace(POLICY, **{name: A}), name) == A
    for size in (1, 31, 33, 64):
        refused(lambda size=size: replace(POLICY, **{name: bytes(size)}), f"{name} has {size} bytes, expected 32")
    for bad in ("a" * 32, None, bytearray(32), [1] * 32, 32):
        refused(lambda bad=bad: replace(POLICY, **{name: bad}), f"{name} is a {type(bad).__name__}, expected bytes")


def test_adders_and_holder_never_share_a_key() -> None:
    refused(lambda: replace(POLICY, adder_key=A, holder_key=A), "one party would read every update")
    refused(lambda: POLICY.pinned(adder_key=A, holder_key=A), "one party would read every update")


def test_pinning_sets_both_keys_and_nothing_else() -> None:
    pinned = POLICY.pinned(adder_key=A, holder_key=B)
    assert (pinned.adder_key, pinned.holder_key) == (A, B)
    assert replace(pinned, adder_key=b"", holder_key=b"") == POLICY
    assert (POLICY.adder_key, POLICY.holder_key) == (b"", b"")
    for adder, holder in ((b"", B), (A, b""), (b"", b"")):
        refused(lambda adder=adder, holder=holder: POLICY.pinned(adder_key=adder, holder_key=holder), "got none")


# -- schedule ----------------------------------------------------------------------------------------


def test_the_last_share_of_a_schedule_serves_all_later_rounds() -> None:
    policy = replace(POLICY, schedule=("5%", 0.03, Fraction(1, 100)))
    assert [policy.millionths(n) for n in (1, 2, 3, 4, 1000)] == [50_000, 30_000, 10_000, 10_000, 10_000]
    assert [POLICY.millionths(n) for n in (1, 2, 99)] == [50_000] * 3
    assert replace(POLICY, schedule=["5%"]).schedule == (Fraction(1, 20),)
    for n in (0, -1):
        for some in (POLICY, policy):
            with pytest.raises(ValueError, match="rounds are counted from 1"):
                some.millionths(n)


@pytest.mark.parametrize("bad", ["0%", "101%", 0, -1, 1.5, math.nan, True, None, "five"])
def test_each_share_of_a_schedule_is_checked(bad: Any) -> None:
    refused(lambda: replace(POLICY, schedule=("5%", bad)), "share")
    refused(lambda: replace(STATEMENT, at_least=bad), "share")


def test_a_schedule_is_a_tuple_of_bounded_length() -> None:
    longest = replace(POLICY, schedule=("5%",) * 1024)
    assert RoundPolicy.decode(longest.encode()) == longest
    refused(lambda: replace(POLICY, schedule=("5%",) * 1025), "has 1025 shares, at most 1024")
    for bad in ("5%", None, 0.05, {"5%"}):
        refused(lambda bad=bad: replace(POLICY, schedule=bad), f"schedule is a {type(bad).__name__}")


# -- shapes -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("classes", "outputs"), [(1, 1), (2, 1), (3, 3), (10, 10)])
def test_shape_of_a_model(classes: int, outputs: int) -> None:
    model = LinearModel(features=8, classes=classes)
    assert (model.inputs, model.outputs, model.parameters) == (9, outputs, 9 * outputs)


# -- bytes and digest ---------------------------------------------------------------------------------

MODELS = st.builds(
    LinearModel,
    **{name: st.integers(1, maximum) for name, maximum in MODEL_LIMITS.items()},  # type: ignore[arg-type]
)
SHARES = st.integers(1, 10**6).map(lambda n: Fraction(n, 10**6))
STATEMENTS = st.builds(Improvement, MODELS, st.integers(1, 1 << 20), SHARES, st.integers(1, 2**256 - 1))
KEYS = st.sampled_from([(b"", b""), (A, b""), (b"", B), (A, B)])


@st.composite
def policies(draw: st.DrawFn) -> RoundPolicy:
    least = draw(st.integers(2, CLIENTS_MAX))
    adder, holder = draw(KEYS)
    numbers = {n: draw(st.floats(0, high, exclude_min=True)) for n, high in NUMBER_LIMITS.items()}
    return RoundPolicy(
        draw(STATEMENTS),
        min_clients=least,
        max_clients=draw(st.integers(least, CLIENTS_MAX)),
        schedule=tuple(draw(st.lists(SHARES, max_size=4))),
        attempts=draw(st.integers(1, 8)),
        groups=draw(st.integers(1, 64)),
        scheme=draw(st.sampled_from(["ckks", "bfv"])),
        curve=draw(st.sampled_from(["bls12-381", "bn254"])),
        setup=draw(st.sampled_from(["development", "production"])),
        adder_key=adder,
        holder_key=holder,
        **numbers,
    )


@given(policies())
def test_a_policy_is_read_as_it_was_written(policy: RoundPolicy) -> None:
    again = RoundPolicy.decode(policy.encode())
    assert again == policy
    assert again.digest == policy.digest
    assert Improvement.decode(policy.statement.encode()) == policy.statement
    assert LinearModel.decode(policy.model.encode()) == policy.model


@given(st.data())
def test_a_mutated_policy_is_refused_or_is_another_policy(data: st.DataObject) -> None:
    encoded = bytearray(POLICY.pinned(adder_key=A, holder_key=B).encode())
    for _ in range(data.draw(st.integers(1, 3))):
        encoded[data.draw(st.integers(0, len(encoded) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        policy = RoundPolicy.decode(bytes(encoded))
    except (DecodeError, PolicyError):
        return
    assert policy.encode() == encoded


def test_a_cut_or_extended_policy_is_refused() -> None:
    for kind, encoded in (
        (RoundPolicy, POLICY.encode()),
        (Improvement, STATEMENT.encode()),
        (LinearModel, MODEL.encode()),
    ):
        for size in range(len(encoded)):
            with pytest.raises(DecodeError):
                kind.decode(encoded[:size])
        with pytest.raises(DecodeError):
            kind.decode(encoded + b"\0")


@pytest.mark.parametrize(
    "number", ["1", "0x1p0", "0x1.0p+0", "0X1.0000000000000p+0", "0x2.0000000000000p-1", " 0x1.0p+0"]
)
def test_a_number_has_one_spelling(number: str) -> None:
    exact = Writer("t").text((1.0).hex()).finish()[5:]
    with pytest.raises(DecodeError, match="policy: not the canonical encoding"):
        RoundPolicy.decode(POLICY.encode().replace(exact, Writer("t").text(number).finish()[5:], 1))


@pytest.mark.parametrize("number", ["", "one", "1e5x", "0x1p99999", "0x"])
def test_what_is_no_number_is_refused(number: str) -> None:
    exact = Writer("t").text((1.0).hex()).finish()[5:]
    with pytest.raises(DecodeError, match="not in hexadecimal float notation"):
        RoundPolicy.decode(POLICY.encode().replace(exact, Writer("t").text(number).finish()[5:], 1))


@pytest.mark.parametrize("number", ["nan", "inf", "-inf", "-0x1.0000000000000p+0", "0x0.0p+0", "0x1.0000000000000p+40"])
def test_a_number_out_of_range_is_refused_from_bytes_too(number: str) -> None:
    exact = Writer("t").text((1.0).hex()).finish()[5:]
    with pytest.raises(PolicyError, match=re.escape("RoundPolicy.clip_norm is ")):
        RoundPolicy.decode(POLICY.encode().replace(exact, Writer("t").text(number).finish()[5:], 1))


OTHERS: dict[str, Any] = {
    "statement": replace(STATEMENT, rows=65), "clip_norm": 1.5, "epsilon": 0.25, "delta": 1e-7, "min_clients": 5,
    "max_clients": 1023, "schedule": ("5%",), "attempts": 3, "groups": 4, "epsilon_max": 15.0, "acceptance_bits_max": 8,
    "server_rate": 0.5, "scheme": "bfv", "curve": "bn254", "setup": "production", "adder_key": A, "holder_key": B,
}  # fmt: skip


def test_the_digest_moves_with_every_field() -> None:
    assert set(OTHERS) == {f.name for f in fields(RoundPolicy)}
    models = [replace(MODEL, **{f.name: getattr(MODEL, f.name) - 1}) for f in fields(LinearModel)]
    statements = [replace(STATEMENT, rows=1), replace(STATEMENT, at_least="4%"), replace(STATEMENT, base_loss_min=2)]
    statements += [replace(STATEMENT, model=model) for model in models]
    record, mlp = Registration(4 * STATEMENT.rows), MLP(MODEL.features, (3,), MODEL.classes)
    statements += [
        replace(STATEMENT, loss="accuracy"), replace(STATEMENT, registration=record), replace(STATEMENT, model=mlp),
        replace(STATEMENT, registration=record, base_loss_max=10**9),
        replace(STATEMENT, registration=replace(record, class_rows_min=1)),
        replace(STATEMENT, registration=replace(record, class_rows_max=record.rows - 1)),
        replace(STATEMENT, registration=replace(record, rows=record.rows + 1)),
        replace(STATEMENT, model=replace(mlp, hidden=(4,))), replace(STATEMENT, model=replace(mlp, hidden=(3, 3))),
    ]  # fmt: skip
    assert len(fields(Improvement)) == 7
    changed = [replace(POLICY, **{name: value}) for name, value in OTHERS.items()]
    changed += [replace(POLICY, statement=s) for s in statements]
    changed += [replace(POLICY, adder_key=B), replace(POLICY, schedule=("5%", "5%")), POLICY]
    assert len({p.digest for p in changed}) == len(changed)


def test_two_ways_to_write_one_policy_have_one_digest() -> None:
    same = replace(POLICY, clip_norm=1, statement=replace(STATEMENT, at_least=0.05), schedule=())
    assert (same, same.digest) == (POLICY, POLICY.digest)


def test_keys_are_not_in_the_repr() -> None:
    assert A.hex() not in repr(POLICY.pinned(adder_key=A, holder_key=B))
    assert repr(A) not in repr(POLICY.pinned(adder_key=A, holder_key=B))
