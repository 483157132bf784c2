"""Cheats of whoever carries a federation's messages, or answers in it, each with its check, as in cheats.py."""

from __future__ import annotations

from tests.evidence.cheats import Check

__all__ = ["HOST_CHEATS"]

_MAILBOX, _NODE, _MEMBER = "orchestrator/mailbox.py", "orchestrator/node.py", "orchestrator/member.py"
_ONCE, _NOTES, _ROUNDS = "orchestrator/once.py", "orchestrator/notes.py", "orchestrator/rounds.py"
_KIT, _PARTS, _STATE = "orchestrator/kit.py", "orchestrator/key_parts.py", "layers/round_state.py"
_POST, _NODES, _MEMBERS = "orchestrator/test_mailbox.py", "orchestrator/test_node.py", "orchestrator/test_members.py"
_SITES, _KITS = "orchestrator/test_once.py", "orchestrator/test_kit.py"
_ENROL = f"{_NODES}::test_who_may_enrol"
_FOLLOWS = f"{_NODES}::test_a_member_follows_the_policy_and_the_keys_of_its_host_only"
_NO_ANSWER = f"{_SITES}::test_what_is_no_answer_is_refused_at_once"
_TWICE = f"{_SITES}::test_a_round_of_sites_that_answer_once"
_ASKED = f"{_SITES}::test_nothing_is_taken_that_was_not_asked"
_RESTORED = "layers/test_round_state.py::test_a_state_whose_parts_do_not_belong_together_is_refused"
_HOLDING, _SERVE, _APART = "orchestrator/holding.py", "cli/serve.py", "orchestrator/test_holding.py"
_MEDDLED = f"{_APART}::test_a_stranger_who_answers_first_or_replays_asks_changes_nothing"
_OTHERS = f"{_APART}::test_a_node_of_another_policy_keys_or_agreement_is_refused"
_WRITERS = "cli/test_serve_and_join.py::test_only_who_may_enrol_writes_and_then_only_who_has"
_KITS_FILE = f"{_KITS}::test_a_file_of_another_kind"

_TO_DEVICES = (
    Check(
        "puts another policy in the place of the pinned one", "its digest", _MAILBOX,
        "if policy.digest == policy_digest:", "if True:", f"{_POST}::test_another_policy_in_its_place_is_not_taken",
    ),
    Check(
        "asks in the adders' name", "the pinned key", _MAILBOX,
        '"ask", limit=2 * MESSAGE_BYTES_MAX)\n                if signed.signer != self.policy.adder_key:',
        '"ask", limit=2 * MESSAGE_BYTES_MAX)\n                if False:',
        f"{_POST}::test_an_ask_of_another_node_is_not_answered",
    ),
    Check(
        "replays an ask under the next number, to hide that one", "its number is signed", _MAILBOX,
        "if r.u64() != number:", "if r.u64() < 0:",
        f"{_POST}::test_an_ask_that_is_replayed_under_the_next_number_does_not_hide_it", "PolicyError: 0 devices",
    ),
    Check(
        "puts a receipt of its own beside the adders'", "the pinned key", _MAILBOX,
        'if Signed.decode(message, "receipt", limit=4096).signer == self.policy.adder_key:', "if True:",
        f"{_POST}::test_strangers_who_write_into_every_channel_change_nothing",
    ),
    Check(
        "asks under another policy: a larger epsilon, other keys of the parties", "the policy of the device's host",
        _MEMBER, "if expected.encode() != policy.encode():", "if False:", _FOLLOWS,
    ),
    Check(
        "the same, to enrol", "the policy of the device's host", _MEMBER,
        "self._provers.check(policy)\n        return self._key.sign(ENROL", "return self._key.sign(ENROL",
        f"{_MEMBERS}::test_a_device_enrols_and_registers_under_its_own_policy_only",
    ),
    Check(
        "the same, to register rows", "the policy of the device's host", _MEMBER,
        "self._provers.check(policy)\n        if self._rows is None:", "if self._rows is None:",
        f"{_MEMBERS}::test_a_device_enrols_and_registers_under_its_own_policy_only",
    ),
    Check(
        "describes a federation so large that reading it costs everything", "its policy is compared first", _MEMBER,
        "self._provers.check(Transcript.policy_of_head(head))", "pass",
        f"{_NODES}::test_a_head_of_another_size_is_refused_before_its_circuits_are_built", "the agreement was built",
    ),
    Check(
        "brings verifying keys of another setup", "those of the host's proving keys", _MEMBER, "if found != pinned:",
        "if False:", _FOLLOWS, "the prover's key is not the one of the agreement",
    ),
    Check(
        "asks a device that it has not enrolled", "the head's list", _MEMBER,
        "if self.public_key not in agreement.enrolled:", "if False:", _FOLLOWS, "this device's key is not enrolled",
    ),
    Check(
        "changes the head, or asks in a second federation", "a device takes part in one", _MEMBER,
        "if head != self._head:", "if False:", f"{_NODES}::test_a_member_in_one_federation_does_not_enter_another",
        "not signed by the pinned adders and key holder",
    ),
    Check(
        "asks twice for a round, with two announcements", "one update a round, also after a restart", "layers/heart.py",
        "if before is not None and announced.body.round <= before.first.body.round:", "if False:",
        f"{_NODES}::test_two_announcements_of_one_round_get_one_update",
    ),
    Check(
        "loses the answer, for a second update of the round", "the first one is sent again", _MEMBER,
        "commit = device.committed(announced.digest)", 'commit = b""',
        f"{_MEMBERS}::test_a_lost_answer_is_sent_again_and_not_trained_again", "has committed to an update",
    ),
    Check(
        "hands out an encryption key of its own", "its digest is announced", _MEMBER,
        "if key.digest != announced.body.encryption_key:", "if False:",
        f"{_MEMBERS}::test_another_encryption_key_than_the_announced_one_is_refused",
    ),
    Check(
        "the same, when updates are sealed", "its digest is announced", "layers/heart.py",
        "if key.digest != body.encryption_key:", "if False:",
        f"{_MEMBERS}::test_another_encryption_key_than_the_announced_one_is_refused",
    ),
    Check(
        "sends a base model of another size", "the policy's model", _MEMBER, "if weights.size != model.parameters:",
        "if False:", f"{_MEMBERS}::test_a_base_model_of_another_size_is_a_typed_refusal", "cannot reshape array",
    ),
)  # fmt: skip
_TO_THE_NODE = (
    Check(
        "enrols with a signature for another federation", "it is over the policy's digest", _NODE,
        "if signed.body != self.policy.digest:", "if False:", _ENROL,
    ),
    Check(
        "enrols though it may not", "the list of keys", _NODE, "if not self.may_enrol(signed.signer):", "if False:",
        _ENROL,
    ),
    Check(
        "the same, so often that nobody else gets a place", "an enrolment waits for those that may", _MAILBOX,
        "else not self.node.may_enrol(signed.signer):", "else False:",
        f"{_POST}::test_strangers_do_not_end_an_enrolment_that_is_not_for_them", "PolicyError: 0 devices",
    ),
    Check(
        "enrols more keys than the policy has room for", "max_clients", _NODE,
        "if len(enrolled) >= self.policy.max_clients and signed.signer not in enrolled:", "if False:",
        f"{_MEMBERS}::test_a_federation_takes_no_more_than_its_policy_allows",
    ),
    Check(
        "answers though it was not asked, before those who were", "who is asked", _MAILBOX,
        "if client not in ask.clients if ask.clients else", "if False if ask.clients else",
        f"{_POST}::test_strangers_who_answer_take_nobodys_place",
    ),
    Check(
        "replays a device's earlier answers, so that its own is too late", "an answer names its ask", _MAILBOX,
        "return client, reply if reply.ask == posted else None", "return client, reply",
        f"{_POST}::test_answers_to_earlier_asks_are_no_answers_however_many_are_replayed",
    ),
    Check(
        "says with a device's old signature that it sits out", "it is over the announcement", _NOTES,
        "if announced is None or signed.body != announced.digest:", "if False:",
        f"{_NODES}::test_a_device_that_says_it_sits_out_for_another_round_is_not_believed",
    ),
    Check(
        "sits out of a federation that is not its own", "the enrolled keys", _ROUNDS,
        "if client and client in self.clients:", "if client:", f"{_MEMBERS}::test_a_stranger_who_sits_out_is_not_noted",
    ),
    Check(
        "writes control characters into the reason of its refusal", "it is escaped and cut", _MAILBOX,
        "excerpt(r.reason)) for c, r", "r.reason) for c, r",
        f"{_POST}::test_a_devices_own_account_is_escaped_and_short",
    ),
    Check(
        "trains with code whose errors hold rows", "of a foreign error only the type is told", _NOTES,
        "the device raised {type(error).__name__};", "the device raised {error};",
        f"{_POST}::test_a_device_that_is_silent_costs_its_window_and_no_more",
    ),
    Check(
        "has a host sign messages of a round", "asks and keys only", _NODE, 'if kind not in ("ask", "keys"):',
        "if False:", f"{_MEMBERS}::test_a_host_signs_nothing_of_a_round",
    ),
    Check(
        "fills channels that nobody reads", "a node takes answers to its asks", _MAILBOX,
        "return asked <= self._number", "return True",
        f"{_POST}::test_answers_are_taken_to_what_was_asked_only",
    ),
    Check(
        "lists proving keys of its own, before the node does", "the pinned key", _PARTS,
        "if signed.signer != policy.adder_key:", "if False:", f"{_POST}::test_proving_keys_travel_in_parts",
    ),
    Check(
        "changes a part of a key, or adds some", "the SHA-256 of every part is signed", _PARTS,
        "if address in wanted:", "if True:", f"{_POST}::test_proving_keys_travel_in_parts", "TransportError",
    ),
)  # fmt: skip
_ONCE_A_ROUND = (
    Check(
        "answers twice, or again after a refusal", "one answer a site", _ONCE,
        "            if site in self._answers or site in self._faults:\n"
        '                raise Replay(f"{excerpt(site)} has answered this request already")\n            try:',
        "            try:", f"{_SITES}::test_who_was_refused_has_answered",
    ),
    Check(
        "says that it failed after it has answered", "one answer a site", _ONCE,
        "            if site in self._answers or site in self._faults:\n"
        '                raise Replay(f"{excerpt(site)} has answered this request already")\n            self._faults',
        "            self._faults", _TWICE,
    ),
    Check(
        "enrols another site's key", "a key has one site", _ONCE,
        "if any(key == signer and of != site for of, key in self._keys.items()):", "if False:",
        f"{_SITES}::test_two_sites_are_not_one_device",
    ),
    Check(
        "excuses itself between two rounds, for the next one", "an excuse is of the round that is open", _ONCE,
        "if self._ask is None:  # noted now", "if False:  # noted now",
        f"{_SITES}::test_an_excuse_that_comes_late_is_none_for_the_next_round",
    ),
    Check(
        "answers under another site's key", "the key that it enrolled", _ONCE, "elif self._keys.get(site) != signer:",
        "elif False:", f"{_SITES}::test_a_site_does_not_answer_with_anothers_key",
    ),
    Check(
        "sends weights without a proof", "an answer is bytes", _ONCE, "if not isinstance(answer, bytes):", "if False:",
        _NO_ANSWER, "TypeError",
    ),
    Check(
        "sends more bytes than an answer may have", "an honest answer, twice", _ONCE, "if len(answer) > limit:",
        "if False:", _NO_ANSWER,
    ),
    Check(
        "answers before it is asked", "a request is open", _ONCE,
        "            if self._ask is None:\n                raise", "            if False:\n                raise",
        _ASKED, "AttributeError",
    ),
    Check(
        "writes control characters into its own account", "it is escaped and cut", _ONCE,
        'excerpt(code), f"the site says {excerpt(reason)}")', 'code, f"the site says {reason}")',
        f"{_SITES}::test_an_own_account_is_cut_and_escaped",
    ),
)  # fmt: skip
_FILES = (
    Check(
        "puts pickled objects into a kit's array", "NumPy loads none", _KIT,
        "if kind.hasobject or math.prod(shape) * kind.itemsize != len(data) - file.tell():\n"
        '            raise ValueError("objects, or another size")\n        file.seek(0)\n'
        "        loaded: npt.NDArray[Any] = np.load(file, allow_pickle=False)",
        "file.seek(0)\n        loaded: npt.NDArray[Any] = np.load(file, allow_pickle=True)",
        f"{_KITS}::test_a_kit_runs_no_code",
    ),
    Check(
        "puts several arrays into one file", "one is expected", _KIT, 'if bytes(data[:4]) == b"PK\\x03\\x04":',
        "if False:", f"{_KITS_FILE} -k several", "Error",
    ),
    Check(
        "writes a header that says more than its file holds", "they are compared before room is made", _KIT,
        "math.prod(shape) * kind.itemsize != len(data) - file.tell()", "False",
        f"{_KITS_FILE} -k says-more", "Error",
    ),
    Check(
        "puts a file without an end into a kit", "its size is read first", _KIT, "map_file(path, ARRAY_BYTES_MAX)",
        "map_file(path, 1 << 50)", f"{_KITS}::test_an_array_without_an_end_is_refused_before_it_is_read", "Error",
    ),
    Check(
        "puts another device's round, or another round's commit, into a device's state",
        "the commit's signer and round", _STATE, "if commit.signer != client or body.announcement != first.digest:",
        "if False:", "layers/test_round_state.py::test_the_state_of_another_device_is_refused",
    ),
    Check(
        "puts another update under a commit in a device's state", "the commitment", _STATE,
        "if agreement.backend.encode(point) != body.commitment:", "if False:", _RESTORED,
    ),
    Check(
        "puts a blinder outside the field into it", "its range", _STATE, "if not 0 <= blinder < agreement.order:",
        "if False:", _RESTORED, "is outside its range",
    ),
    Check(
        "changes there which attempt was sealed", "one number a message, in order", _STATE,
        "if len(sealed) != 2 * len(numbers) or numbers != sorted(set(numbers)):", "if False:", _RESTORED,
    ),
)  # fmt: skip
_HELD = (
    Check(
        "asks the key holder in the adders' name", "the pinned key", _HOLDING,
        "if signed.signer != self.policy.adder_key:", "if False:",
        f"{_APART}::test_an_ask_of_another_party_is_not_answered",
    ),
    Check(
        "replays an ask under the next number, to hide that one", "its number is signed", _HOLDING,
        "if r.u64() != self._number:", "if r.u64() < 0:", _MEDDLED, "did not answer",
    ),
    Check(
        "answers in the key holder's name", "its key", _HOLDING,
        "is_it = signed.signer == self._link.public_key and about == posted", "is_it = about == posted", _MEDDLED,
        "the key holder refuses",
    ),
    Check(
        "replays the key holder's answer to another ask", "an answer names its ask", _HOLDING,
        "is_it = signed.signer == self._link.public_key and about == posted",
        "is_it = signed.signer == self._link.public_key", f"{_APART}::test_strangers_on_the_link_are_passed_over",
        "with 1 parts, expected 0",
    ),
    Check(
        "starts a key holder under a policy that pins another", "its own key", _HOLDING,
        "if key.public != policy.holder_key:", "if False:", _OTHERS,
    ),
    Check(
        "hands the key holder another policy than its operator read", "that one", _HOLDING,
        "if Transcript.policy_of_head(head).encode() != self.policy.encode():", "if False:",
        f"{_APART}::test_an_agreement_under_another_epsilon_is_refused",
    ),
    Check(
        "hands it verifying keys of another setup", "those of its own proving keys", _HOLDING,
        "if [agreement.improvement.digest, agreement.noise.digest] != self._pinned:", "if False:", _OTHERS,
        "noise-bound-12: the proof does not hold",
    ),
    Check(
        "hands it a second agreement, with devices of its own", "one is followed", _HOLDING, "if head != self._head:",
        "if False:", f"{_APART}::test_one_agreement_is_followed_and_no_other",
    ),
    Check(
        "leaves a release out of the record, or puts another in", "all that the key holder signed, and no more",
        "layers/holder.py",
        "if stands != sorted((name, *said) for name, said in self._outcomes.items()):", "if False:",
        f"{_APART}::test_a_record_without_the_key_holders_word_is_not_settled",
    ),
    Check(
        "as the key holder, releases a sum that is none of what was sent", "the sum opens the commitments",
        "orchestrator/rounds.py",
        "check_outcome(self.agreement, replace(state.opening, outcome=outcome), commits)", "pass",
        "orchestrator/test_holding_lies.py::test_an_outcome_that_does_not_hold_moves_no_model",
    ),
    Check(
        "as the key holder, answers with half of what was asked", "the number of parts", _HOLDING,
        "if len(parts) != count:", "if False:", f"{_APART}::test_an_answer_with_too_few_or_too_many_parts_is_refused",
        "not enough values",
    ),
    Check(
        "as the key holder, writes control characters into its refusal", "they are escaped", _HOLDING,
        "{excerpt(reason)} ({excerpt(code)})", "{reason} ({code})",
        f"{_APART}::test_what_a_key_holder_says_of_its_refusal_is_escaped_and_cut",
    ),
    Check(
        "writes asks or keys through an HTTP node", "answers only", _SERVE,
        'if not channel.startswith(f"{name}/answers/"):', "if False:", _WRITERS,
    ),
    Check(
        "answers there for the key holder", "its key", _SERVE, "return key == node.policy.holder_key", "return True",
        _WRITERS,
    ),
    Check(
        "writes there though it may not enrol", "the list of keys", _SERVE, "return node.may_enrol(key)", "return True",
        _WRITERS,
    ),
)  # fmt: skip

_BROKEN_OFF = (
    Check(
        "as the key holder, decrypts a sum and says nothing", "charged before it is sent", _ROUNDS,
        "self.spending.charge_attempt(body.attempt)", "pass",
        "orchestrator/test_rounds_in_ledger.py::test_a_sum_that_may_have_been_decrypted_is_paid",
    ),
    Check(
        "begins a round that the budget does not cover", "all attempts are reserved before", _ROUNDS,
        'self.spending.reserve(policy.attempts, bits=1 if policy.statement.kind == "S1" else 0)', "pass",
        "orchestrator/test_rounds_in_ledger.py::test_a_round_beyond_the_budget_does_not_begin",
        "not among the 0 that were reserved",
    ),
    Check(
        "breaks a round off, for no record of it", "it is settled whatever happens", _ROUNDS, "if not is_done:",
        "if False:", f"{_APART}::test_a_round_that_breaks_off_between_the_parties_is_on_record",
    ),
    Check(
        "says nothing, so that nobody learns who", "silent devices are named", _ROUNDS,
        '[Fault(c, "no-answer", "no answer came before the node went on") for c in self.clients]', "[]",
        f"{_NODES}::test_what_does_not_come_or_is_no_answer_is_refused_by_name", "KeyError",
    ),
    Check(
        "has rows drawn and proven in one exchange", "S1 takes more than one", _ROUNDS,
        'if options.exchanges == 1 and policy.statement.kind == "S1":', "if False:",
        f"{_NODES}::test_a_node_refuses_what_does_not_fit_together",
    ),
    Check(
        "asks once a round, of a policy that repeats attempts", "attempts=1", _ONCE,
        'if policy.attempts != 1 or policy.statement.kind == "S1":', "if False:",
        f"{_SITES}::test_a_policy_that_needs_more_than_one_exchange_is_refused",
    ),
    Check(
        "as the key holder, offers an attempt again with another key", "an announcement repeats its offer",
        "layers/intake.py", "return (*same, a.holder_beacon) == (*asked, o.beacon)", "return True",
        "layers/test_polis_attempts.py::test_offers_that_are_refused",
    ),
)  # fmt: skip

HOST_CHEATS = {
    "Carrying messages to devices": _TO_DEVICES,
    "Answering a node": _TO_THE_NODE,
    "Answering a host that asks once a round": _ONCE_A_ROUND,
    "Between a node and a key holder elsewhere": _HELD,
    "Breaking off a round": _BROKEN_OFF,
    "Changing a kit, or what a device keeps": _FILES,
}  # fmt: skip
