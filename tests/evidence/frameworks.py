"""Cheats inside a framework or on a worker's machine, each with the check that stops it, as in cheats.py."""

from __future__ import annotations

from tests.evidence.cheats import Check

__all__ = ["FRAMEWORK_CHEATS"]

_FAN_OUT, _WORKS, _HEART = "orchestrator/fan_out.py", "orchestrator/works.py", "layers/heart.py"
_MOD, _STRATEGY, _NVFLARE = "adapters/flower_client.py", "adapters/flower_server.py", "adapters/nvflare.py"
_BETWEEN, _HOSTILE = "orchestrator/flower_wire.py", "adapters/test_flower_hostile.py"
_RECORD = f"{_HOSTILE}::test_a_record_that_is_almost_right"
_WORKERS, _ELSEWHERE = "adapters/test_executors.py", "adapters/test_proving_elsewhere.py"
_SPOILED = f"{_WORKERS}::test_answers_lost_doubled_swapped_or_spoiled_are_noticed"
_NAMED = f"{_WORKERS}::test_a_worker_names_proofs_of_its_batch_only"
_OTHER = "Regex pattern did not match"
_REPLY, _FLOWER = "adapters/test_flower.py::test_a_bad_reply_is_refused", "adapters/test_flower_cheats.py"
_ANOTHERS = f"{_FLOWER}::test_a_node_that_answers_with_anothers_words_is_refused_itself"
_SITES = "adapters/test_nvflare.py"
_WITHHELD = f"{_SITES}::test_a_result_that_is_not_the_policys_model_is_withheld"

_ON_A_WORKER = (
    Check(
        "answers about another batch", "an answer names its payload", _FAN_OUT, "if about != name:", "if False:",
        f"{_SPOILED} -k _swapped",
    ),
    Check(
        "answers twice", "as many answers as payloads", _FAN_OUT, "if len(results) >= len(names):", "if False:",
        f"{_SPOILED} -k _twice", "IndexError",
    ),
    Check(
        "does not answer about a batch", "as many answers as payloads", _FAN_OUT, "if len(results) != count:",
        "if False:", f"{_SPOILED} -k _short", "zip() argument",
    ),
    Check(
        "refuses a client of another worker's batch", "positions in its own batch", _FAN_OUT,
        "if any(n >= len(group) for n in named):", "if False:", f"{_NAMED} -k next", "IndexError",
    ),
    Check(
        "names more proofs than it was sent, or half a number", "8 bytes for each", _FAN_OUT,
        "if len(answer) % 8 or len(answer) > 8 * len(group):", "if False:", f"{_NAMED} -k cut",
    ),
    Check(
        "adds fewer ciphertexts than it was sent", "it says how many", _FAN_OUT,
        'if int.from_bytes(answer[:8], "big") != len(group):', "if False:",
        f"{_WORKERS}::test_a_worker_that_leaves_a_ciphertext_out_is_noticed",
    ),
    Check(
        "has one ciphertext added twice, by two workers", "equal ones, before they are sent", _FAN_OUT,
        "len({c.digest for c in ciphertexts}) != len(ciphertexts) or not ciphertexts", "not ciphertexts",
        f"{_WORKERS}::test_one_ciphertext_twice_is_refused_in_a_tree_as_in_a_sum",
    ),
    Check(
        "writes control characters into its failure", "they are escaped", _FAN_OUT,
        '(f"a worker failed: {excerpt(reason)}")', '(f"a worker failed: {reason}")',
        f"{_WORKERS}::test_what_a_worker_says_of_its_failure_is_cut_and_escaped",
    ),
    Check(
        "sends a proof with which a whole batch fails, and no name", "then all are refused", _WORKS,
        "for p in error.culprits or range(len(read)))", "for p in error.culprits)",
        f"{_WORKERS}::test_proofs_that_fail_without_names_are_all_refused",
    ),
    Check(
        "names another work than zkfed's", "works go by name", _WORKS, "if work not in _WORKS:", "if False:",
        f"{_WORKERS}::test_works_go_by_name_only",
    ),
    Check(
        "makes a device seal with another's proof", "a proof is verified before it is used", _HEART,
        "        verify(agreement.improvement, instance, Proof.decode(agreement.backend, agreement.improvement.layout,"
        " made))\n",
        "", f"{_ELSEWHERE}::test_a_device_seals_with_no_proof_that_does_not_hold",
    ),
    Check(
        "makes a record whose proof is of something else", "it is verified before it is signed", _HEART,
        "        check_registration(prover.key.verifying, terms, record)\n", "",
        f"{_ELSEWHERE}::test_a_record_whose_proof_does_not_hold_is_not_signed",
    ),
    Check(
        "makes a record of another client's", "the device's own key", _HEART, "if record.signer != key.public:",
        "if False:", f"{_ELSEWHERE}::test_a_record_made_elsewhere_is_checked",
    ),
    Check(
        "has another key than the device", "its digest", _WORKS, "if key.verifying.digest != digest:", "if False:",
        f"{_ELSEWHERE}::test_keys_of_another_circuit_or_setup_are_refused", _OTHER,
    ),
    Check(
        "sends a task without rows", "a code, and the worker lives", _WORKS, "if rows is None:", "if False:",
        f"{_ELSEWHERE}::test_no_rows_are_no_task", "worker-failed",
    ),
    Check(
        "gets work for a key that it does not have", "the key's digest, before anything is sent",
        "orchestrator/proving.py", "if agreement.improvement.digest != self._statement:", "if False:",
        f"{_ELSEWHERE}::test_keys_of_another_circuit_or_setup_are_refused", _OTHER,
    ),
    Check(
        "gets a task in another device's name", "the commit's signer", "layers/round_state.py",
        "if commit.signer != client or body.announcement != first.digest:", "if False:",
        f"{_ELSEWHERE}::test_a_task_in_anothers_name_is_none",
    ),
    Check(
        "dies each time", "a number of tries", "adapters/processes.py", "if lost > self._retries:", "if False:",
        f"{_WORKERS}::test_a_process_that_dies_each_time_ends_in_a_typed_error_and_refuses_nobody",
    ),
)  # fmt: skip
_IN_FLOWER = (
    Check(
        "sends plain weights beside its answer", "one record", _BETWEEN,
        "if len(content) != 1 or RECORD not in content.config_records:", "if RECORD not in content.config_records:",
        f"{_REPLY} -k extra-record",
    ),
    Check(
        "is of another version", "the record's version", _BETWEEN, "if type(version) is not int or version != VERSION:",
        "if False:", f"{_REPLY} -k other-version",
    ),
    Check(
        "puts something more into its record", "its fields", _BETWEEN, 'if other := set(record) - {"version", *names}:',
        "if other := set():", f"{_RECORD} -k more",
    ),
    Check(
        "sends more bytes than a message may have", "the limit", _BETWEEN, "if len(answer) > MESSAGE_BYTES_MAX:",
        "if False:", f"{_FLOWER}::test_an_answer_above_the_limit_is_refused",
    ),
    Check(
        "replies with bytes that Flower cannot read", "it is caught, and this node refused", _BETWEEN,
        "except self._unreadable as error:", "except ZeroDivisionError as error:",
        f"{_HOSTILE}::test_a_reply_that_is_not_there -k unreadable", "bytes of a stranger",
    ),
    Check(
        "has a reply named after another node", "who was asked", _BETWEEN,
        "if found is not None and found.metadata.src_node_id != sent.metadata.dst_node_id:", "if False:",
        f"{_HOSTILE}::test_a_reply_that_is_not_there -k of-super-link",
    ),
    Check(
        "evaluates to NaN", "finite metrics", _BETWEEN,
        "return all(math.isfinite(v) for v in (value if isinstance(value, list) else [value]))", "return True",
        f"{_HOSTILE}::test_an_evaluation_that_does_not_fit -k nan",
    ),
    Check(
        "evaluates to other records than the rest, which ends the run", "those of most nodes", _BETWEEN,
        "kept = [reply for form, reply in good if form == most[0][0]]", "kept = [reply for form, reply in good]",
        f"{_HOSTILE}::test_an_evaluation_that_does_not_fit -k two-records", "KeyError: 1",
    ),
    Check(
        "enrols another node's key", "a key has one node", _STRATEGY,
        'if kind == "enrol" and signer not in self._keys.values():', 'if kind == "enrol":', f"{_ANOTHERS} -k enrols",
    ),
    Check(
        "answers with another node's answer", "the key that it enrolled", _STRATEGY,
        'elif kind == "enrol" or self._keys.get(node) != signer:', "elif False:", f"{_ANOTHERS} -k trains",
    ),
    Check(
        "starts the run from another model than the node's", "they are compared", _STRATEGY, "            > unit\n",
        "            > 1e300\n", "adapters/test_flower.py::test_other_initial_arrays_are_refused", _OTHER,
    ),
    Check(
        "starts the run from NaN, which differs from nothing", "finite weights of the model", "orchestrator/layouts.py",
        "if weights.shape != shape or not np.isfinite(weights).all():", "if False:",
        "adapters/test_flower.py::test_other_initial_arrays_are_refused", "0 devices, the policy needs 2",
    ),
    Check(
        "trains to two models, of which one is proved", "one ArrayRecord", _MOD, "if len(content.array_records) != 1:",
        "if False:", f"{_FLOWER}::test_a_result_of_two_models_is_refused",
    ),
    Check(
        "as the server, has a device train from arrays of its own", "from the signed base", _MOD,
        "content[name] = ArrayRecord({key: Array(part) for key, part in zip(arrays, written, strict=True)})",
        "content[name] = arrays", f"{_FLOWER}::test_a_node_trains_from_the_signed_base_whatever_arrays_come_along",
    ),
    Check(
        "as the server, asks an app of the old API for its weights", "evaluation and queries pass, nothing else", _MOD,
        'if kind in ("evaluate", "query"):', 'if kind != "train":',
        f"{_HOSTILE}::test_other_kinds_of_messages_do_not_pass", "the app was asked",
    ),
)  # fmt: skip
_IN_NVFLARE = (
    Check(
        "trains to NaN, or to another size", "finite weights of the policy's model", "orchestrator/layouts.py",
        "if weights.size != expected or not np.isfinite(weights).all():", "if False:",
        f"{_WITHHELD} -k nan",
    ),
    Check(
        "puts rows beside the model", "one array, by its name", _NVFLARE, "if list(data) != [self.parameter]:",
        "if False:", f"{_WITHHELD} -k several",
    ),
    Check(
        "sends metrics as if they were weights", "the kind of the DXO", _NVFLARE,
        "if kind not in (DataKind.WEIGHTS, DataKind.WEIGHT_DIFF) or not isinstance(data, dict):", "if False:",
        f"{_WITHHELD} -k metrics",
    ),
    Check(
        "counts halves", "whole numbers", "orchestrator/layouts.py", "or (values != np.rint(values)).any():",
        "or False:", f"{_SITES}::test_a_statistic_is_counted_so_too", "KeyError",
    ),
    Check(
        "as the server, runs another workflow than FedAvg", "a round was begun", _NVFLARE,
        "        if self._node is None:\n            raise PolicyError",
        "        if False:\n            raise PolicyError",
        f"{_SITES}::test_a_workflow_that_begins_no_round_is_refused", "AttributeError",
    ),
    Check(
        "as the server, asks for a model without a request", "without one nothing leaves", _NVFLARE,
        "if not isinstance(request, bytes):", "if False:", f"{_SITES}::test_without_a_request_nothing_leaves",
    ),
    Check(
        "as the server, restarts a site for a second update of a round", "its state is kept before it answers",
        _NVFLARE, "replace_file(state, [member.state()], mode=0o600)", "pass",
        f"{_SITES}::test_a_site_that_restarts_gives_no_second_update_of_a_round",
    ),
)  # fmt: skip

FRAMEWORK_CHEATS = {
    "Doing the adders' or a device's work elsewhere": _ON_A_WORKER,
    "A node or a server of Flower": _IN_FLOWER,
    "A site or a server of NVFlare": _IN_NVFLARE,
}  # fmt: skip
