"""What may be stored: the one rule, and the walk that applies it."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ralex_core.collection.attribute_names import is_text
from ralex_core.collection.credentials import names_credential, redact_text
from ralex_core.collection.fingerprints import Fingerprints
from ralex_core.collection.redaction import MAX_ATTRIBUTES_BYTES, MAX_ENTRIES, Redaction
from ralex_core.model.operation import Operation

PROSE = "please fix the login, the MARKER is secret"
WITH_TEXT = Redaction(keep_text=True)


def redacted(attributes: dict[str, Any], *, keep_text: bool = False) -> dict[str, Any] | None:
    text = Redaction(keep_text=keep_text).attributes(json.dumps(attributes))
    return None if text is None else json.loads(text)


def operation(**fields: Any) -> Operation:
    return Operation(**{"operation_id": "id", "kind": "task", "name": "n", "started_at": 1, **fields})


# --- text ---------------------------------------------------------------------------------------------------------

CONTENT = [
    *("gen_ai.input.messages", "gen_ai.prompt.0.content", "gen_ai.completion", "input.value", "output.value"),
    *("gen_ai.system_instructions", "mlflow.spanInputs", "mlflow.spanOutputs", "gen_ai.event.content", "lk.chat_ctx"),
    *("lk.user_transcript", "tool_arguments", "tool_response", "events", "request.body", "assistant_response"),
    *("exception.message", "status.message", "error.message", "traceloop.entity.input", "traceloop.entity.output"),
    *("ai.response.text", "ai.toolCall.args", "ai.toolCall.result", "langfuse.observation.input"),
    *("langfuse.trace.output", "input", "output", "content", "prompt", "exception.stacktrace", "http.request.body"),
    *("db.query.text", "db.statement", "gen_ai.tool.description", "chatHistory", "userQuestion", "stdout"),
]


@pytest.mark.parametrize("key", CONTENT)
@pytest.mark.parametrize("value", [PROSE, "oneword", ["one", "two"], {"a": {"b": "word"}}, '[{"role": "user"}]'])
def test_text_is_dropped_whatever_its_shape_unless_it_is_asked_for(key: str, value: Any) -> None:
    kept = redacted({key: value, "n": 1})
    assert kept is not None
    assert {name for name in kept if not name.startswith("fingerprint.")} == {"n"}
    assert redacted({key: value, "n": 1}, keep_text=True) == {key: value, "n": 1}


@pytest.mark.parametrize("key", ["my.own", "decision", "reason", "cwd", "gen_ai.agent.name", "anything_else"])
@pytest.mark.parametrize(
    "nested", [{"content": "word"}, {"deep": [{"text": PROSE}]}, [{"message": "word"}], {"k": {"prompt": ["word"]}}]
)
def test_text_inside_other_values_is_dropped(key: str, nested: Any) -> None:
    assert "word" not in json.dumps(redacted({key: nested})) and "MARKER" not in json.dumps(redacted({key: nested}))


@given(st.recursive(st.just(PROSE), lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=9), inner)))
def test_prose_never_passes_in_any_nesting(value: Any) -> None:
    assert "MARKER" not in (Redaction().attributes(orjson.dumps({"my.own": value}).decode()) or "")


@pytest.mark.parametrize(
    "value", ["東京へ行きたい", "two words", "a\nb", "x" * 129, "what?", '{"a":1}', "a,b", "~", "=x"]
)
def test_a_value_under_an_unknown_name_is_stored_only_when_it_is_an_identifier(value: str) -> None:
    assert redacted({"my.own": value}) is None


@pytest.mark.parametrize("value", ["premium", "claude-sonnet-4-5", "feature/login", "a@example.org", "01J9:x.y_z"])
def test_identifiers_numbers_and_flags_are_stored_under_any_name(value: str) -> None:
    attributes = {"my.own": value, "n": 1.5, "flag": True, "nothing": None, "nested": {"a": [1, {"b": value}]}}
    text = orjson.dumps(attributes).decode()
    assert json.loads(Redaction().attributes(text) or "") == attributes


def test_harmless_attributes_pass_untouched() -> None:
    text = '{"gen_ai.request.temperature":0.2,"gen_ai.request.max_tokens":1024}'
    assert Redaction().attributes(text) is text


@pytest.mark.parametrize("key", ["please fix the MARKER", "MARKER?", "", "x" * 201, "a\nb", "sk-" + "MARKER" * 5])
def test_a_name_that_is_no_identifier_is_dropped_with_its_value(key: str) -> None:
    assert redacted({key: 1, "nested": {key: 2, "n": 3}}) == {"nested": {"n": 3}}


@pytest.mark.parametrize(
    "key",
    [
        *("gen_ai.usage.prompt_tokens", "llm.token_count.completion_tokens", "prompt.id", "prompt_length"),
        *("gen_ai.output.type", "gen_ai.prompt.name", "content_length", "tool_result_size_bytes", "message.uuid"),
    ],
)
def test_counts_names_and_ids_of_text_are_not_text(key: str) -> None:
    assert not is_text(key)


def test_numbers_under_a_name_of_text_are_kept() -> None:
    assert redacted({"prompt": 12}) == {"prompt": 12}


@pytest.mark.parametrize(
    ("said", "stored"),
    [
        ("TimeoutError", "TimeoutError"),
        ("openai.RateLimitError", "openai.RateLimitError"),
        ("429", "429"),
        (f"ValueError: {PROSE}", "ValueError"),
        (PROSE, "error"),
        ("could not read 'MARKER'", "error"),
        ("sk-" + "MARKER" * 5, "[redacted]"),
    ],
)
def test_the_type_of_an_error_is_a_name(said: str, stored: str) -> None:
    (kept,) = Redaction().operations([operation(error_type=said)])
    assert kept.error_type == stored


# --- credentials ----------------------------------------------------------------------------------------------------

SECRETS = [
    "sk-ant-api03-abcdefghijklmnop",
    "ghp_abcdefghijklmnopqrstuvwxyz0123456789",
    "github_pat_11ABCDEFG0abcdefghijkl_MNOPQR",
    "gsk_abcdefghijklmnopqrstuvwx",
    "hf_abcdefghijklmnopqrstuvwx",
    "xai-abcdefghijklmnopqrstuvwx",
    "pplx-abcdefghijklmnopqrstuvwx",
    "glpat-abcdefghijklmnopqrst",
    "xoxb-1234567890-abcdefghij",
    "AKIAABCDEFGHIJKLMNOP",
    "AIzaSyA-abcdefghijklmnopqrstuvwxyz01234",
    "npm_abcdefghijklmnopqrstuvwxyz0123456789",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.abcdefghijk",
    "postgres://user:hunter2@db.example.org/x",
    "redis://:hunter2@localhost",
    "SG.abcdefghijklmnopqrstuv.abcdefghijklmnopqrstuvwxyz0123456789abcdefg",
]
SPACED = [
    "Bearer abcdefghijklmnop1234",
    "Basic dXNlcjpwYXNzd29yZA==",
    "-----BEGIN RSA PRIVATE KEY-----\nMIIEowIBAAKCAQEA\n-----END RSA PRIVATE KEY-----",
    "-----BEGIN PRIVATE KEY-----\nMIIEowIBAAKCAQEA",
    'password="hunter22"',
]


def remains_of(secret: str, text: str) -> bool:
    """Whether any eight characters of a secret's second half are left."""
    half = secret[len(secret) // 2 :][:8]
    return half in text and "[redacted]" not in half


@pytest.mark.parametrize("secret", [*SECRETS, *SPACED])
def test_credentials_never_pass_even_when_text_is_kept(secret: str) -> None:
    kept = redacted({"note": f"use {secret} please", "deep": {"list": [secret, {"x": secret}]}}, keep_text=True)
    assert secret not in json.dumps(kept)
    assert secret not in redact_text(f"failed with {secret}")


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize("key", ["my.own", "cwd", "gen_ai.agent.name", "resource.service.name"])
def test_a_credential_is_no_identifier(secret: str, key: str) -> None:
    for attributes in ({key: secret}, {key: [secret]}, {key: {"a": [{"b": secret}]}}):
        assert secret not in json.dumps(redacted(attributes))


@pytest.mark.parametrize(
    "key",
    [
        *("http.request.header.authorization", "db.password", "token", "auth_token", "private_key", "session_token"),
        *(
            "dsn",
            "apiKey",
            "x-api-key",
            "client_secret",
            "AWS_SECRET_ACCESS_KEY",
            "set-cookie",
            "foo.token",
            "DATABASE_URL",
        ),
    ],
)
@pytest.mark.parametrize("value", ["hunter2", ["Basic abc"], {"a": "hunter2"}, 12345678])
def test_a_name_of_a_credential_hides_every_value(key: str, value: Any) -> None:
    assert redacted({key: value, "nested": {key: value}}) == {key: "[redacted]", "nested": {key: "[redacted]"}}
    assert redacted({key: value}, keep_text=True) == {key: "[redacted]"}


@pytest.mark.parametrize(
    "key", ["input_tokens", "max_tokens", "auth_type", "gen_ai.server.time_to_first_token", "compass", "token_type"]
)
def test_facts_about_credentials_and_tokens_are_none(key: str) -> None:
    assert not names_credential(key)


@pytest.mark.parametrize("secret", SECRETS)
def test_names_users_and_sessions_hold_no_credential(secret: str) -> None:
    redaction = Redaction()
    given_ = [
        operation(name=f"call {secret}", user_id=secret, session_id=secret, trace_id=secret, operation_id=secret),
        operation(project=secret, model=f"x/{secret}", workflow=secret, session_id=secret, feature=secret),
    ]
    first, second = redaction.operations(given_)
    assert secret not in str((first, second))
    assert first.session_id == second.session_id == redaction.fingerprints.pseudonym(secret)
    assert first.name.startswith("call [redacted]")
    assert redaction.operations(given_) == [first, second], "the same again, so that sending again changes nothing"


def test_ordinary_names_and_ids_are_left_alone() -> None:
    ordinary = operation(
        name="SELECT * FROM t WHERE a = ?",
        user_id="anna@example.org",
        session_id="2026-11-30-session",
        trace_id="0123456789abcdef" * 2,
        provider_request_id="msg_01ABCdefGHIjklMNOpqrSTUv",
        model="anthropic/claude-sonnet-4-5",
        error_type="APIConnectionError",
        attributes='{"tool_use_id":"toolu_01AbCdEfGhIjKlMnOpQrSt"}',
    )
    assert Redaction().operations([ordinary]) == [ordinary]


# --- fingerprints ---------------------------------------------------------------------------------------------------


def test_what_a_tool_was_given_and_gave_back_leaves_keyed_fingerprints() -> None:
    mine, other = (Redaction(fingerprints=Fingerprints(key * 32)) for key in (b"k", b"o"))

    def kept(redaction: Redaction, arguments: Any, result: str, lines: Any) -> dict[str, Any]:
        attributes = {"tool_input": arguments, "tool_response": result, "tool.edited_lines": lines}
        return json.loads(redaction.attributes(json.dumps(attributes)) or "")

    found = kept(mine, '{"path": "a.py", "n": 1}', "done\n", ["x = 1", "}"])
    assert set(found) == {"fingerprint.arguments", "fingerprint.result", "fingerprint.lines"}
    assert len(found["fingerprint.lines"]) == 1, "a bracket says nothing"
    assert kept(mine, {"n": 1, "path": "a.py"}, "  done", "  x =  1") == found
    changed = kept(mine, {"n": 2, "path": "a.py"}, "done!", "x = 2")
    assert all(changed[name] != value for name, value in found.items())
    foreign = kept(other, '{"path": "a.py", "n": 1}', "done", ["x = 1"])
    assert all(foreign[name] != value for name, value in found.items())
    assert "a.py" not in json.dumps(found)


# --- bounds ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("keep_text", [False, True])
@pytest.mark.parametrize(
    "attributes",
    [
        {f"k{n}": n for n in range(1000)},
        {f"k{n}": n for n in range(10_000)},
        {f"column{n}": "v" for n in range(1203)},
        {f"key{n}": "x" * 5000 for n in range(40)},
        {"k": {f"k{n}": n for n in range(5000)}},
        {"k": list(range(20_000))},
        {"k": [[n] * 50 for n in range(500)]},
        {"k" * 199: "v" * 120, **{f"{n}" * 40: "v" * 100 for n in range(100)}},
    ],
)
def test_whatever_the_size_the_walk_ends_and_says_what_it_left_out(attributes: dict[str, Any], keep_text: bool) -> None:
    text = Redaction(keep_text=keep_text).attributes(json.dumps(attributes))
    if text is None:
        assert not keep_text
        return
    assert len(text.encode()) <= MAX_ATTRIBUTES_BYTES
    kept = json.loads(text)
    assert kept.get("attributes_dropped", 0) > 0 or kept == attributes or not keep_text
    assert len(kept) <= MAX_ENTRIES + 1


def test_deep_values_are_cut_off() -> None:
    deep: Any = 1
    for _ in range(200):
        deep = {"a": [deep]}
    assert redacted({"deep": deep, "n": 1}) == {"n": 1, "attributes_dropped": 1}


def test_nothing_left_is_none() -> None:
    assert redacted({"gen_ai.prompt": "text"}) is None
    assert Redaction().attributes("{}") is None


@pytest.mark.parametrize(
    "attack", ["eyJaaaaaaaaaa-" * 30_000, "://" * 100_000, "sk-" * 100_000, "password:" * 50_000, "a" * 400_000]
)
def test_patterns_take_hostile_text_in_their_stride(attack: str) -> None:
    assert isinstance(redact_text(attack), str)
