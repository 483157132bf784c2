"""Key files are strict, refused keys are refused, and a prover checks its key before it proves.

The list of refused keys is protocol.md section 5; a key that is not on it but whose parts do not
fit together could make proofs leak (review M1), so `Prover` checks the equations between them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.groth16.samples import CASES, Case, improvement, noise, point, s0, times
from zkfed.algebra.backend import Backend, Points, use
from zkfed.algebra.curve import BLS12_381, BN254
from zkfed.algebra.field import to_limbs
from zkfed.algebra.reference import ReferenceBackend
from zkfed.encoding import Writer
from zkfed.errors import DecodeError, KeyRefused, LimitExceeded, StoreFault
from zkfed.groth16 import keys as keys_module
from zkfed.groth16.assembly import KeyScalars, Trapdoors
from zkfed.groth16.keys import DEVELOPMENT, ProvingKey, VerifyingKey, refuse
from zkfed.groth16.prove import Prover
from zkfed.groth16.setup import development_keys
from zkfed.groth16.verify import verify
from zkfed.r1cs.system import domain_size


@pytest.fixture(params=CASES, scope="module")
def case(request: pytest.FixtureRequest) -> Case:
    return CASES[request.param]()


# -- files ---------------------------------------------------------------------------------------


def test_keys_survive_their_encoding(case: Case) -> None:
    data = case.key.encode()
    again = ProvingKey.decode(data)
    assert again.encode() == data
    assert again.verifying.digest == case.vk.digest
    verify(VerifyingKey.decode(case.vk.encode()), case.instance, Prover(again, case.system).prove(
        case.instance, case.private, (case.blinder,)
    ))  # fmt: skip


def test_keys_survive_a_file_and_leave_no_partial_one(tmp_path: Path) -> None:
    case = s0()
    case.key.save(tmp_path / "proving.key")
    case.vk.save(tmp_path / "verifying.key")
    assert ProvingKey.load(tmp_path / "proving.key").encode() == case.key.encode()
    assert VerifyingKey.load(tmp_path / "verifying.key").encode() == case.vk.encode()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["proving.key", "verifying.key"]


@pytest.mark.parametrize("kind", [ProvingKey, VerifyingKey])
def test_faults_of_the_disk_are_store_faults(kind: Any, tmp_path: Path) -> None:
    key = s0().key if kind is ProvingKey else s0().vk
    with pytest.raises(StoreFault, match="cannot be read"):
        kind.load(tmp_path / "missing")
    with pytest.raises(StoreFault, match="cannot be read"):
        kind.load(tmp_path)
    with pytest.raises(StoreFault, match="cannot be written"):
        key.save(tmp_path / "missing" / "key")


def test_a_file_above_the_limit_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "key"
    s0().vk.save(path)
    monkeypatch.setattr(keys_module, "KEY_BYTES_MAX", 100)
    with pytest.raises(LimitExceeded, match="at most 100"):
        VerifyingKey.load(path)


def test_the_verifying_key_is_read_out_of_a_proving_key(tmp_path: Path) -> None:
    """Nothing of the points is looked at: the file may even end before them; within the header nothing passes."""
    path = tmp_path / "proving.key"
    s0().key.save(path)
    whole = path.read_bytes()
    header = 4 + int.from_bytes(whole[:4], "big")
    assert ProvingKey.load_verifying(path).encode() == s0().vk.encode()
    path.write_bytes(whole[:header])
    assert ProvingKey.load_verifying(path).encode() == s0().vk.encode()
    for bad in (b"", whole[:3], whole[: header - 1], s0().vk.encode(), b"x" * 1000, whole.replace(b"v2", b"v3", 1)):
        path.write_bytes(bad)
        with pytest.raises((KeyRefused, LimitExceeded)):
            ProvingKey.load_verifying(path)
    at = whole.index(s0().vk.encode()) + len(s0().vk.encode()) - 1  # a bit of its last point
    path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
    with pytest.raises(KeyRefused):
        ProvingKey.load_verifying(path)
    with pytest.raises(StoreFault):
        ProvingKey.load_verifying(tmp_path / "missing")


# A message that is no verifying key is badly encoded; a file that is no proving key is refused as a key.
REFUSAL = DecodeError, KeyRefused


def encodings() -> list[tuple[Callable[[bytes], object], bytes]]:
    return [(VerifyingKey.decode, s0().vk.encode()), (ProvingKey.decode, s0().key.encode())]


@pytest.mark.parametrize("which", [0, 1], ids=["verifying", "proving"])
@settings(max_examples=40)
@given(data=st.data())
def test_every_truncated_key_is_refused(which: int, data: st.DataObject) -> None:
    decode, whole = encodings()[which]
    with pytest.raises(REFUSAL[which]):
        decode(whole[: data.draw(st.integers(0, len(whole) - 1))])


@pytest.mark.parametrize("which", [0, 1], ids=["verifying", "proving"])
@pytest.mark.parametrize("tail", [b"\0", b"\0\0\0\0", b"more"])
def test_every_extended_key_is_refused(which: int, tail: bytes) -> None:
    decode, whole = encodings()[which]
    with pytest.raises(REFUSAL[which]):
        decode(whole + tail)


@pytest.mark.parametrize("which", [0, 1], ids=["verifying", "proving"])
@settings(max_examples=80)
@given(data=st.data())
def test_a_flipped_bit_is_refused_or_gives_another_canonical_key(which: int, data: st.DataObject) -> None:
    """A bit of y's sign, of a name, a digest or a wire number gives another key; nothing else decodes."""
    decode, whole = encodings()[which]
    at, bit = data.draw(st.integers(0, len(whole) - 1)), data.draw(st.integers(0, 7))
    changed = bytearray(whole)
    changed[at] ^= 1 << bit
    try:
        other: Any = decode(bytes(changed))
    except (DecodeError, KeyRefused):
        return
    assert other.encode() == bytes(changed) != whole
    # Every other verifying key has another digest, hence other challenges.
    key, original = (other, s0().vk) if which == 0 else (other.verifying, s0().vk)
    assert key.digest != original.digest or which == 1


@pytest.mark.parametrize("bad", [None, "text", 10**12, bytearray(8), b""])
@pytest.mark.parametrize("which", [0, 1], ids=["verifying", "proving"])
def test_other_things_than_keys_are_refused(which: int, bad: Any) -> None:
    with pytest.raises(REFUSAL[which]):
        encodings()[which][0](bad)


def test_declared_sizes_are_checked_before_anything_is_allocated() -> None:
    layout = s0().vk.layout
    data = Writer("zkfed/v1/verifying-key").bytes(layout.encode()).text(DEVELOPMENT).finish()
    with pytest.raises(LimitExceeded):
        VerifyingKey.decode(data + (1 << 31).to_bytes(4, "big"))


def test_wire_numbers_must_ascend_and_be_in_the_circuit() -> None:
    case = s0()
    swapped = case.key.a_wires.copy()
    swapped[[0, 1]] = swapped[[1, 0]]
    with pytest.raises(KeyRefused, match="do not ascend"):
        ProvingKey.decode(replace(case.key, a_wires=swapped).encode())
    far = case.key.b_wires.copy()
    far[-1] = case.system.wire_count
    with pytest.raises(KeyRefused, match=f"names wire {case.system.wire_count} of {case.system.wire_count}"):
        Prover(replace(case.key, b_wires=far), case.system)


def test_a_key_for_another_backends_curve_is_refused() -> None:
    with pytest.raises(KeyRefused, match="bn254"):
        VerifyingKey.decode(s0().vk.encode(), ReferenceBackend(BN254))
    with pytest.raises(ValueError, match="bn254"):
        development_keys(s0().system, ReferenceBackend(BN254))


def test_development_keys_carry_their_mark_through_the_encoding() -> None:
    assert VerifyingKey.decode(s0().vk.encode()).origin == DEVELOPMENT
    renamed = replace(s0().vk, origin="0" * 64)
    assert renamed.digest != s0().vk.digest


def test_two_setups_share_no_trapdoor() -> None:
    first, second = development_keys(s0().system), development_keys(s0().system)
    b = use(BLS12_381)
    for name in ("alpha", "beta", "delta", "sigma", "kappa"):
        assert b.encode(getattr(first.verifying, name)) != b.encode(getattr(second.verifying, name))


def test_the_domain_is_the_next_power_of_two() -> None:
    assert [domain_size(n) for n in (1, 2, 3, 4, 5, 8, 9, 4096, 4097)] == [2, 2, 4, 4, 8, 8, 16, 4096, 8192]


# -- the list of refused keys ----------------------------------------------------------------------

Forge = Callable[[Backend, VerifyingKey], VerifyingKey]


def g2(backend: Backend, *scalars: int) -> Points:
    return backend.generator("G2", to_limbs([s % backend.curve.order for s in scalars]))


def _sigma_equals(factor: int) -> Forge:
    def forge(b: Backend, k: VerifyingKey) -> VerifyingKey:
        first = point(k.sigma, 0, b)
        return replace(k, sigma=b.concat("G2", [first, times(b, first, factor)]))

    return forge


def _kappa(
    first: Callable[[Backend, VerifyingKey], Points], second: Callable[[Backend, VerifyingKey], Points]
) -> Forge:
    return lambda b, k: replace(k, kappa=b.concat("G2", [first(b, k), second(b, k)]))


def own(index: int, factor: int = 1) -> Callable[[Backend, VerifyingKey], Points]:
    return lambda b, k: times(b, point(k.kappa, index, b), factor)


REFUSED: dict[str, Forge] = {
    "the starting key: sigma = 1": lambda b, k: replace(k, sigma=g2(b, 1, 1)),
    "one sigma = 1": lambda b, k: replace(k, sigma=b.concat("G2", [point(k.sigma, 0, b), g2(b, 1)])),
    "sigma = -1": lambda b, k: replace(k, sigma=b.concat("G2", [g2(b, -1), point(k.sigma, 0, b)])),
    "sigma = 0": lambda b, k: replace(k, sigma=g2(b, 0, 5)),
    "sigma_1 = sigma_2": _sigma_equals(1),
    "sigma_1 = -sigma_2": _sigma_equals(-1),
    "sigma = delta": lambda b, k: replace(k, sigma=b.concat("G2", [k.delta, point(k.sigma, 0, b)])),
    "the starting key: kappa = 0": lambda b, k: replace(k, kappa=g2(b, 0, 0)),
    "kappa_1 = 0": _kappa(lambda b, k: g2(b, 0), own(1)),
    "kappa_1 = 1": _kappa(lambda b, k: g2(b, 1), own(1)),
    "kappa_2 = -1": _kappa(own(0), lambda b, k: g2(b, -1)),
    "kappa_1 = kappa_2": _kappa(own(0), own(0)),
    "kappa_1 = -kappa_2": _kappa(own(0), own(0, -1)),
    "kappa_1 = sigma_1": _kappa(lambda b, k: point(k.sigma, 0, b), own(1)),
    "kappa_2 = -delta": _kappa(own(0), lambda b, k: b.negate(k.delta)),
    "delta = gamma = generator": lambda b, k: replace(k, delta=g2(b, 1)),
    "delta = -generator": lambda b, k: replace(k, delta=g2(b, -1)),
    "delta = 0": lambda b, k: replace(k, delta=g2(b, 0)),
    "beta = 0": lambda b, k: replace(k, beta=g2(b, 0)),
    "alpha = 0": lambda b, k: replace(k, alpha=b.generator("G1", to_limbs([0]))),
    "a public input at the identity": lambda b, k: replace(
        k, ic=b.concat("G1", [b.take(k.ic, np.arange(len(k.ic) - 1)), b.generator("G1", to_limbs([0]))])
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_keys_under_which_anything_could_be_proven_are_refused(name: str) -> None:
    """On use, on load, and by the prover that would use them."""
    case = improvement()
    bad = REFUSED[name](case.backend, case.vk)
    with pytest.raises(KeyRefused):
        refuse(bad)
    with pytest.raises(KeyRefused):
        VerifyingKey.decode(bad.encode())
    proving = replace(case.key, verifying=bad)
    with pytest.raises(KeyRefused):
        ProvingKey.decode(proving.encode())
    with pytest.raises(KeyRefused):
        Prover(proving, case.system)


def test_honest_keys_are_not_refused(case: Case) -> None:
    refuse(case.vk)


def test_two_links_to_one_family_of_generators_are_refused() -> None:
    """One blinder generator in two rows has solutions without a witness (review H3)."""
    link = s0().vk.layout.links[0]
    layout = replace(s0().vk.layout, links=(link, replace(link, segment="stage-0")))
    with pytest.raises(KeyRefused, match="share the generators"):
        refuse(replace(s0().vk, layout=layout))


# -- parts that do not fit together ----------------------------------------------------------------


def _replaced(backend: Backend, points: Points, index: int, by: Points) -> Points:
    every = [by if i == index else point(points, i, backend) for i in range(len(points))]
    return backend.concat(points.group, every)


def _with(items: tuple[Points, ...], index: int, value: Points) -> tuple[Points, ...]:
    return tuple(value if i == index else item for i, item in enumerate(items))


@pytest.mark.parametrize("wire", [0, 5, -1])
@pytest.mark.parametrize("segment", [0, 1])
def test_a_changed_sigma_basis_is_refused(segment: int, wire: int) -> None:
    case = improvement()
    pok = case.key.pok[segment]
    at = wire % len(pok)
    changed = _replaced(case.backend, pok, at, times(case.backend, point(pok, at, case.backend), 2))
    key = ProvingKey.decode(replace(case.key, pok=_with(case.key.pok, segment, changed)).encode())
    with pytest.raises(KeyRefused, match=rf"sigma\[{segment}\] does not fit its basis"):
        Prover(key, case.system)


@pytest.mark.parametrize("column", [0, 7, 11, 12, 13], ids=["D_0", "D_7", "D_11", "mask", "blinder"])
def test_a_changed_link_column_is_refused(column: int) -> None:
    case = improvement()
    (columns,) = case.key.link
    changed = _replaced(case.backend, columns, column, times(case.backend, point(columns, column, case.backend), 2))
    key = ProvingKey.decode(replace(case.key, link=(changed,)).encode())
    with pytest.raises(KeyRefused, match="link 0 does not fit its rows"):
        Prover(key, case.system)


def test_link_columns_in_another_order_are_refused() -> None:
    case = improvement()
    (columns,) = case.key.link
    order = np.array([1, 0, *range(2, len(columns))])
    with pytest.raises(KeyRefused, match="link 0"):
        Prover(replace(case.key, link=(case.backend.take(columns, order),)), case.system)


@pytest.mark.parametrize("segment", [0, 1, 2])
@pytest.mark.parametrize("wire", [0, -1], ids=["first wire", "mask"])
def test_a_basis_with_the_identity_is_refused(segment: int, wire: int) -> None:
    """A mask at the identity hides nothing (CVE-2024-45040)."""
    case = improvement()
    basis = case.key.bases[segment]
    identity = times(case.backend, point(basis, 0, case.backend), 0)
    changed = _replaced(case.backend, basis, wire % len(basis), identity)
    key = replace(case.key, bases=_with(case.key.bases, segment, changed))
    with pytest.raises(KeyRefused, match="mask at the identity"):
        Prover(key, case.system)
    assert bytes(96) in key.encode()
    with pytest.raises(KeyRefused):
        ProvingKey.decode(key.encode())


def test_a_basis_that_lacks_a_point_is_refused() -> None:
    case = improvement()
    short = case.backend.take(case.key.bases[1], np.arange(len(case.key.bases[1]) - 1))
    key = replace(case.key, bases=_with(case.key.bases, 1, short))
    with pytest.raises(KeyRefused):
        Prover(key, case.system)
    with pytest.raises(KeyRefused, match="the header announces"):
        ProvingKey.decode(key.encode())


@pytest.mark.parametrize("part", ["k", "h"])
def test_a_key_that_lacks_a_private_wire_or_half_the_domain_is_refused(part: str) -> None:
    case = s0()
    points = getattr(case.key, part)
    keep = len(points) // 2 if part == "h" else len(points) - 1
    key = replace(case.key, **{part: case.backend.take(points, np.arange(keep))})
    with pytest.raises(KeyRefused):
        Prover(ProvingKey.decode(key.encode()), case.system)


def test_a_domain_that_is_no_power_of_two_is_refused() -> None:
    case = s0()
    key = replace(case.key, h=case.backend.take(case.key.h, np.arange(len(case.key.h) - 1)))
    with pytest.raises(KeyRefused, match="no power of two"):
        ProvingKey.decode(key.encode())


def test_the_key_of_another_circuit_is_refused() -> None:
    for other in (s0(7), noise(), improvement()):
        with pytest.raises(KeyRefused, match="for another circuit"):
            Prover(other.key, s0().system)
    version = replace(s0().system, version=2)
    with pytest.raises(KeyRefused, match="version 2"):
        Prover(s0().key, version)


def test_a_key_with_wrong_private_points_never_lets_a_proof_out() -> None:
    """No equation covers A, B, K/delta and H; the prover's own check of its proof does."""
    from zkfed.errors import ProofInvalid

    case = s0()
    for part in ("a", "b1", "b2", "k", "h"):
        points = getattr(case.key, part)
        # The wire 1 or a point of H: its scalar is not 0 in any proof.
        changed = _replaced(case.backend, points, 0, times(case.backend, point(points, 0, case.backend), 2))
        prover = Prover(replace(case.key, **{part: changed}), case.system)
        with pytest.raises(ProofInvalid):
            prover.prove(case.instance, case.private, (case.blinder,))


def test_trapdoors_and_key_scalars_do_not_show_their_values() -> None:
    trapdoors = Trapdoors(123456789, 223456789, 323456789, 423456789)
    scalars = KeyScalars(*(to_limbs([n, n]) for n in trapdoors))
    for text in (repr(trapdoors), str(trapdoors), repr(scalars), str(scalars)):
        assert "hidden" in text
        assert "23456789" not in text
