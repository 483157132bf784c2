"""Shows what only the native backend can do wrong: panics, foreign points, threads, interruption.

What it computes is under the same tests as every other backend (conftest.py). Here they run in
a process without zkfed_native too: then there is nothing to show.
"""

from __future__ import annotations

import gc
import mmap
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from zkfed.algebra.curve import BLS12_381, BN254, Curve
from zkfed.algebra.field import to_limbs
from zkfed.algebra.native import NativeBackend, _typed
from zkfed.errors import BackendFault, DecodeError
from zkfed.files import map_file

native = pytest.importorskip("zkfed_native", reason="not built here: `make native`")


def random_limbs(curve: Curve, count: int, seed: int = 1) -> np.ndarray:
    rng = np.random.default_rng(seed)
    limbs = rng.integers(0, 1 << 64, (count, 4), dtype=np.uint64)
    limbs[:, 3] >>= np.uint64(64 - curve.order.bit_length() % 64 + 1)
    return limbs


def test_a_panic_is_a_typed_error_and_the_next_call_works() -> None:
    for _ in range(3):
        with pytest.raises(BackendFault, match="bug of zkfed-native"):
            _typed(native.fault_for_tests)
        backend = NativeBackend(BN254)
        assert len(backend.generator("G1", to_limbs([5]))) == 1


def test_points_of_another_curve_are_refused() -> None:
    bls, bn = NativeBackend(BLS12_381), NativeBackend(BN254)
    ours, theirs = bls.generator("G1", to_limbs([1])), bn.generator("G1", to_limbs([1]))
    second = bn.generator("G2", to_limbs([1]))
    for attempt in (
        lambda: bls.add(ours, theirs),
        lambda: bls.is_equal(ours, theirs),
        lambda: bls.concat("G1", [ours, theirs]),
        lambda: bls.is_pairing_product_one(ours, second),
    ):
        with pytest.raises(ValueError, match="curve"):
            attempt()


def test_a_count_that_is_announced_but_absent_allocates_nothing() -> None:
    for count in (1 << 32, 1 << 63, (1 << 64) - 1):
        with pytest.raises(DecodeError, match="100 bytes"):
            NativeBackend(BN254).decode("G1", bytes(100), count)


def test_positions_as_numpy_has_them() -> None:
    backend = NativeBackend(BN254)
    points = backend.generator("G1", to_limbs([1, 2, 3]))
    assert backend.is_equal(backend.take(points, np.array([-1, -3])), backend.generator("G1", to_limbs([3, 1]))).all()
    for wrong in (3, -4, 1 << 62, -(1 << 63)):
        with pytest.raises(ValueError, match="position"):
            backend.take(points, np.array([wrong]))


def test_what_it_cannot_be() -> None:
    with pytest.raises(ValueError, match="tiny"):
        NativeBackend(Curve("tiny", 17, 17, 1, 4, 3, 0))
    with pytest.raises(ValueError, match="threads"):
        NativeBackend(BN254, threads=0)


@pytest.mark.parametrize("curve", [BLS12_381, BN254], ids=lambda c: c.name)
def test_the_number_of_threads_changes_nothing(curve: Curve) -> None:
    scalars = random_limbs(curve, 3000)
    sums = []
    for threads in (1, 2, 3):
        backend = NativeBackend(curve, threads=threads)
        points = backend.generator("G1", scalars)
        quotient = backend.quotient(scalars[:2048], scalars[100:2148], scalars[900:2948])
        sums.append((backend.encode(backend.msm(points, scalars)), backend.encode(points), quotient.tobytes()))
    assert sums[0] == sums[1] == sums[2]


def test_sixteen_threads_of_python_at_once() -> None:
    backend, scalars = NativeBackend(BLS12_381), random_limbs(BLS12_381, 200)
    points = backend.generator("G1", scalars)
    expected = backend.encode(backend.msm(points, scalars))
    with ThreadPoolExecutor(16) as pool:
        got = list(pool.map(lambda _: backend.encode(backend.msm(points, scalars)), range(64)))
    assert set(got) == {expected}


def test_ctrl_c_ends_a_long_sum_and_the_next_one_works() -> None:
    backend = NativeBackend(BLS12_381, threads=1)
    few = backend.generator("G2", random_limbs(BLS12_381, 1 << 12))
    points, scalars = backend.concat("G2", [few] * 32), random_limbs(BLS12_381, 1 << 17)
    timer = threading.Timer(0.3, signal.raise_signal, [signal.SIGINT])
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        backend.msm(points, scalars)
    timer.join()
    assert len(backend.msm(few, scalars[: len(few)])) == 1


@pytest.mark.parametrize("curve", [BLS12_381, BN254], ids=lambda c: c.name)
@pytest.mark.parametrize("group", ["G1", "G2"])
def test_points_in_a_mapped_file_are_as_good_as_others(curve: Curve, group: str, tmp_path: Path) -> None:
    backend, n = NativeBackend(curve, threads=2), 1100
    scalars = random_limbs(curve, n)
    owned = backend.generator(group, scalars)
    (tmp_path / "points").write_bytes(bytes(64) + backend.encode_affine(owned))
    lent = backend.decode_affine(group, map_file(tmp_path / "points", 1 << 20)[64:], n)
    (tmp_path / "points").unlink()
    gc.collect()
    index = np.array([3, -1, 0, 3])
    for left, right in (
        (lent, owned),
        (backend.add(lent, owned), backend.add(owned, lent)),
        (backend.negate(lent), backend.negate(owned)),
        (backend.take(lent, index), backend.take(owned, index)),
        (backend.concat(group, [lent, owned, lent]), backend.concat(group, [owned] * 3)),
        (backend.msm(lent, scalars), backend.msm(owned, scalars)),
        (backend.scale(lent, scalars), backend.scale(owned, scalars)),
    ):
        assert len(left) == len(right)
        assert backend.is_equal(left, right).all()
        assert backend.encode(left) == backend.encode(right)
        assert backend.encode_affine(left) == backend.encode_affine(right)
    assert not backend.is_identity(lent).any()


def test_read_only_memory_is_kept_and_other_memory_is_copied(tmp_path: Path) -> None:
    backend = NativeBackend(BN254)
    data = backend.encode_affine(backend.generator("G1", to_limbs([1, 2, 3])))
    (tmp_path / "points").write_bytes(data)
    with (tmp_path / "points").open("rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    points = backend.decode_affine("G1", memoryview(mapped), 3)
    with pytest.raises(BufferError):  # the points are in there
        mapped.close()
    del points
    mapped.close()
    writable = bytearray(data)
    points = backend.decode_affine("G1", memoryview(writable), 3)
    writable[:] = bytes(len(data))
    assert backend.encode_affine(points) == data
    with pytest.raises(ValueError, match="contiguous"):
        backend.decode_affine("G1", memoryview(data + data)[::2], 3)


def test_ctrl_c_ends_a_long_check() -> None:
    backend = NativeBackend(BLS12_381, threads=1)
    few = backend.generator("G2", random_limbs(BLS12_381, 1 << 12))
    data = backend.encode_affine(backend.concat("G2", [few] * 64))
    timer = threading.Timer(0.3, signal.raise_signal, [signal.SIGINT])
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        backend.decode_affine("G2", data, 1 << 18)
    timer.join()
    assert len(backend.decode_affine("G2", data[: 192 << 10], 1 << 10)) == 1 << 10


INTERRUPTED = """
import sys
import numpy as np
from zkfed.algebra.curve import BLS12_381
from zkfed.algebra.native import NativeBackend

backend, rng = NativeBackend(BLS12_381, threads=1), np.random.default_rng(1)
scalars = rng.integers(0, 1 << 62, (1 << 18, 4), dtype=np.uint64)
few = backend.generator("G2", scalars[: 1 << 10])
points = backend.concat("G2", [few] * 256)
operations = {
    "sum": lambda: backend.msm(points, scalars),
    "comb": lambda: backend.generator("G2", scalars),
    "quotient": lambda: [backend.quotient(scalars, scalars, scalars) for _ in range(1000)],
    "decode": lambda: backend.decode("G2", backend.encode(few) * 256, 1 << 18),
}
for name, work in operations.items():
    print(name, flush=True)
    try:
        work()
        sys.exit(f"{name} was not interrupted")
    except KeyboardInterrupt:
        one = backend.generator("G1", scalars[:1])
        assert backend.is_equal(backend.msm(one, scalars[:1]), backend.scale(one, scalars[:1])).all()
"""


def test_ctrl_c_reaches_every_long_operation_and_the_process_goes_on() -> None:
    """The signal comes from outside, as from a terminal; benches/interruption.py measures the time."""
    command = [sys.executable, "-c", INTERRUPTED]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        hung = threading.Timer(120, process.kill)
        hung.start()
        assert process.stdout is not None
        for _ in process.stdout:
            threading.Timer(0.3, process.send_signal, [signal.SIGINT]).start()
        errors = process.stderr.read() if process.stderr else ""
        assert process.wait() == 0, errors
        hung.cancel()
