"""What a request may make its provider read and write at most."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ralex_core.collection.gateway.request import Facts, read_facts

LIMITS = ("max_completion_tokens", "max_tokens")
PIXEL = "data:image/png;base64,AAAA"


def facts(**fields: Any) -> Facts:
    return read_facts(json.dumps({"model": "m", **fields}).encode(), LIMITS)


def said(*parts: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"role": "user", "content": list(parts)}]


@pytest.mark.parametrize(
    ("fields", "choices"),
    [
        ({}, 1),
        ({"n": 3}, 3),
        ({"best_of": 5, "n": 2}, 5),
        ({"prompt": ["a", "b", "c"], "n": 2}, 6),
        ({"prompt": [[1, 2], [3]]}, 2),
        ({"prompt": [1, 2, 3]}, 1),
        ({"prompt": "one"}, 1),
    ],
)
def test_every_answer_that_is_billed_is_counted(fields: dict[str, Any], choices: int) -> None:
    assert facts(**fields).choices == choices


def test_of_two_limits_the_larger_may_be_heeded() -> None:
    assert facts(max_completion_tokens=1, max_tokens=9000).max_tokens == 9000
    assert facts(max_tokens=7).max_tokens == 7
    assert facts().max_tokens is None


@pytest.mark.parametrize(
    "messages",
    [
        said({"type": "text", "text": "hello"}),
        said({"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}),
    ],
)
def test_what_is_in_the_body_is_bounded_by_it(messages: Any) -> None:
    found = facts(messages=messages)
    assert (found.bounded, found.images) == (True, 0)


def test_images_in_the_body_are_counted() -> None:
    chat = facts(messages=said(*[{"type": "image_url", "image_url": {"url": PIXEL}}] * 3))
    assert (chat.bounded, chat.images) == (True, 3)
    responses = facts(input=said({"type": "input_image", "image_url": PIXEL}))
    assert (responses.bounded, responses.images) == (True, 1)
    source = {"type": "base64", "media_type": "image/png", "data": "AAAA"}
    messages = facts(messages=said({"type": "image", "source": source}))
    assert (messages.bounded, messages.images) == (True, 1)


@pytest.mark.parametrize(
    "fields",
    [
        {"messages": said({"type": "image_url", "image_url": {"url": "https://a.example/b"}})},
        {"messages": said({"type": "file", "file": {"file_id": "f"}})},
        {"messages": said({"type": "file", "file": {"file_data": "data:application/pdf;base64,AAAA"}})},
        {
            "messages": said(
                {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "AAAA"}}
            )
        },
        {"models": [f"m{number}" for number in range(21)]},
        {"previous_response_id": "r"},
    ],
)
def test_what_may_read_more_than_it_says_is_not_bounded(fields: dict[str, Any]) -> None:
    assert not facts(**fields).bounded


def test_a_name_spelled_in_numbers_hides_nothing() -> None:
    body = json.dumps({"model": "m", "messages": said({"type": "file", "file": {"file_id": "f"}})})
    assert not read_facts(body.replace("file_id", r"file\u005fid").encode(), LIMITS).bounded


def test_a_speed_that_costs_more_is_a_tier() -> None:
    assert facts(speed="fast").service_tier == "fast"
    assert facts(service_tier="flex", speed="standard").service_tier == "flex"
