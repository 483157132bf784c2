"""What integers cost a trained perceptron, before anything is proven about it.

python -m examples.quantise
"""

from __future__ import annotations

from sklearn.datasets import load_digits
from sklearn.neural_network import MLPClassifier

import zkfed
from zkfed.quantisation import quantise


def main() -> None:
    """Trains on the digits, and judges three ways of making the model integers on rows it has not seen."""
    digits = load_digits()
    x, y = digits.data / 16.0, digits.target
    trained = MLPClassifier((32,), alpha=1e-2, max_iter=400, random_state=0).fit(x[:1000], y[:1000])
    for fraction_bits, weight_bits in ((15, 20), (3, 8), (15, 14)):
        imported = zkfed.import_model(trained, fraction_bits=fraction_bits, weight_bits=weight_bits)
        _, report = quantise(imported, x[1000:], y[1000:])
        print(f"{report}\n")
    try:
        zkfed.import_model(MLPClassifier((8,), activation="tanh", solver="lbfgs").fit(x[:200], y[:200]))
    except zkfed.ZkfedError as error:
        print(f"refused  {error.code}: {error}")


if __name__ == "__main__":
    main()
