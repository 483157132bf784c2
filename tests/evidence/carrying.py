"""Bad input to what carries messages, each with the check that refuses it, as in cheats.py."""

from __future__ import annotations

from tests.evidence.cheats import Check

__all__ = ["CARRIED"]

_UPLOADS = "orchestrator/http_uploads.py"
_CLIENT, _SERVER, _WIRE = "adapters/http.py", "adapters/http_node.py", "orchestrator/http_wire.py"
_HANGING = "adapters/test_http_hanging.py"
_IDLE = "orchestrator/http_idle.py"
_NATS, _MQTT, _DROP, _PIECES = (
    "adapters/nats.py",
    "adapters/mqtt.py",
    "adapters/filesystem.py",
    "orchestrator/pieces.py",
)
_AT_NODE, _AT_CLIENT = "adapters/test_http.py", "adapters/test_http_client.py"
_SIGNED = f"{_AT_NODE}::test_who_did_not_sign_or_may_not_write_is_refused"
_NONSENSE = f"{_AT_CLIENT}::test_a_node_that_answers_nonsense"
_PAGE = f"{_AT_CLIENT}::test_a_page_with_a_changed_message_or_cut_is_refused"
_CUT, _FILES, _BROKERS = "orchestrator/test_pieces.py", "adapters/test_filesystem.py", "adapters/test_brokers.py"
_BIG = f"{_CUT}::test_a_message_above_the_limit_is_passed_over_whole_or_in_pieces"
_TAMPERED = f"{_FILES}::test_a_tampered_file_is_refused_and_publishing_again_repairs_it"
_OTHER = "Regex pattern did not match"

_TO_A_NODE = (
    Check(
        "sends another content type", "one is taken", _SERVER,
        'if headers.get("content-type", "").split(";")[0].strip().lower() != BINARY:', "if False:",
        f"{_AT_NODE}::test_another_content_type_is_refused",
    ),
    Check(
        "sends a compressed bomb", "nothing is unpacked, and said so", _SERVER,
        'if headers.get("content-encoding", "identity").lower() != "identity":', "if False:",
        f"{_AT_NODE}::test_a_compressed_body_is_not_unpacked",
    ),
    Check(
        "announces 10 GB", "the length is read first", _UPLOADS, "or int(declared[:20]) > limit:",
        "or False:", f"{_AT_NODE}::test_ten_gigabytes_are_refused_before_they_come",
    ),
    Check(
        "sends a body without an end", "bodies are counted as they come", _UPLOADS,
        "if len(body) + len(piece) > limit:", "if False:",
        f"{_AT_NODE}::test_a_body_that_passes_the_limit_is_refused_there",
    ),
    Check(
        "sends many large bodies at once", "all of them together have a limit", _UPLOADS,
        "if self.in_flight + len(piece) > IN_FLIGHT_BYTES_MAX:", "if False:",
        f"{_AT_NODE}::test_all_uploads_together_have_a_limit_and_leave_nothing_behind",
    ),
    Check(
        "breaks off, until no room is left", "what was counted is given back", _UPLOADS,
        "except BaseException:\n            self.in_flight -= taken", "except BaseException:",
        f"{_AT_NODE}::test_all_uploads_together_have_a_limit_and_leave_nothing_behind",
    ),
    Check(
        "begins a body and does not go on", "it is dropped", _UPLOADS, "async with asyncio.timeout(BODY_S_MAX):",
        "async with asyncio.timeout(None):", f"{_AT_NODE}::test_a_body_that_stops_coming_is_dropped",
    ),
    Check(
        "waits for ever", "the node's own limit", _SERVER, 'min(_number(request, "wait"), WAIT_S_MAX)',
        '_number(request, "wait")', f"{_AT_NODE}::test_a_wait_is_no_longer_than_the_node_allows",
    ),
    Check(
        "publishes without a signature, or with a key that may not", "the rule of the host", _SERVER,
        "if not self._may_write(channel, key):", "if False:", _SIGNED,
    ),
    Check(
        "puts another body under a signed request", "its SHA-256 is signed", _WIRE,
        "w.bytes(body_digest).u64(at_s)", "w.bytes(bytes(32)).u64(at_s)", _SIGNED,
    ),
    Check(
        "sends a signed request to another channel", "the path is signed", _WIRE, ".text(method).text(path)",
        ".text(method)", _SIGNED,
    ),
    Check(
        "sends a signed request again an hour later", "its time is near", _WIRE,
        "or abs(int(at) - now_s) > CLOCK_S_MAX:", "or False:", _SIGNED,
    ),
    Check(
        "writes the time in another form: a zero before it, other digits", "one form", _WIRE,
        're.fullmatch("0|[1-9][0-9]{0,14}", at) is None', 're.fullmatch("[0-9]{1,15}", at) is None', _SIGNED,
    ),
    Check(
        "writes key or signature in upper case", "one form", _WIRE, 're.fullmatch("[0-9a-f]{64}", key) is None',
        're.fullmatch("[0-9a-fA-F]{64}", key) is None', _SIGNED,
    ),
    Check(
        "sends no signature beside its key", "128 digits", _WIRE,
        ' or re.fullmatch("[0-9a-f]{128}", signature) is None:', ":", _SIGNED,
    ),
    Check(
        "signs with another key than it names", "the signature", _WIRE,
        "verify_signature(public, bytes.fromhex(signature), _KIND, "
        "_to_sign(method, path, bytes.fromhex(named), int(at)))", "pass",
        _SIGNED,
    ),
    Check(
        "asks for a message whose number is none", "digits, and few", _SERVER,
        "if not (text.isascii() and text.isdigit() and len(text) < 10):", "if False:",
        f"{_AT_NODE}::test_what_is_no_number_is_said_to_be_none -k start",
    ),
    Check(
        "takes the room of others' bodies with its own, though it may not write", "it is refused before its body",
        _SERVER, 'key = request_signer(headers, "POST"',
        'await self._body(request)\n        key = request_signer(headers, "POST"',
        f"{_AT_NODE}::test_who_may_not_write_is_refused_before_a_byte_of_its_body_is_taken",
    ),
    Check(
        "opens connections and asks nothing on them", "they are cut off", _IDLE, "if cycle is None or (",
        "if cycle is not None and (", f"{_HANGING}::test_connections_that_nobody_uses_are_cut_off",
    ),
    Check(
        "asks for much and does not read it", "it is cut off", _IDLE, "cycle is self._answered", "cycle is None",
        f"{_HANGING}::test_an_answer_that_nobody_reads_does_not_stay",
    ),
    Check(
        "hangs on a connection while the node ends", "nobody is waited for that long", _SERVER,
        "timeout_graceful_shutdown=END_S_MAX", "timeout_graceful_shutdown=None",
        f"{_HANGING}::test_nobody_who_waits_or_hangs_keeps_a_node_from_ending",
    ),
    Check(
        "waits a thousand times for a folder's messages, so that all of them are read each time",
        "their names are counted", _SERVER, "return self._counted.count(channel) > start", "pass",
        f"{_HANGING}::test_who_waits_at_a_folder_reads_no_message",
    ),
    Check(
        "names another message than it sends", "the idempotency key is its SHA-256", _SERVER,
        'if named not in ("", hashlib.sha256(body).hexdigest()):', "if False:",
        f"{_AT_NODE}::test_an_idempotency_key_of_another_message_is_refused",
    ),
    Check(
        "finds a fault in the node, to read its text", "nothing of it leaves", _SERVER,
        "except Exception:  # noqa: BLE001 - nothing of a fault's text leaves the node\n"
        '            return _refusal(500, TransportError("the node failed; the message was not taken"))',
        "except Exception as error:\n            return _refusal(500, TransportError(str(error)))",
        f"{_AT_NODE}::test_a_store_that_fails_says_nothing_of_why",
    ),
)  # fmt: skip
_TO_A_CLIENT = (
    Check(
        "answers 200 with an HTML page", "status and type", _CLIENT, "if status == 200 and kind == expected:",
        "if status == 200:", _NONSENSE, "got '<html>Welcome</html>'",
    ),
    Check(
        "answers with an error's status and a good body", "status and type", _CLIENT,
        "if status == 200 and kind == expected:", "if kind == expected:", _NONSENSE, "got ''",
    ),
    Check(
        "sends the client elsewhere", "redirects are not followed", _CLIENT, "follow_redirects=False,",
        "follow_redirects=True,", _NONSENSE, _OTHER,
    ),
    Check(
        "has a key twice in its JSON", "names are unique", "encoding.py",
        "if len({name for name, _ in pairs}) != len(pairs):",
        "if False:", _NONSENSE, "another message's address",
    ),
    Check(
        "answers with JSON that is no object", "its type", _WIRE, "if not isinstance(value, dict):", "if False:",
        _NONSENSE, "AttributeError",
    ),
    Check(
        "nests its JSON deeper than the stack of C", "32 deep", "encoding.py", "if depth > JSON_DEPTH_MAX:",
        "if False:", "test_encoding.py::test_json_is_nested_so_deep_and_no_deeper",
    ),
    Check(
        "answers with another message's address", "it is the message's own", _CLIENT,
        'if parse_json(body).get("address") != address:', "if False:", _NONSENSE,
    ),
    Check(
        "compresses its answer", "nobody asked for it", _CLIENT,
        'if answer.headers.get("content-encoding", "identity") != "identity":', "if False:", _NONSENSE,
    ),
    Check(
        "does not stop answering", "an answer has a limit", _CLIENT, "if len(body) > limit:",
        "if len(body) > 20 * limit:",
        f"{_AT_CLIENT}::test_a_node_that_never_stops_answering_costs_no_more_than_the_limit",
    ),
    Check(
        "answers a byte at a time", "each read ends with the call", "orchestrator/http_deadline.py",
        "if left_s <= 0:", "left_s = max(left_s, 0.5)\n        if False:",
        f"{_AT_CLIENT}::test_a_node_that_drips_is_left_in_time", _OTHER,
    ),
    Check(
        "asks for an absurd Retry-After", "the client's own longest pause", _CLIENT, "min(wait_s, _PAUSE_S_MAX))",
        "wait_s)", f"{_AT_CLIENT}::test_an_absurd_retry_after_is_not_waited_for", "answered 429",
    ),
    Check(
        "is always busy", "the client's own patience", _CLIENT, "if time.monotonic() + wait_s < give_up_s:",
        "if time.monotonic() + wait_s < give_up_s + 6:",
        f"{_AT_CLIENT}::test_a_node_that_is_always_busy_is_left_in_time",
    ),
    Check(
        "drips the head of its answer, a byte now and then", "each read ends with the call",
        "orchestrator/http_deadline.py",
        "left_s = self.ends_s - time.monotonic()", 'left_s = float("inf")',
        "adapters/test_http_client.py::test_a_node_that_drips_its_headers_is_left_in_time", _OTHER,
    ),
    Check(
        "hands out a changed message", "its address", _WIRE, "if hashlib.sha256(message).digest() != address:",
        "if False:", _PAGE,
    ),
    Check(
        "hands out a message without its address", "they come in pairs", _WIRE, "if len(parts) % 2:", "if False:",
        _PAGE, "zip() argument",
    ),
    Check(
        "hands out a message above the limit", "the client's own limit", _WIRE, "limit=max(limit, 32))",
        "limit=1 << 30)", _PAGE,
    ),
    Check(
        "fills a channel while it is read", "the client's own limit", _CLIENT, "if room < 0:", "if False:",
        f"{_AT_CLIENT}::test_a_channel_that_never_ends_is_left_at_its_limit",
    ),
    Check(
        "hands out small pages for ever", "two that fit into one are the last", _CLIENT,
        "if not page or before + size <= PAGE_BYTES:", "if not page:",
        f"{_AT_CLIENT}::test_a_node_that_hands_out_small_pages_for_ever_is_left", "zkfed/v1/http-page: an item of",
    ),
    Check(
        "writes control characters into its error", "they are escaped", _WIRE, "return code, excerpt(text, 200)",
        "return code, text", _NONSENSE, _OTHER,
    ),
    Check(
        "has a certificate for another host, or of nobody known", "TLS is checked", _CLIENT,
        "transport=timed_transport(tls, self._deadline)", "verify=False",
        f"{_AT_CLIENT}::test_a_certificate_has_to_fit",
    ),
)  # fmt: skip
_ON_A_BROKER = (
    Check(
        "writes true pieces of another message under an address", "SHA-256 of the whole", _PIECES,
        "return message if hashlib.sha256(message).digest() == listed[1:33] else None", "return message",
        f"{_CUT}::test_whole_and_true_pieces_of_another_message_are_not_taken_for_it",
    ),
    Check(
        "announces a message above the limit", "no list of it is kept", _PIECES,
        "1 <= count <= size <= self._message_bytes_max", "1 <= count <= size",
        f"{_CUT}::test_a_list_with_a_size_above_the_limit_is_no_list",
    ),
    Check(
        "sends a message above the limit", "it is passed over", _PIECES, "if len(message) > self._message_bytes_max:",
        "if False:", _BIG,
    ),
    Check(
        "replays pieces, until a channel is full for its readers", "a piece counts once", _PIECES,
        "            if digest in parts.pieces:\n                return False\n", "",
        f"{_CUT}::test_replayed_items_take_no_room",
    ),
    Check(
        "fills a channel", "the reader's own limit", _PIECES, "if self.size + len(item) > self._channel_bytes_max:",
        "if False:", f"{_CUT}::test_a_full_channel_is_said_and_stays_as_it_was",
    ),
    Check(
        "takes the names of others' messages on NATS, to have them dropped as known", "what is stored is compared",
        _NATS, "if stored is None or stored.subject != subject or stored.data != item:", "if False:",
        "adapters/test_nats.py::test_a_stranger_who_takes_the_names_of_our_items_keeps_nothing_out",
    ),
    Check(
        "offers no TLS on NATS, to read a password", "nothing is sent", _NATS,
        'if self._needs_tls and initial_connection and info.get("tls_required") is not True:', "if False:",
        f"{_BROKERS}::test_no_password_goes_out_where_tls_was_asked_for_and_the_server_offers_none -k nats", "hunter2",
    ),
    Check(
        "answers with an earlier message of NATS again and again", "numbers only rise", _NATS,
        "if type(item.seq) is not int or item.seq <= log.last or item.subject != subject:", "if False:",
        "adapters/test_nats.py::test_a_server_that_repeats_itself_is_left_at_once", _OTHER,
    ),
    Check(
        "has a stream of NATS take other subjects", "those of the prefix", _NATS,
        'if f"{self.prefix}.>" not in (info.config.subjects or []):', "if False:",
        "adapters/test_nats.py::test_a_stream_that_is_for_something_else_is_refused", _OTHER,
    ),
    Check(
        "deletes the stream and makes another", "it is read from its start", _NATS, "if info.created != self._created:",
        "if False:", "adapters/test_nats.py::test_a_stream_that_was_made_anew_is_read_from_its_start",
    ),
    Check(
        "says that NATS carries a few bytes at once", "a least size", _NATS,
        "if type(size) is not int or size < _PAYLOAD_BYTES_MIN:", "if False:",
        "adapters/test_nats.py::test_a_server_with_a_small_limit_gets_smaller_pieces",
    ),
    Check(
        "replays a message on MQTT with an earlier clock", "what was given keeps its place", _MQTT,
        "if completed or address in self.clocks:", "if True:",
        "adapters/test_mqtt.py::test_a_stranger_who_moves_clocks_moves_only_what_nobody_was_given",
    ),
    Check(
        "has a user that is no level of topics", "its characters", _MQTT,
        'if re.fullmatch(r"[A-Za-z0-9_.@=-]{1,100}", self._writer) is None:', "if False:",
        "adapters/test_mqtt.py::test_a_user_that_cannot_be_a_level_of_topics_is_refused",
    ),
    Check(
        "lets a user of MQTT read nothing", "the answer to a subscription", _MQTT,
        "if _number(next(iter(codes), _REFUSED)) >= _REFUSED:", "if False:",
        "adapters/test_mqtt.py::test_a_broker_that_refuses_to_let_us_read_is_said", _OTHER,
    ),
    Check(
        "drops what a user writes on MQTT, and acknowledges it", "a message comes back first", _MQTT,
        "                await self._echo(session)\n        except", "        except",
        "adapters/test_mqtt.py::test_rules_of_the_broker_keep_a_user_to_its_own_topics",
    ),
)  # fmt: skip
_IN_A_FOLDER = (
    Check(
        "cuts, changes or renames a file", "its name is its SHA-256", _DROP,
        "if hashlib.sha256(message).hexdigest() != entry.address:", "if False:", _TAMPERED,
    ),
    Check(
        "puts a link in place of a message", "links are not followed", _DROP,
        "flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK", "flags = os.O_RDONLY | os.O_NONBLOCK",
        f"{_TAMPERED} -k link_to_equal",
    ),
    Check(
        "puts a link in place of a folder", "links are not followed", "files.py",
        "flags | os.O_NOFOLLOW, dir_fd=folder", "flags, dir_fd=folder",
        f"{_FILES}::test_no_folder_on_the_way_may_be_a_link",
    ),
    Check(
        "puts a pipe in place of a message", "a regular file", _DROP, "if not stat.S_ISREG(status.st_mode):",
        "if False:", f"{_FILES}::test_a_pipe_that_somebody_holds_open_is_no_message", "TypeError",
    ),
    Check(
        "writes a huge file", "its size is read first", _DROP, "if status.st_size > maximum:", "if False:",
        f"{_FILES}::test_a_huge_file_is_refused_before_it_is_read", "Error",
    ),
    Check(
        "floods a channel's folder", "the limit of the channel", _DROP, "                            if room < 0:",
        "                            if False:",
        f"{_FILES}::test_a_flood_of_files_is_refused_at_the_limit_of_the_channel",
    ),
)  # fmt: skip

CARRIED = {
    "Bad input to a node over HTTP": _TO_A_NODE,
    "A node over HTTP that answers badly": _TO_A_CLIENT,
    "Strangers on a broker, and brokers that lie": _ON_A_BROKER,
    "Strangers in a drop folder": _IN_A_FOLDER,
}  # fmt: skip
