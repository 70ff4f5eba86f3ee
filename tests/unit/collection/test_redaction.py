from __future__ import annotations

import json

import pytest

from ralex_core.collection.redaction import MAX_ATTRIBUTES_BYTES, is_content_key, redact_attributes, redact_text


def redacted(attributes: dict[str, object], *, keep_content: bool = False) -> dict[str, object] | None:
    text = redact_attributes(json.dumps(attributes), keep_content=keep_content)
    return None if text is None else json.loads(text)


def test_harmless_attributes_pass_untouched() -> None:
    text = '{"gen_ai.request.temperature":0.2,"gen_ai.request.max_tokens":1024}'
    assert redact_attributes(text, keep_content=False) is text


@pytest.mark.parametrize(
    "key",
    [
        "gen_ai.input.messages",
        "gen_ai.prompt.0.content",
        "gen_ai.completion",
        "input.value",
        "gen_ai.system_instructions",
    ],
)
def test_content_is_dropped_unless_asked_for(key: str) -> None:
    assert redacted({key: "what I wrote", "n": 1}) == {"n": 1}
    assert redacted({key: "what I wrote", "n": 1}, keep_content=True) == {key: "what I wrote", "n": 1}


@pytest.mark.parametrize(
    "key", ["gen_ai.usage.prompt_tokens", "llm.token_count.completion_tokens", "prompt.id", "prompt_length"]
)
def test_counts_and_ids_of_content_are_not_content(key: str) -> None:
    assert not is_content_key(key)


def test_numbers_under_a_content_like_key_are_kept() -> None:
    assert redacted({"prompt": 12}) == {"prompt": 12}


@pytest.mark.parametrize(
    "secret",
    [
        "sk-ant-REDACTED",
        "ghp_abcdefghijklmnopqrstuvwxyz0123456789",
        "xoxb-1234567890-abcdefghij",
        "AKIAABCDEFGHIJKLMNOP",
        "Bearer abcdefghijklmnop1234",
    ],
)
def test_credentials_never_pass_even_when_content_is_kept(secret: str) -> None:
    secret = secret.replace("REDACTED", "api03-abcdefghijklmnop")
    kept = redacted({"note": f"use {secret} please", "deep": {"list": [secret]}}, keep_content=True)
    assert kept is not None
    assert secret not in json.dumps(kept)
    assert secret not in redact_text(f"failed with {secret}")


def test_a_key_that_names_a_secret_hides_its_value() -> None:
    assert redacted({"http.request.header.authorization": "Basic abc", "db.password": "hunter2"}) == {
        "http.request.header.authorization": "[redacted]",
        "db.password": "[redacted]",
    }


def test_oversized_attributes_are_cut_and_say_so() -> None:
    big = {f"key{n}": "x" * 5000 for n in range(40)}
    text = redact_attributes(json.dumps(big), keep_content=False)
    assert text is not None
    assert len(text.encode()) <= MAX_ATTRIBUTES_BYTES
    kept = json.loads(text)
    assert kept["attributes_dropped"] > 0
    assert any(str(value).endswith("…") for value in kept.values())


def test_nothing_left_is_none() -> None:
    assert redacted({"gen_ai.prompt": "text"}) is None
    assert redact_attributes("{}", keep_content=False) is None
