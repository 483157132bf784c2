"""Small circuits with keys, honest proofs, forgers and a verifier in pieces.

What a forger computes here he computes from published points, from his own witness and,
where a test says so, from trapdoors that the test recorded. `equations` restates
protocol.md section 5 without weights, so that a test can leave one equation out.
"""

from __future__ import annotations

import functools
import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from tests.statements.circuit_samples import sample
from zkfed.algebra.backend import Backend, Points, use
from zkfed.algebra.field import Limbs, as_ints, to_limbs
from zkfed.commitments.pedersen import Generators, generators
from zkfed.groth16.challenge import Challenger
from zkfed.groth16.keys import ProvingKey, VerifyingKey
from zkfed.groth16.proof import Instance, Proof
from zkfed.groth16.prove import Prover
from zkfed.groth16.setup import _setup
from zkfed.policy import LinearModel
from zkfed.r1cs.system import System
from zkfed.r1cs.witness import Assignment
from zkfed.statements.update_bound import USE, noise_circuit, update_circuit

__all__ = ["Case", "Forger", "Trapdoors", "challenger_of", "equations", "holds", "improvement", "noise", "point", "s0"]

CONTEXT = bytes(range(32))
Pairs = list[tuple[Points, Points]]


@dataclass
class Trapdoors:
    """What `_setup` drew, in its order: the waste that a ceremony destroys."""

    drawn: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.random = random.Random(1)

    def __call__(self) -> int:
        self.drawn.append(self.random.randrange(2, 1 << 250))
        return self.drawn[-1]

    tau = property(lambda self: self.drawn[0])
    alpha = property(lambda self: self.drawn[1])
    beta = property(lambda self: self.drawn[2])
    delta = property(lambda self: self.drawn[3])

    def sigma(self, layout: Any) -> list[int]:
        return self.drawn[4 : 4 + len(layout.unlinked)]

    def k(self, layout: Any) -> list[int]:
        return self.drawn[4 + len(layout.unlinked) :]


def scalar_source(seed: int, order: int) -> Callable[[], int]:
    """Returns the repeatable twin of the provers' randomness."""
    return functools.partial(random.Random(seed).randrange, order)


@dataclass(frozen=True)
class Case:
    """A circuit with its keys and one true statement."""

    system: System
    key: ProvingKey
    prover: Prover
    trapdoors: Trapdoors
    generators: Generators
    instance: Instance
    private: dict[str, Any]
    blinder: int

    @property
    def backend(self) -> Backend:
        return self.key.verifying.backend

    @property
    def vk(self) -> VerifyingKey:
        return self.key.verifying

    @property
    def order(self) -> int:
        return self.system.curve.order

    def prove(self, seed: int = 1, instance: Instance | None = None) -> Proof:
        rand = scalar_source(seed, self.order)
        return self.prover._prove(instance or self.instance, self.private, (self.blinder,), rand)

    @functools.cached_property
    def proof(self) -> Proof:
        return self.prove()

    def with_static(self, **changes: Any) -> Instance:
        static = {**self.instance.static, **{k.replace("_", "-"): v for k, v in changes.items()}}
        return replace(self.instance, static=static)

    def basis(self, segment: str) -> Points:
        names = [s.name for s in self.system.segments]
        return self.key.bases[names.index(segment)]


def keys_of(system: System, backend: Backend | None = None) -> tuple[ProvingKey, Trapdoors]:
    trapdoors = Trapdoors()
    return _setup(system, backend or use(system.curve), trapdoors), trapdoors


def _case(system: System, backend: Backend | None, make: Callable[[Points], tuple[Instance, dict[str, Any]]],
          update: Any) -> Case:  # fmt: skip
    backend = backend or use(system.curve)
    key, trapdoors = keys_of(system, backend)
    flat = as_ints(np.asarray(update, dtype=object)).ravel()
    g = generators(backend, USE, len(flat))
    blinder = 0x1234567890ABCDEF << 100
    instance, private = make(g.commit(flat, blinder))
    return Case(system, key, Prover(key, system), trapdoors, g, instance, private, blinder)


@functools.cache
def improvement(features: int = 3, classes: int = 3, rows: int = 20, backend: Backend | None = None) -> Case:
    """Returns S2 with an update that goes a third of the way to the optimum; 30 % of slack."""
    s = sample(LinearModel(features, classes), rows)
    d = s.update

    def make(commitment: Points) -> tuple[Instance, dict[str, Any]]:
        change = s.terms.loss_change(d)
        limits = {"squared_norm_max": int((d * d).sum()) + 1000, "loss_change_max": change * 7 // 10}
        instance = s.terms.instance(CONTEXT, commitment, curve=s.curve, **limits)
        return instance, {"update": d.ravel(), "gram": s.terms.gram, "gradient": s.terms.gradient}

    return _case(s.system, backend, make, d)


def _bounded(system: System, values: list[int], backend: Backend | None) -> Case:
    def make(commitment: Points) -> tuple[Instance, dict[str, Any]]:
        limit = sum(v * v for v in values) + 7
        return Instance(CONTEXT, {"squared-norm-max": limit}, (commitment,)), {"update": as_ints(values)}

    return _case(system, backend, make, values)


@functools.cache
def s0(count: int = 8, backend: Backend | None = None) -> Case:
    """Returns S0; eight coordinates are two lane scalars."""
    return _bounded(update_circuit(count), [(-1) ** i * (1000 + 77 * i) for i in range(count)], backend)


@functools.cache
def noise(count: int = 8, backend: Backend | None = None) -> Case:
    """Returns N; coordinates of up to 29 bits."""
    return _bounded(noise_circuit(count), [(-1) ** i * ((1 << 28) - 9 * i - 1) for i in range(count)], backend)


CASES = {
    "improvement/classes": lambda backend=None: improvement(3, 3, 20, backend),
    "improvement/binary": lambda backend=None: improvement(3, 2, 20, backend),
    "improvement/regression": lambda backend=None: improvement(3, 1, 20, backend),
    "S0": lambda backend=None: s0(8, backend),
    "N": lambda backend=None: noise(8, backend),
}


# -- the verifier in pieces ----------------------------------------------------------------------


def challenger_of(key: VerifyingKey, instance: Instance, proof: Proof) -> Challenger:
    """Returns the challenges as a verifier computes them."""
    challenger = Challenger(key.backend, key.layout, key.digest, instance)
    for stage in range(1, key.layout.stage_count + 1):
        challenger.draw(stage, proof.d)
    return challenger


def times(backend: Backend, points: Points, factor: int) -> Points:
    return backend.scale(points, to_limbs([factor % backend.curve.order]))


def point(points: Points, index: int, backend: Backend) -> Points:
    return backend.take(points, np.array([index]))


def total(backend: Backend, *parts: Points) -> Points:
    return functools.reduce(backend.add, parts)


def equations(key: VerifyingKey, challenger: Challenger, proof: Proof) -> tuple[Pairs, Pairs, Pairs]:
    """Returns the pairs of the three equations; each multiplies to one if it holds."""
    b = key.backend
    one = b.generator("G2", to_limbs([1]))
    x = to_limbs([1, *challenger.inputs])
    public = total(b, b.msm(key.ic, x), *proof.d)
    first = [(proof.a, proof.b), (b.negate(key.alpha), key.beta), (b.negate(public), one)]
    first.append((b.negate(proof.c), key.delta))
    second: Pairs = [] if proof.pok is None else [(proof.pok, one)]
    f, unlinked = challenger.fold(proof.d), 0
    third: Pairs = [] if proof.link is None else [(b.negate(proof.link), one)]
    for segment, d in zip(key.layout.segments, proof.d, strict=True):
        if not segment.is_linked:
            power = pow(f, unlinked, b.curve.order)
            second.append((times(b, d, -power), point(key.sigma, unlinked, b)))
            unlinked += 1
    by_name = {s.name: d for s, d in zip(key.layout.segments, proof.d, strict=True)}
    for i, (spec, external) in enumerate(zip(key.layout.links, challenger.commitments, strict=True)):
        third.append((by_name[spec.segment], point(key.kappa, 2 * i, b)))
        third.append((external, point(key.kappa, 2 * i + 1, b)))
    return first, second, third


def holds(backend: Backend, *groups: Pairs) -> bool:
    """Returns whether the product of all pairings is one: the equations without weights."""
    pairs = [pair for group in groups for pair in group]
    left = backend.concat("G1", [p for p, _ in pairs])
    return backend.is_pairing_product_one(left, backend.concat("G2", [q for _, q in pairs]))


def verdicts(key: VerifyingKey, instance: Instance, proof: Proof) -> tuple[bool, bool, bool]:
    """Returns which of the three equations hold, each on its own."""
    first, second, third = equations(key, challenger_of(key, instance, proof), proof)
    return holds(key.backend, first), holds(key.backend, second), holds(key.backend, third)


# -- the prover without a conscience -------------------------------------------------------------


@dataclass
class Forger:
    """Runs the prover's steps and lies where it is told to.

    Attributes:
        claimed: The statement that the verifier will see.
        private: The inputs of the hints.
        inputs: Public inputs that the witness uses instead of the claimed ones.
        shift: Points that are added to published D_k, by segment.
        system: Another witness program for the same matrices.
        challenger: Another way to draw challenges.
    """

    case: Case
    claimed: Instance
    private: dict[str, Any]
    inputs: dict[str, int] = field(default_factory=dict)
    shift: dict[str, Points] = field(default_factory=dict)
    system: System | None = None
    challenger: Callable[..., Challenger] = Challenger

    def proof(self, blinder: int | None = None, edit: Callable[[Any], None] = lambda z: None) -> Proof:
        """Assembles a proof and checks nothing; `edit` changes the witness before the end."""
        case, rand = self.case, scalar_source(7, self.case.order)
        challenger, z, d, segments = self.commit(rand)
        edit(z)
        blinders = (case.blinder if blinder is None else blinder,)
        return case.prover._assemble((challenger, d, segments), z, blinders, rand)

    def commit(self, rand: Callable[[], int]) -> tuple[Challenger, Any, tuple[Points, ...], list[Limbs]]:
        case, backend = self.case, self.case.backend
        system = self.system or case.system
        challenger = self.challenger(backend, case.vk.layout, case.vk.digest, self.claimed)
        own = [*challenger.inputs]
        for name, value in self.inputs.items():
            start = next(i.start for i in system.inputs if i.name == name)
            own[start - 1] = value % case.order
        assignment = Assignment(system, own, self.private)
        assignment.values.is_strict = False
        d: tuple[Points, ...] = ()
        segments: list[Limbs] = []
        for stage in range(system.stage_count + 1):
            if stage:
                assignment.set_inputs(stage, challenger.draw(stage, d))
            assignment.run(stage)
            for segment in system.segments:
                if segment.stage == stage:
                    assignment.set_mask(segment, rand())
                    segments.append(to_limbs(assignment.segment(segment).tolist()))
                    committed = backend.msm(case.key.bases[len(d)], segments[-1])
                    extra = self.shift.get(segment.name)
                    d += (committed if extra is None else backend.add(committed, extra),)
        return challenger, assignment.final(), d, segments
