"""The page about OTLP says what the tables say."""

from __future__ import annotations

import json
import re

from ralex_core.collection import semconv
from ralex_core.collection.metric_rules import METRICS
from ralex_core.collection.otlp_events import EVENTS
from ralex_core.collection.otlp_json import decode_json_traces
from tests.support.repository import ROOT

PAGE = (ROOT / "docs" / "otlp.md").read_text()
SIGNALS = {"operation", "hint", "tool", "database", "mcp_method", "rpc", "http_method", "http_route", "server"}
"""Described in words, as they decide kind, name and provider."""


def test_every_alias_of_a_field_is_documented_in_order() -> None:
    for name, keys in {**semconv.TEXT_ALIASES, **semconv.NUMBER_ALIASES}.items():
        if name in SIGNALS | {"succeeded", "broadcast", "statement"}:
            continue
        listed = ", ".join(f"`{key}`" for key in keys)
        assert f"| {listed} |" in PAGE, f"docs/otlp.md lacks the row of {name}: {listed}"


def test_every_hint_operation_prefix_and_event_is_documented() -> None:
    names = [
        *semconv.TEXT_ALIASES["hint"],
        *semconv.KIND_OF_OPERATION,
        *semconv.FIRST_TOKEN_EVENTS,
        *(f"{prefix}*" for prefix in semconv.RESOURCE_NOISE),
    ]
    assert [name for name in names if f"`{name}`" not in PAGE] == []


def test_every_event_that_is_used_is_documented() -> None:
    assert [name for name in EVENTS if f"`{name}`" not in PAGE] == []


def test_every_metric_that_is_used_is_documented_with_its_kinds() -> None:
    for name, rule in METRICS.items():
        (row,) = [line for line in PAGE.splitlines() if line.startswith(f"| `{name}` |")]
        told = {*rule.kind, *rule.parts, *rule.ignored} - {"", "completion"}
        assert [word for word in told if f"`{word}`" not in row] == []


def test_the_example_to_send_by_hand_is_one_that_is_taken() -> None:
    page = (ROOT / "docs" / "connect" / "opentelemetry.md").read_text()
    found = re.search(r"-d '(\{.*?\})'\n```", page, re.DOTALL)
    assert found is not None
    decoded = decode_json_traces(json.dumps(json.loads(found[1])).encode())
    assert decoded.rejected == 0
    (operation,) = decoded.operations
    assert (operation.kind, operation.model, operation.input_tokens) == ("llm", "gpt-4o-mini", 1200)
