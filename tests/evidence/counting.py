"""Cheats with a statistic (S4) and with a batch, each with the check that stops it, as in cheats.py."""

from __future__ import annotations

from tests.evidence.cheats import Check

__all__ = ["COUNT_CHEATS"]

_COUNTS, _INTAKE = "layers/test_counts.py", "layers/test_intake.py"
_FALSE = f"{_COUNTS}::test_a_false_vector_is_refused_by_name_and_the_rest_is_counted"
_ONE_HOT = "statements/one_hot.py"

COUNT_CHEATS = (
    Check(
        "2 for one answer and -1 for another: which of K", "each coordinate is a bit", _ONE_HOT,
        'boolean(builder, "counts/boolean", bits)\n    total = bits.sum()',
        "builder.justify(bits, (0, 1))\n    total = bits.sum()", f"{_FALSE} -k one-hot-cancels",
    ),
    Check(
        "the same: which few of K", "each coordinate is a bit", _ONE_HOT,
        'boolean(builder, "counts/boolean", bits)\n    total, ranges',
        "builder.justify(bits, (0, 1))\n    total, ranges",
        f"{_FALSE} -k few-hot-cancels",
    ),
    Check(
        "two answers for one: which of K", "the sum is 0 or 1", _ONE_HOT,
        'builder.enforce("total/at-most-one", total, total - 1, constant(0))', "pass", f"{_FALSE} -k one-hot-two",
    ),
    Check(
        "three answers for two: which few of K", "the range of total-max less the sum", _ONE_HOT,
        'at_most(ranges, "total/at-most", total, total_max)\n    return', "return", f"{_FALSE} -k few-hot-three",
    ),
    Check(
        "no answer where one is asked for: which of K", "the sum is not 0", _ONE_HOT,
        'builder.enforce("total/at-least", total_min, total - 1, constant(0))', "pass", f"{_FALSE} -k one-hot-none",
    ),
    Check(
        "the same: which few of K", "the range of the sum less total-min", _ONE_HOT,
        "total, ranges = bits.sum(), BitRanges(builder)\n    at_most(ranges, \"total/at-least\", total_min, total)",
        "total, ranges = bits.sum(), BitRanges(builder)", f"{_FALSE} -k few-hot-none",
    ),
    Check(
        "more of one answer than each-max: how often", "the range of each-max less the count", _ONE_HOT,
        'at_most(ranges, "counts/at-most-each", counts, each_max)', "pass", f"{_FALSE} -k counts-each",
    ),
    Check(
        "a count below 0, so that the others may be larger: how often", "the range of each count", _ONE_HOT,
        'ranges.in_range("counts/range", counts, COUNT_BITS)', "pass", f"{_FALSE} -k counts-negative",
    ),
    Check(
        "more answers than total-max: how often", "the range of total-max less the sum", _ONE_HOT,
        'at_most(ranges, "total/at-most", total, total_max)\n    if', "if", f"{_FALSE} -k counts-many",
    ),
    Check(
        "answers another question", "ctx: the question", _ONE_HOT, "self.encode(), place.question)", "self.encode())",
        "statements/test_one_hot.py::test_a_report_holds_at_its_place_and_for_its_terms_alone",
    ),
    Check(
        "takes a noise that is scaled to less than a person adds", "its scale is that of the proven bounds",
        "layers/agreement.py", "return policy.statement.bounds.squared_l2", "return 1",
        f"{_COUNTS}::test_the_noise_is_scaled_to_the_bounds",
    ),
    Check(
        "hides a false proof among true ones", "who is named by the batch is refused",
        "layers/polis.py", "if number in refused:", "if False:",
        f"{_INTAKE}::test_false_proofs_are_named_wherever_they_stand_and_the_rest_is_taken",
    ),
    Check(
        "sends a report twice in one batch", "its place is looked at again before it is taken",
        "layers/polis.py", "attempt, _ = self._check_place(signed, sealed)",
        "attempt = self._attempts[sealed.announcement]",
        f"{_INTAKE}::test_a_message_that_comes_twice_in_a_batch_counts_once",
    ),
)  # fmt: skip
