"""The released numbers of a question as bytes: what the ledger keeps, so that a repeat costs nothing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from zkfed.encoding import Reader, Writer
from zkfed.errors import DecodeError

__all__ = ["Answer"]

_TAG = "zkfed/v1/cohort-answer"
_BYTES_MAX = 1 << 24


@dataclass(frozen=True)
class Answer:
    """Noised counts; everything else about a statistic is computed from them.

    Attributes:
        labels: One for each count where categories were not known beforehand; otherwise none.
        counts: int64, noised; in the local mode as they were observed.
        people: Whose answers they are.
        scale: Of the noise that was drawn, exact as its text.
    """

    labels: tuple[str, ...]
    counts: npt.NDArray[np.int64]
    people: int
    scale: float

    def encode(self) -> bytes:
        w = Writer(_TAG).list([x.encode() for x in self.labels]).bytes(self.counts.astype(">i8").tobytes())
        return w.u64(self.people).text(self.scale.hex()).finish()

    @classmethod
    def decode(cls, data: bytes) -> Answer:
        """Reads an answer; raises DecodeError or LimitExceeded."""
        r = Reader(data, _TAG, _BYTES_MAX)
        raw, counts = r.list(1 << 16, limit=320), r.bytes(limit=_BYTES_MAX)
        people, scale = r.u64(), r.text(limit=64)
        r.finish()
        if len(counts) % 8:
            raise DecodeError(f"{_TAG}: counts of {len(counts)} bytes")
        try:
            labels = tuple(x.decode() for x in raw)
            out = cls(labels, np.frombuffer(counts, ">i8").astype(np.int64), people, float.fromhex(scale))
        except ValueError:
            raise DecodeError(f"{_TAG}: a label or the scale is malformed") from None
        if labels and len(labels) != len(out.counts):
            raise DecodeError(f"{_TAG}: {len(labels)} labels for {len(out.counts)} counts")
        if out.encode() != data:
            raise DecodeError(f"{_TAG}: not the canonical encoding")
        return out
