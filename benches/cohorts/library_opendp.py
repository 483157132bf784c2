"""OpenDP's Context API alone: what a careful reader of its user guide writes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import opendp.prelude as dp

dp.enable_features("contrib")

NAME, PACKAGE = "OpenDP Context", "opendp"
NOISES = ("laplace", "gaussian")
Rows = Sequence[tuple[str, str]]


class Session:
    """A context: it holds the data, the budget, and a filter that admits questions as they come."""

    def __init__(self, rows: Rows, categories: Sequence[str], budget: Any, folder: Path) -> None:
        self.context, self.categories = context([label for _, label in rows], epsilon=budget), list(categories)

    def histogram(self, epsilon: Any, *, is_new: bool = True) -> dict[str, float]:
        query = self.context.query(epsilon=epsilon)
        counts = query.count_by_categories(categories=self.categories, null_category=True).laplace().release()
        return dict(zip(self.categories, counts, strict=False))  # the last slot is for what nobody listed


def context(labels: list[str], *, contributions: int = 1, split: int | None = None, **loss: Any) -> Any:
    """A row is a label; whose it is, the context does not know: `contributions` is the caller's word."""
    domain, unit = dp.vector_domain(dp.atom_domain(T=str)), dp.unit_of(contributions=contributions)
    return dp.Context.compositor(
        data=labels, domain=domain, privacy_unit=unit, privacy_loss=dp.loss_of(**loss), split_evenly_over=split
    )


def unknown(rows: Rows, epsilon: float, delta: float, folder: Path) -> dict[str, float]:
    """The smallest threshold that the context admits at (epsilon, delta)."""
    for threshold in range(1, 1000):
        asked = context([label for _, label in rows], split=1, epsilon=epsilon, delta=delta)
        try:
            return dict(asked.query().count_by().laplace_threshold(scale=1 / epsilon, threshold=threshold).release())
        except dp.OpenDPException as error:
            if "insufficient budget" not in str(error):
                raise
    raise RuntimeError("no threshold is admitted")


def outlier(values: Sequence[float], epsilon: float, folder: Path) -> float:
    """A sum over a domain that is declared to have bounds."""
    domain = dp.vector_domain(dp.atom_domain(bounds=(0.0, 23.0), nan=False))
    asked = dp.Context.compositor(
        data=list(values), domain=domain, privacy_unit=dp.unit_of(contributions=1),
        privacy_loss=dp.loss_of(epsilon=epsilon), split_evenly_over=1,
    )  # fmt: skip
    return float(asked.query().sum().laplace().release())


def count(rows: Rows, categories: Sequence[str], bound: int, noise: str, folder: Path) -> dict[str, float]:
    """At epsilon 1 (delta 1e-6): a person has at most `bound` rows, which the caller has seen to."""
    names, labels = list(categories), [label for _, label in rows]
    if noise == "laplace":
        query = context(labels, contributions=bound, split=1, epsilon=1.0).query()
        counts = query.count_by_categories(categories=names, null_category=True).laplace().release()
    else:
        query = context(labels, contributions=bound, split=1, rho=rho_of(1.0, 1e-6)).query()
        distance = dp.L2Distance[dp.i32]
        counts = query.count_by_categories(categories=names, null_category=True, MO=distance).gaussian().release()
    return dict(zip(names, counts, strict=False))


def rho_of(epsilon: float, delta: float) -> float:
    """Returns the largest zCDP charge that OpenDP converts to at most epsilon at delta."""
    space = dp.vector_domain(dp.atom_domain(T="i64")), dp.l2_distance(T="f64")

    def charged(sigma: float) -> float:
        noise = space >> dp.m.then_gaussian(scale=sigma)
        return float(dp.c.make_fix_delta(dp.c.make_zCDP_to_approxDP(noise), delta).map(1.0)[0])

    sigma = dp.binary_search(lambda s: charged(s) <= epsilon, bounds=(0.1, 1e4))
    return float((space >> dp.m.then_gaussian(scale=sigma)).map(1.0))
