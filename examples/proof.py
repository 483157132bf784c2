"""Only a proof: a model improved on a public benchmark, and nothing else is revealed.

python -m examples.proof
"""

from __future__ import annotations

import time

import numpy as np
from sklearn.datasets import load_digits
from sklearn.linear_model import Ridge

import zkfed


def main() -> None:
    """Proves that a ridge regression on the digits beats the zero model on 200 public rows."""
    digits = load_digits()
    x, y = digits.data / 16.0, digits.target
    benchmark = (x[:200], y[:200])
    fitted = Ridge(alpha=1.0).fit(x[200:], np.eye(10)[y[200:]])
    after = np.vstack([fitted.coef_.T, fitted.intercept_])
    before = np.zeros_like(after)

    statement = zkfed.Improvement(model=zkfed.LinearModel(features=64, classes=10), rows=200, at_least="40%")
    start = time.perf_counter()
    keys = zkfed.development_setup(statement)
    print(f"setup    {time.perf_counter() - start:.2f} s (development: whoever ran it could forge)")
    start = time.perf_counter()
    claim, proof = keys.prove(before=before, after=after, benchmark=benchmark)
    print(f"prove    {time.perf_counter() - start:.2f} s, {len(proof)} bytes")
    start = time.perf_counter()
    keys.verifier.verify(claim, proof)
    print(f"verify   {time.perf_counter() - start:.3f} s: {claim}")
    try:
        keys.prove(before=after, after=before, benchmark=benchmark)
    except zkfed.ZkfedError as error:
        print(f"refused  {error.code}: {error}")


if __name__ == "__main__":
    main()
