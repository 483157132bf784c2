"""Adding ciphertexts: `add` for the adders, `add_here` inside its worker process."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from zkfed.encoding import Reader, Writer
from zkfed.errors import CiphertextRefused
from zkfed.he import loading
from zkfed.he.ciphertext import Ciphertext
from zkfed.he.framing import ciphertext_size, join_ciphertext
from zkfed.he.keys import PublicKey
from zkfed.he.params import EncryptionParams
from zkfed.he.worker import Limits, run

__all__ = ["add", "add_here"]

_BATCH = "zkfed/v1/worker-add"


def add(public_key: PublicKey, ciphertexts: Sequence[Ciphertext], count: int) -> Ciphertext:
    """Returns the encryption of the sum of what the ciphertexts hold, added in a worker process.

    Args:
        public_key: Of this attempt.
        ciphertexts: At least one, all distinct, each of `count` integers.
        count: How many integers each holds.

    Raises:
        CiphertextRefused: A ciphertext is of another shape or scheme, or stands twice, or the sum
            is transparent.
        SandboxViolation: The library crashed on a ciphertext, or used too much time or memory.
        SandboxUnavailable: The worker process could not be started.
        ValueError: There is nothing to add.
    """
    params = public_key.params
    if not ciphertexts:
        raise ValueError("there is no ciphertext to add")
    for position, c in enumerate(ciphertexts):
        if c.params != params or c.count != count:
            raise CiphertextRefused(
                f"ciphertext {position} is {c.params.scheme} with {c.count} integers, expected {params.scheme} "
                f"with {count}"
            )
    if len({c.digest for c in ciphertexts}) != len(ciphertexts):
        raise CiphertextRefused("the same ciphertext stands twice in the list: its errors would add up in line")

    def messages() -> Iterator[bytes]:
        yield Writer(_BATCH).bytes(params.encode()).u64(count).u64(len(ciphertexts)).finish()
        yield public_key.to_bytes()
        for c in ciphertexts:
            yield c.data

    size = ciphertext_size(params, count)
    reply = run(messages(), reply_bytes_max=size, limits=Limits.for_batch(len(ciphertexts), size))
    return Ciphertext.from_bytes(reply, params, count)


def add_here(receive: Callable[[], bytes]) -> bytes:
    """Adds the ciphertexts of a batch in this process; only the worker calls it.

    Args:
        receive: Returns the next message that `add` has sent.

    Returns:
        The canonical bytes of the sum.

    Raises:
        DecodeError: A message is not canonical; the worker does not rely on its parent.
        CiphertextRefused: The library refuses a ciphertext or the sum.
    """
    r = Reader(receive(), _BATCH)
    params, count, total = EncryptionParams.decode(r.bytes()), r.u64(), r.u64()
    r.finish()
    context = PublicKey(params, receive()).context
    first = Ciphertext(params, count, receive())
    vector = loading.load_vector(params, context, first.data, count)
    for _ in range(total - 1):
        other = Ciphertext(params, count, receive())
        loading.add_into(vector, loading.load_vector(params, context, other.data, count))
    return join_ciphertext(params, count, loading.vector_words(params, vector, count))
