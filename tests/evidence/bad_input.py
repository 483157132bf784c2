"""Bad input, each with the check that refuses it before anything is proven, as in cheats.py."""

from __future__ import annotations

from tests.evidence.cheats import Check

__all__ = ["BAD_INPUT"]

_REGISTERED, _AGREEMENT = "statements/test_registration.py", "layers/test_agreement.py"
_DATA = f"{_REGISTERED}::test_data_that_are_no_rows_are_refused"

BAD_INPUT = (
    Check(
        "weights of another shape", "the base model's",
        "layers/heart.py", "if trained.shape != before.shape:", "if False:",
        "layers/test_heart.py::test_weights_of_another_shape",
    ),
    Check(
        "weights that are NaN or infinite", "every weight is finite",
        "fixedpoint.py", "if not np.isfinite(values).all():", "if False:",
        "layers/test_heart.py::test_weights_that_are_not_finite", "invalid value encountered",
    ),
    Check(
        "a base model of another shape", "the policy's model",
        "statements/terms.py", "if w0.shape != model.shape:", "if False:",
        "statements/test_evaluation_circuit.py::test_terms_refuse_what_the_circuit_is_not_built_for",
    ),
    Check(
        "a base model of floats, or of larger weights than the bit budget counts with", "integers below 2^weight_bits",
        "statements/terms.py",
        "if any(type(v) is not int or abs(v) >= 1 << model.weight_bits for v in w0.ravel().tolist()):", "if False:",
        "statements/test_evaluation_circuit.py::test_terms_refuse_what_the_circuit_is_not_built_for",
    ),
    Check(
        "a model of another size or scale than the keys'", "the layout of the key's circuit",
        "layers/agreement.py", "if key.layout.encode() != circuit.layout.encode():", "if False:",
        f"{_AGREEMENT}::test_keys_for_another_circuit",
    ),
    Check(
        "a benchmark of another shape or range", "the statement's rows and the bit budget's ranges",
        "layers/agreement.py",
        'self.benchmark.check(policy.model, policy.improvement.rows if policy.statement.kind == "S2" else 0)', "pass",
        f"{_AGREEMENT}::test_a_benchmark_of_another_shape_or_range",
    ),
    Check(
        "a benchmark's target that is no label", "one-hot, or -1 and 1",
        "statements/terms.py", "if classes > 1 and (rest.any() or not is_label.all()", "if False and (False",
        "statements/test_evaluation_circuit.py::test_targets_that_are_no_labels_are_refused",
    ),
    Check(
        "rows with NaN or infinity", "every feature is finite",
        "fixedpoint.py", "or not np.isfinite(x).all() or", "or",
        _DATA, "invalid value encountered",
    ),
    Check(
        "no rows at all", "there is a row",
        "fixedpoint.py", "if x.ndim != 2 or len(x) == 0:", "if x.ndim != 2:",
        f"{_DATA} -k empty", "the policy asks for exactly 8",
    ),
    Check(
        "a label of no class", "below the number of classes",
        "fixedpoint.py", " or int(y.max(initial=0)) >= classes:", ":",
        _DATA,
    ),
    Check(
        "fewer or more rows to register than M", "exactly M",
        "statements/registration.py", "if found != expected or rows.targets.shape[1] != self.outputs:", "if False:",
        f"{_REGISTERED}::test_fewer_or_more_rows_than_the_policy_asks_for_are_refused",
    ),
)  # fmt: skip
