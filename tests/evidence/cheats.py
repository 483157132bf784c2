"""The cheats of protocol.md section 6, each with the check that stops it and a test that needs it.

The one list: docs/cheats.md shows it, and test_cheats.py takes each check away in turn and runs its
test.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["CHEATS", "Check"]


@dataclass(frozen=True)
class Check:
    """One check.

    Attributes:
        cheat: What somebody tries.
        answer: What the check sees.
        file: Where it is, in zkfed/.
        code: Its text, which stands once in the file.
        without: What stands there when the check is gone.
        test: The test that fails then, in tests/.
        said: What is read in its output then; "" for an assertion or an error that is not raised,
            otherwise another error, since a second check stands behind the first.
    """

    cheat: str
    answer: str
    file: str
    code: str
    without: str
    test: str
    said: str = ""


_LATE, _DRAW = "attacks/test_own_rows_late_commit.py", "attacks/test_own_rows_other_draw.py"
_ROWS, _REGISTER = "attacks/test_registration_cheats.py", "attacks/test_registry_other_keys.py"
_FALSE, _CTX = "attacks/test_statement_false_claims.py", "attacks/test_statement_context.py"
_EVALUATION, _POLIS = "statements/test_evaluation_circuit.py", "layers/test_polis.py"
_WEIGHTED = 'builder.enforce(f"{name}/sum", sums[0] - sums[1], constant(1), constant(0))'
_LINK = "_add_link(sums, key, challenger, proof, w3)", "_add_link(sums, key, challenger, proof, 0)"
_BIT = f"{_CTX}::test_one_changed_bit_is_refused"

CHEATS = {
    "Choosing rows after training": (
        Check(
            "commits after the adders have opened their nonce", "the commit list is closed",
            "layers/polis.py", "if self._reveal and signed.digest not in self._commits:", "if False:",
            f"{_LATE}::test_the_adders_take_no_commit_once_the_beacon_is_open",
        ),
        Check(
            "the same, and the adders help", "the key holder opens no sum with a commit outside its list",
            "layers/holder.py", 'if policy.statement.kind == "S1" and not set(body.members)', "if not set()",
            f"{_LATE}::test_adders_that_take_a_late_commit_cannot_use_it",
        ),
        Check(
            "the same, and both help", "the record's list is the one under the nonces",
            "layers/bridge.py", "if beacon.commits != tuple(self.commits):", "if False:",
            f"{_LATE}::test_adders_that_take_a_late_commit_cannot_use_it",
        ),
        Check(
            "proves about rows of its own choice, of another client, C_D or beacon, or in another order",
            "the adders draw the rows themselves and verify about those",
            "layers/polis.py",
            "verify_batch(key, [c.instance for c in candidates], [c.proof for c in candidates])", "pass",
            f"{_DRAW}::test_a_true_proof_about_other_rows_is_refused",
        ),
        Check(
            "the same, and the adders help", "anybody draws the rows again from the record",
            "layers/bridge.py", "verify_batch(agreement.improvement, instances, proofs)", "pass",
            f"{_DRAW}::test_adders_that_let_such_a_proof_pass_are_found_out",
        ),
        Check(
            "opens another nonce than the announced one", "its hash stands in the announcement",
            "layers/beacon.py", "if nonce_hash(role, body.nonce) != announced:", "if False:",
            "layers/test_own_rows.py::test_the_adders_refuse_an_opening_that_does_not_fit",
        ),
        Check(
            "tries several commit lists", "the key holder opens over one",
            "layers/holder.py", "if self._list is not None and self._list != body.commits:", "if False:",
            "layers/test_own_rows.py::test_the_key_holder_opens_over_one_list_of_true_commits",
        ),
        Check(
            "lets an attempt fail for another draw", "only a round's first attempt has a beacon",
            "layers/agreement.py", "if {len(body.holder_beacon), len(body.adder_beacon)} != {size}:", "if False:",
            f"{_DRAW}::test_a_repeated_attempt_cannot_announce_another_beacon",
        ),
        Check(
            "registers so few rows that most are drawn", "M >= 4 n",
            "policy.py", "if record.rows < 4 * self.rows:", "if False:",
            "statements/test_registration.py::test_the_terms_are_those_of_a_statement",
        ),
        Check(
            "registers once the base model is known", "the epoch closes before the first announcement",
            "layers/registry.py", "if self.is_closed:", "if False:",
            f"{_REGISTER}::test_nothing_is_registered_after_the_epoch",
        ),
    ),
    "Registering what is no row": (
        Check(
            "a class with too many rows or too few", "class bounds in the circuit",
            "statements/row_validity.py",
            'at_most(BitRanges(builder), "class-rows-min", least, counts)\n'
            '        at_most(BitRanges(builder), "class-rows-max", counts, most)', "pass",
            f"{_ROWS}::test_a_histogram_outside_the_bound",
        ),
        Check(
            "a feature above one byte", "the lookup of all numbers",
            "gadgets/weighted.py", _WEIGHTED, "pass",
            "statements/test_row_validity.py::test_a_value_out_of_range_is_not_hidden_by_sums_fitted_to_the_sketch",
        ),
        Check(
            "a target of no class", "the lookup of all labels",
            "gadgets/weighted.py", _WEIGHTED, "pass",
            f"{_ROWS}::test_a_target_that_is_not_one_hot",
        ),
        Check(
            "commits to other rows than it shows the circuit", "the link of the sketch",
            "groth16/verify.py", *_LINK,
            f"{_ROWS}::test_valid_rows_shown_to_the_circuit_others_committed",
        ),
        Check(
            "fits a row to theta", "ctx holds all commitments",
            "statements/registration.py", "self.policy, epoch, self.signer, self.commitments)",
            "self.policy, epoch, self.signer)",
            f"{_ROWS}::test_control_without_the_commitments_in_ctx_rows_are_fitted_to_theta",
        ),
        Check(
            "one commitment many times", "commitments are distinct",
            "commitments/rows.py", "if len({data[i : i + size] for i in range(0, len(data), size)}) != count:",
            "if False:",
            "commitments/test_rows.py::test_two_equal_commitments_are_refused",
        ),
        Check(
            "another client's record", "ctx holds the client's key",
            "statements/registration.py", 'bytes(DIGEST_BYTES), record.signer, b"", record.digest)',
            'bytes(DIGEST_BYTES), bytes(32), b"", digest("x", record.commitments))',
            f"{_ROWS}::test_the_rows_of_another_client",
        ),
        Check(
            "another client's row, with its opening", "a commitment is registered once",
            "layers/registry.py", "if any(self._rows.get(row, signed.signer) != signed.signer for row in rows):",
            "if False:",
            f"{_REGISTER}::test_two_clients_cannot_register_one_commitment",
        ),
        Check(
            "a second set of rows", "a client registers once",
            "layers/registry.py", "if before[1].digest != record.digest:", "if False:",
            f"{_REGISTER}::test_a_client_registers_once",
        ),
    ),
    "Proving about one update, encrypting another": (
        Check(
            "sends the ciphertext of another vector", "the opening equation, before anything is released",
            "layers/holder.py", "agreement.generators.open(total, sums.tolist(), blinder)", "pass",
            "layers/test_holder_failures.py::test_a_sum_that_does_not_open_is_one_word", "got 'zkfed/v1/release'",
        ),
        Check(
            "releases another sum", "the same equation, by anybody",
            "layers/bridge.py",
            "agreement.generators.open(agreement.sum_commitments(encoded), sums.tolist(), blinder)", "pass",
            "layers/test_bridge.py::test_one_coordinate_more_by_one", "is not the one expected",
        ),
        Check(
            "moves 2^32 from one lane to the next", "an opening has its coordinates in their range",
            "commitments/pedersen.py", "any(not -COORDINATE_MAX <= v < COORDINATE_MAX for v in flat.tolist())", "False",
            "commitments/test_pedersen.py::test_a_carry_between_lanes_is_the_same_point_and_no_opening",
            "a coordinate is outside [-2^31, 2^31)",
        ),
        Check(
            "signs one ciphertext, sends another", "the signed digest",
            "layers/polis.py", 'if digest("zkfed/v1/ciphertext", plain) != sealed.ciphertext:', "if False:",
            f"{_POLIS}::test_sealed_updates_that_are_refused",
        ),
        Check(
            "proves about a D that C_D does not hold", "the link",
            "groth16/verify.py", *_LINK,
            "attacks/test_link_other_opening.py::test_one_coordinate_that_is_off_by_one_is_refused",
        ),
    ),
    "Replay, and somebody else's proof": (
        Check(
            "of another round", "ctx: announcement", "statements/context.py", "            self.announcement,\n", "",
            f"{_BIT} -k announcement",
        ),
        Check(
            "of another task", "ctx: policy", "statements/context.py", "            self.policy,\n", "",
            f"{_BIT} -k policy",
        ),
        Check(
            "of another client", "ctx: signer", "statements/context.py", "            self.signer,\n", "",
            f"{_BIT} -k signer",
        ),
        Check(
            "for another C_D", "ctx: C_D", "statements/context.py", "            self.commitment,\n", "",
            f"{_BIT} -k commitment",
        ),
        Check(
            "as another statement", "ctx: kind", "statements/context.py", "            self.kind.encode(),\n", "",
            f"{_BIT} -k kind",
        ),
        Check(
            "about other rows or another base model", "ctx: their digest", "statements/context.py",
            "            self.data,\n", "",
            f"{_BIT} -k data",
        ),
        Check(
            "under another draw", "ctx: beacon", "statements/context.py", "            self.beacon,\n", "",
            f"{_BIT} -k beacon",
        ),
        Check(
            "sends a message in another's name", "the signature",
            "updates/signing.py", "verify_signature(signer, signature, kind, body)", "pass",
            "updates/test_messages.py::test_another_signer_or_anothers_signature_is_refused",
        ),
        Check(
            "seals another's commit", "who sealed must have committed",
            "layers/polis.py", "if entry is None or entry[0].signer != signed.signer:", "if entry is None:",
            f"{_POLIS}::test_sealed_updates_that_are_refused", "refused (proof-invalid)",
        ),
        Check(
            "counts twice in a round", "one commit a client",
            "layers/polis.py", "if self._committed.get(signed.signer, signed.digest) != signed.digest:", "if False:",
            f"{_POLIS}::test_commits_that_are_refused",
        ),
        Check(
            "the same, and its second commit was taken", "the nullifier of round, kind and client",
            "layers/polis.py", "if self._nullifiers.get(nullifier, sealed.commit) != sealed.commit:", "if False:",
            "attacks/test_nullifier.py::test_a_second_commit_of_one_client_is_worth_nothing",
        ),
        Check(
            "burns another's nullifier by a bad proof", "it is recorded after the proof holds",
            "layers/polis.py",
            "        ciphertext = self._open_outer(sealed, attempt, update.outer)\n",
            "        self._nullifiers[self._nullifier(signed.signer)] = sealed.commit\n"
            "        ciphertext = self._open_outer(sealed, attempt, update.outer)\n",
            f"{_POLIS}::test_neither_a_bad_signature_nor_a_bad_proof_burns_the_nullifier",
            "assert fingerprint(cohort.adder) == before",
        ),
        Check(
            "copies a C_D", "equal C_D of two keys: the adders",
            "layers/polis.py",
            "if self._committers.get(commitment, signed.signer) != signed.signer:", "if False:",
            f"{_POLIS}::test_commits_that_are_refused",
        ),
        Check(
            "the same, and the adders help", "equal C_D of two keys: the key holder",
            "layers/holder.py",
            "if len({Commit.decode(c.body).commitment for c in opened}) != len(opened):", "if False:",
            "layers/test_holder.py::test_a_client_twice_or_a_copied_commitment_or_a_stranger",
        ),
        Check(
            "the same, and both help", "equal C_D of two keys: the record",
            "layers/bridge.py",
            "if len({Commit.decode(s.body).commitment for s in self.commits.values()}) != len(self.commits):",
            "if False:",
            "layers/test_bridge.py::test_two_commits_of_one_client_and_two_clients_with_one_commitment",
            "a seal does not belong to its commit",
        ),
        Check(
            "copies a ciphertext", "equal ciphertexts of two keys: the adders",
            "layers/polis.py",
            "if sealed.ciphertext in attempt.sent:", "if False:",
            f"{_POLIS}::test_sealed_updates_that_are_refused", "refused (ciphertext-refused)",
        ),
        Check(
            "the same, and the adders help", "equal ciphertexts of two keys: the record",
            "layers/bridge.py", "if len(ciphertexts) != len(body.members):", "if False:",
            "layers/test_bridge.py::test_one_ciphertext_of_two_clients", "its previous is not the one expected",
        ),
    ),
    "Wrap-around": (
        Check(
            "a coordinate whose square is 2 modulo r", "the range of each coordinate",
            "statements/update_bound.py",
            'table.in_range("update/range", update + half, value_bits)', "pass",
            f"{_FALSE}::test_a_coordinate_whose_square_wraps_to_two_is_refused",
        ),
        Check(
            "the same about one's own rows", "the range of each coordinate",
            "statements/update_bound.py",
            'table.in_range("update/range", update + half, value_bits)', "pass",
            "attacks/test_evaluation_false_claims.py::test_a_coordinate_whose_square_wraps_is_refused",
        ),
        Check(
            "[99, 0, 7], whose norm 9850 is 6 modulo 23", "no circuit is built whose sums can wrap",
            "r1cs/builder.py", "if worst * 2 >= self.curve.order:", "if False:",
            "r1cs/test_builder.py::test_the_norm_that_wraps_in_a_small_field_is_refused",
        ),
        Check(
            "a norm that is one too large", "the range of the slack (S0, N)",
            "statements/update_bound.py",
            'at_most(part.table, "update/norm-slack", norm, part.norm_max)', "pass",
            f"{_FALSE}::test_a_norm_that_is_one_too_large_is_refused",
        ),
        Check(
            "the same in S1 and S2 of any model", "the range of the slack",
            "statements/evaluation.py",
            'at_most(self.ranges, "update/norm-slack", norm, part.norm_max)', "pass",
            f"{_EVALUATION}::test_an_update_outside_its_range_or_norm_fails",
        ),
        Check(
            "other pre-activations than the model's", "one sketch a layer",
            "gadgets/dense.py",
            'builder.enforce(f"{name}/equal", total, challenges.rho, right)',
            'builder.enforce(f"{name}/equal", total, challenges.rho, right + builder.witness(f"{name}/any", (), '
            "lambda v: np.asarray(v(total) * v(challenges.rho) - v(right), dtype=object)))",
            f"{_EVALUATION}::test_a_wrong_product_fails_at_its_layer",
        ),
    ),
    "No improvement": (
        Check(
            "D = 0, on one's own rows", "the comparison in the circuit",
            "statements/evaluation.py",
            'at_most(ranges, "improvement", high * SHARE_SCALE, kept)', "pass",
            "attacks/test_evaluation_false_claims.py::test_no_change_is_no_improvement",
        ),
        Check(
            "D = 0, on a benchmark", "the comparison in the circuit",
            "statements/evaluation.py",
            'at_most(ranges, "improvement", high, self._compared("loss-max", high, 0))',
            'self._compared("loss-max", high, 0)',
            "attacks/test_evaluation_false_claims.py::test_no_change_is_no_improvement",
        ),
        Check(
            "claims a share of 0", "X > 0 is a bound of the public input",
            "statements/evaluation.py", 'bounds=(1, SHARE_SCALE)', "bounds=(0, SHARE_SCALE)",
            "attacks/test_evaluation_false_claims.py::test_a_share_of_nothing_is_refused",
        ),
        Check(
            "a policy that asks for nothing", "0 < X <= S",
            "policy.py", "if not 0 < share <= 1 or", "if not 0 <= share <= 1 or",
            "test_policy.py::test_a_share_outside_its_range_or_too_fine_is_refused",
        ),
        Check(
            "copies a D that it cannot open", "the link",
            "groth16/verify.py", *_LINK,
            "attacks/test_evaluation_false_claims.py::test_a_commitment_that_the_prover_cannot_open_is_refused",
        ),
        Check(
            "a base loss so small that any share of it is nothing", "L_min <= L0_low (S1, S3)",
            "statements/evaluation.py", 'at_most(ranges, "base-loss/least", least, low)', "pass",
            f"{_EVALUATION}::test_the_base_loss_is_at_least_the_smallest_accepted_one",
        ),
        Check(
            "the same on a benchmark", "L_min <= L0_low, by the verifier",
            "statements/improvement.py", "if not 0 < base_loss_min <= loss:", "if False:",
            "attacks/test_evaluation_false_claims.py::test_a_small_base_loss_of_a_benchmark_is_refused",
        ),
        Check(
            "mislabelled rows, of which any model gets the loss down", "L0_high <= L_cap, where the policy has one",
            "statements/evaluation.py", 'at_most(ranges, "base-loss/most", old, most)', "pass",
            f"{_EVALUATION}::test_the_base_loss_is_at_most_the_cap",
        ),
        Check(
            "other labels than the rows have", "the sketch of the labels",
            "gadgets/labels.py", 'builder.enforce("labels/equal", total, rho, known)',
            'builder.enforce("labels/equal", total, rho, known + builder.witness("any", (), '
            "lambda v: np.asarray(v(total) * v(rho) - v(known), dtype=object)))",
            "gadgets/test_labels.py::test_no_other_labels_are_committed",
        ),
        Check(
            "counts a tie as right", "the own class wins by at least 1",
            "gadgets/losses.py", '(self.own if self.loss.classes == 2 else against) - 1)',
            '(self.own if self.loss.classes == 2 else against))',
            "gadgets/test_losses.py::test_a_tie_is_neither_right_nor_wrong",
        ),
        Check(
            "a certificate for the mean of what does not compose", "its conditions",
            "layers/certificate.py", "if not is_met)", "if False)",
            "layers/test_certificate.py::test_one_condition_less_is_no_certificate",
        ),
    ),
    "Asking about private rows": (
        Check(
            "asks round after round", "a device counts its answers",
            "layers/heart.py",
            "if terms is None and announced.body.round > agreement.policy.acceptance_bits_max:", "if False:",
            "layers/test_own_rows.py::test_a_device_counts_its_answers_and_stops",
        ),
        Check(
            "the same, and the devices forget", "the record has no more rounds than answers",
            "layers/bridge.py", "if self.number > policy.acceptance_bits_max:", "if False:",
            "layers/test_own_rows.py::test_a_record_of_more_rounds_than_answers_allowed_is_refused",
        ),
        Check(
            "asks twice in a round", "a device answers about one draw",
            "layers/heart.py",
            "if isinstance(current.terms, OwnTerms) and current.terms.drawn.beacon != beacon.value:", "if False:",
            "layers/test_own_rows.py::test_a_device_answers_about_one_draw_a_round",
        ),
    ),
}  # fmt: skip
