"""What a round is about, as pure data: model, claim, policy.

`RoundPolicy` is the one place for scales, bounds, thresholds, sizes and privacy loss. Its
digest is bound into every proof and signature, so the bound that the proof enforces is the
clip that the privacy guarantee assumes and the range that makes decryption exact.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import cached_property
from typing import Any

from zkfed.counts import Counts, CountVector
from zkfed.encoding import Reader, Writer, digest
from zkfed.errors import DecodeError, PolicyError, shown
from zkfed.model import FEATURE_LIMIT, MLP, LinearModel, Model, decode_model

__all__ = [
    "CLIENTS_MAX",
    "FEATURE_LIMIT",
    "LOSSES",
    "MLP",
    "Improvement",
    "LinearModel",
    "Model",
    "Registration",
    "RoundPolicy",
    "parse_share",
]

UPDATE_BITS = 16
"""A coordinate of an update lies in [-2^15, 2^15)."""
NOISE_BITS = 28
"""A coordinate of one party's noise lies in [-2^28, 2^28)."""
CLIENTS_MAX = 1 << 14
LOSSES = {
    "squared": (1, 1 << 12),
    "hinge": (2, 2),
    "logistic": (2, 2),
    "cross-entropy": (3, 1 << 12),
    "accuracy": (2, 1 << 12),
}
"""The losses, and the fewest and most classes that each is for."""
LOSS_BITS_MAX = 256
"""No loss reaches this: it would not fit the field of any curve."""
SCHEDULE_MAX = 1 << 10
"""Entries of a schedule."""
SHARE_SCALE = 1_000_000
"""S: a share X/S is given in millionths."""


def parse_share(value: str | float | Fraction) -> int:
    """Returns a share such as "5%", 0.05 or Fraction(1, 20) in millionths.

    Raises:
        PolicyError: Not a share in (0, 1], or finer than a millionth.
    """
    if isinstance(value, bool) or not isinstance(value, (str, int, float, Fraction)):
        raise PolicyError(f'a share is "5%", 0.05 or a Fraction, got {type(value).__name__}')
    try:
        share = _share_of_text(value) if isinstance(value, str) else Fraction(_as_written(value))
    except (ValueError, OverflowError, ZeroDivisionError):
        raise PolicyError(f'{shown(value)} is no share; write for example "5%"') from None
    scaled = share * SHARE_SCALE
    if not 0 < share <= 1 or scaled.denominator != 1:
        raise PolicyError(f"the share {shown(value)} is outside (0, 1] or finer than a millionth")
    return int(scaled)


def _share_of_text(text: str) -> Fraction:
    # Exponents are refused: Fraction("1e999999999") would fill the memory.
    if len(text) > 40 or "e" in text.lower():
        raise ValueError("no share")
    text = text.strip()
    return Fraction(text[:-1]) / 100 if text.endswith("%") else Fraction(text)


def _as_written(value: float | Fraction) -> str | float | Fraction:
    # 0.05 means 1/20, not the binary fraction next to it.
    return str(float(value)) if isinstance(value, float) else value


@dataclass(frozen=True, slots=True)
class Registration:
    """What a client registers before it may prove something about its own rows (S1).

    Attributes:
        rows: M, the rows of every record; fixed for all clients, or it would reveal how many one has.
        class_rows_min: The fewest rows of any class.
        class_rows_max: The most rows of any class; M if it is None.
    """

    rows: int
    class_rows_min: int = 0
    class_rows_max: int | None = None

    def __post_init__(self) -> None:
        if self.class_rows_max is None:
            object.__setattr__(self, "class_rows_max", self.rows)
        for name, low, high in (
            ("rows", 4, 1 << 16), ("class_rows_max", 1, self.rows), ("class_rows_min", 0, self.most)
        ):  # fmt: skip
            value = getattr(self, name)
            if type(value) is not int or not low <= value <= high:
                raise PolicyError(f"Registration.{name} is {shown(value)}, expected an int in [{low}, {shown(high)}]")

    @property
    def most(self) -> int:
        """The most rows of any class, as a number."""
        return self.rows if self.class_rows_max is None else self.class_rows_max

    def encode(self) -> bytes:
        return Writer("zkfed/v1/registration").u64(self.rows).u64(self.class_rows_min).u64(self.most).finish()

    @classmethod
    def decode(cls, data: bytes) -> Registration:
        """Reads what a policy asks for; raises DecodeError or PolicyError."""
        r = Reader(data, "zkfed/v1/registration", limit=256)
        out = cls(r.u64(), r.u64(), r.u64())
        r.finish()
        return out


@dataclass(frozen=True, slots=True)
class Improvement:
    """The loss on n rows falls by at least a share of itself: on a benchmark (S2) or on own rows (S1).

    Attributes:
        model: The model family.
        rows: n, the rows of the benchmark, or those drawn from a registration; a constant of the circuit.
        at_least: X/S in millionths after construction; give "5%", 0.05 or a Fraction.
        base_loss_min: L_min, the smallest base loss (an integer at the loss's scale)
            for which the claim is accepted.
        loss: One of `LOSSES`.
        registration: Makes the rows the client's own: registered, and drawn after it has committed.
        base_loss_max: L_cap of S1, the largest base loss for which the claim is accepted; None for any.
    """

    model: Model
    rows: int
    at_least: Any = "5%"
    base_loss_min: int = 1
    loss: str = "squared"
    registration: Registration | None = None
    base_loss_max: int | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.model, (LinearModel, MLP)):
            raise PolicyError(f"Improvement.model is a {type(self.model).__name__}, expected LinearModel or MLP")
        if type(self.rows) is not int or not 1 <= self.rows <= 1 << 20:
            raise PolicyError(f"Improvement.rows is {shown(self.rows)}, expected an int in [1, {1 << 20}]")
        if type(self.base_loss_min) is not int or not 1 <= self.base_loss_min < 1 << LOSS_BITS_MAX:
            raise PolicyError(
                f"Improvement.base_loss_min is {shown(self.base_loss_min)}, expected an int in "
                f"[1, 2^{LOSS_BITS_MAX}): a zero base loss proves nothing"
            )
        self._check_loss()
        self._check_registration()
        object.__setattr__(self, "at_least", Fraction(parse_share(self.at_least), SHARE_SCALE))

    def _check_loss(self) -> None:
        if type(self.loss) is not str or self.loss not in LOSSES:
            raise PolicyError(f"Improvement.loss is {shown(self.loss)}, expected one of {tuple(LOSSES)}")
        least, most = LOSSES[self.loss]
        if not least <= self.model.classes <= most:
            wanted = f"{least}" if least == most else f"at least {least}"
            raise PolicyError(f"the loss {self.loss} needs {wanted} classes, the model has {self.model.classes}")

    def _check_registration(self) -> None:
        record, cap = self.registration, self.base_loss_max
        if record is not None:
            if not isinstance(record, Registration):
                raise PolicyError(f"Improvement.registration is a {type(record).__name__}, expected Registration")
            if record.rows < 4 * self.rows:
                raise PolicyError(
                    f"{record.rows} registered rows for {self.rows} drawn ones; at least four times as many are needed"
                )
            self._check_class_rows(record)
        if cap is not None:
            if record is None:
                raise PolicyError("Improvement.base_loss_max is for registered rows; a benchmark's base loss is public")
            if type(cap) is not int or not self.base_loss_min <= cap < 1 << LOSS_BITS_MAX:
                raise PolicyError(
                    f"Improvement.base_loss_max is {shown(cap)}, expected an int in [base_loss_min, 2^{LOSS_BITS_MAX})"
                )

    def _check_class_rows(self, record: Registration) -> None:
        classes, least, most = self.model.classes, record.class_rows_min, record.most
        if classes == 1 and (least, most) != (0, record.rows):
            raise PolicyError("Registration.class_rows_min and class_rows_max bound classes; a regression has none")
        if classes > 1 and not classes * least <= record.rows <= classes * most:
            raise PolicyError(f"{record.rows} rows of {classes} classes cannot have {least} to {most} of each")

    @property
    def kind(self) -> str:
        """The statement: S1 for registered rows, S2 for a benchmark."""
        return "S2" if self.registration is None else "S1"

    @property
    def millionths(self) -> int:
        """X for S = 10^6."""
        return int(self.at_least * SHARE_SCALE)

    def encode(self) -> bytes:
        w = Writer("zkfed/v1/improvement").bytes(self.model.encode()).u64(self.rows)
        w.u64(self.millionths).integer(self.base_loss_min).text(self.loss)
        w.bytes(b"" if self.registration is None else self.registration.encode())
        return w.integer(-1 if self.base_loss_max is None else self.base_loss_max).finish()

    @classmethod
    def decode(cls, data: bytes) -> Improvement:
        """Reads a statement; raises DecodeError or PolicyError."""
        r = Reader(data, "zkfed/v1/improvement", limit=4096)
        model, rows = decode_model(r.bytes(limit=1024)), r.u64()
        share, least, loss = Fraction(r.u64(SHARE_SCALE), SHARE_SCALE), r.integer(), r.text(limit=32)
        record, cap = r.bytes(limit=256), r.integer()
        r.finish()
        registration = Registration.decode(record) if record else None
        out = cls(model, rows, share, least, loss, registration, None if cap == -1 else cap)
        if out.encode() != data:
            raise DecodeError("improvement: not the canonical encoding")
        return out


@dataclass(frozen=True)
class RoundPolicy:
    """Everything that the parties of a federation agree on before the first round.

    Attributes:
        statement: What each client proves: `Improvement`, whose `at_least` is the share of every round
            that `schedule` does not name; or `Counts`, a statistic.
        clip_norm: C, the L2 norm to which an update is clipped, in model units.
        epsilon: Privacy loss of one release, for `delta`.
        delta: Of one release, and of the whole lifetime.
        epsilon_max: The most that all rounds together may spend, for `delta`.
        min_clients: k_min, the fewest updates that may be summed and opened.
        max_clients: N, the most; enters the lanes and the exactness of decryption.
        schedule: at_least of round 1, 2, ...; the last one serves all later rounds.
        attempts: How often one round may be tried; all are reserved in the ledger.
        groups: Into how many random groups a repeated attempt is split, at most.
        server_rate: The release moves the model by server_rate times the noised mean.
        acceptance_bits_max: How often a client may answer about its registered rows (S1): each
            acceptance is a bit without noise, which no epsilon covers.
        scheme: "ckks" or "bfv".
        curve: "bls12-381" or "bn254".
        setup: "development" accepts keys with a single-party setup; "production" refuses.
        adder_key: The adders' pinned Ed25519 key, 32 bytes, once it is known.
        holder_key: The key holder's pinned Ed25519 key, 32 bytes, once it is known.

    Raises:
        PolicyError: A value is out of range, or the lanes of the sum could overflow.
    """

    statement: Improvement | Counts
    clip_norm: float
    epsilon: float
    delta: float
    min_clients: int
    max_clients: int = 1024
    schedule: tuple[Any, ...] = ()
    attempts: int = 2
    groups: int = 3
    epsilon_max: float = 16.0
    server_rate: float = 1.0
    acceptance_bits_max: int = 16
    scheme: str = "ckks"
    curve: str = "bls12-381"
    setup: str = "development"
    adder_key: bytes = field(default=b"", repr=False)
    holder_key: bytes = field(default=b"", repr=False)

    def __post_init__(self) -> None:
        if not isinstance(self.statement, (Improvement, Counts)):
            raise PolicyError(
                f"RoundPolicy.statement is a {type(self.statement).__name__}, expected Improvement or Counts"
            )
        for name, low, high in (
            ("clip_norm", 0, 1 << 15), ("epsilon", 0, 100), ("delta", 0, 0.1), ("server_rate", 0, 1 << 20),
            ("epsilon_max", 0, 1000),
        ):  # fmt: skip
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, float)):
                raise PolicyError(f"RoundPolicy.{name} is a {type(value).__name__}, expected a number")
            if not low < value <= high:  # refuses NaN too
                raise PolicyError(f"RoundPolicy.{name} is {shown(value)}, expected a number in ({low}, {high}]")
            object.__setattr__(self, name, float(value))
        for name, minimum, maximum in (
            ("min_clients", 2, CLIENTS_MAX), ("max_clients", self.min_clients, CLIENTS_MAX), ("attempts", 1, 8),
            ("groups", 1, 64), ("acceptance_bits_max", 1, 1 << 16),
        ):  # fmt: skip
            value = getattr(self, name)
            if type(value) is not int or not minimum <= value <= maximum:
                raise PolicyError(f"RoundPolicy.{name} is {shown(value)}, expected an int in [{minimum}, {maximum}]")
        for name, choices in (
            ("scheme", ("ckks", "bfv")), ("curve", ("bls12-381", "bn254")), ("setup", ("development", "production"))
        ):  # fmt: skip
            if getattr(self, name) not in choices:
                raise PolicyError(f"RoundPolicy.{name} is {shown(getattr(self, name))}, expected one of {choices}")
        for name in ("adder_key", "holder_key"):
            key = getattr(self, name)
            if not isinstance(key, bytes):
                raise PolicyError(f"RoundPolicy.{name} is a {type(key).__name__}, expected bytes")
            if len(key) not in (0, 32):
                raise PolicyError(f"RoundPolicy.{name} has {len(key)} bytes, expected 32")
        if self.adder_key and self.adder_key == self.holder_key:
            raise PolicyError("the adders and the key holder have the same key: one party would read every update")
        if type(self.schedule) not in (tuple, list):
            raise PolicyError(f"RoundPolicy.schedule is a {type(self.schedule).__name__}, expected a tuple of shares")
        if len(self.schedule) > SCHEDULE_MAX:
            raise PolicyError(f"RoundPolicy.schedule has {len(self.schedule)} shares, at most {SCHEDULE_MAX}")
        object.__setattr__(self, "schedule", tuple(Fraction(parse_share(x), SHARE_SCALE) for x in self.schedule))
        if isinstance(self.statement, Counts):
            self.statement.check_policy(self.clip_norm, self.server_rate, self.schedule)
        if (self.max_clients << (UPDATE_BITS - 1)) + (2 << NOISE_BITS) >= 1 << 31:
            raise PolicyError(f"{self.max_clients} clients and two noises overflow a lane of 32 bits")

    @property
    def model(self) -> Model | CountVector:
        return self.statement.model

    @property
    def improvement(self) -> Improvement:
        """The statement, where it is about models (S1, S2).

        Raises:
            PolicyError: It is about counts (S4).
        """
        if isinstance(self.statement, Counts):
            raise PolicyError("this policy counts answers (S4); it is about no model")
        return self.statement

    @property
    def sum_bound(self) -> int:
        """The largest absolute coordinate of the sum with one noise, before the other."""
        return (self.max_clients << (UPDATE_BITS - 1)) + (1 << NOISE_BITS)

    def millionths(self, round_number: int) -> int:
        """Returns X (for S = 10^6) of a round, counted from 1; 0 for counts."""
        if round_number < 1:
            raise ValueError("rounds are counted from 1")
        if not self.schedule:
            return 0 if isinstance(self.statement, Counts) else self.statement.millionths
        share = self.schedule[min(round_number, len(self.schedule)) - 1]
        return int(share * SHARE_SCALE)

    def pinned(self, *, adder_key: bytes, holder_key: bytes) -> RoundPolicy:
        """Returns the policy with both parties' signing keys pinned.

        Raises:
            PolicyError: A key does not have 32 bytes, or both are the same.
        """
        if not adder_key or not holder_key:
            raise PolicyError("a pinned key has 32 bytes, got none")
        return replace(self, adder_key=adder_key, holder_key=holder_key)

    def encode(self) -> bytes:
        w = Writer("zkfed/v1/policy").bytes(self.statement.encode())
        for number in (self.clip_norm, self.epsilon, self.delta, self.server_rate, self.epsilon_max):
            w.text(float(number).hex())
        w.u64(self.min_clients).u64(self.max_clients).u64(self.attempts).u64(self.groups).u64(self.acceptance_bits_max)
        w.list([int(x * SHARE_SCALE).to_bytes(8, "big") for x in self.schedule])
        w.text(self.scheme).text(self.curve).text(self.setup)
        return w.bytes(self.adder_key).bytes(self.holder_key).finish()

    @classmethod
    def decode(cls, data: bytes) -> RoundPolicy:
        """Reads a policy; raises DecodeError or PolicyError."""
        r = Reader(data, "zkfed/v1/policy", limit=1 << 16)
        encoded = r.bytes(limit=4096)
        statement = Counts.decode(encoded) if Counts.is_encoded(encoded) else Improvement.decode(encoded)
        clip, epsilon, delta, rate, epsilon_max = (_number(r.text(limit=32)) for _ in range(5))
        least, most, attempts, groups, bits = (r.u64() for _ in range(5))
        shares = r.list(SCHEDULE_MAX, exact=8)
        schedule = tuple(Fraction(int.from_bytes(x, "big"), SHARE_SCALE) for x in shares)
        scheme, curve, setup = r.text(32), r.text(32), r.text(32)
        adder, holder = r.bytes(limit=32), r.bytes(limit=32)
        r.finish()
        out = cls(
            statement, clip, epsilon, delta, least, most, schedule, attempts, groups, epsilon_max, rate, bits, scheme,
            curve, setup, adder, holder,
        )  # fmt: skip
        if out.encode() != data:
            raise DecodeError("policy: not the canonical encoding")
        return out

    @cached_property
    def digest(self) -> bytes:
        """SHA-256 of the canonical bytes; bound into every proof and signature."""
        return digest("zkfed/v1/policy-digest", self.encode())


def _number(text: str) -> float:
    try:
        return float.fromhex(text)
    except (ValueError, OverflowError):
        raise DecodeError("policy: a number is not in hexadecimal float notation") from None
