"""The tables that say what attributes mean."""

from __future__ import annotations

import pytest

from ralex_core.collection import semconv
from ralex_core.collection.attribute_names import is_text
from ralex_core.model.operation import KINDS, Operation


def test_every_alias_belongs_to_one_field_and_lists_its_current_name_first() -> None:
    for slot, (name, keys) in enumerate({**semconv.TEXT_ALIASES, **semconv.NUMBER_ALIASES}.items()):
        assert semconv.SLOTS[slot] == name
        for rank, key in enumerate(keys):
            assert semconv.place(key) == (slot, rank, name in semconv.ALSO_KEPT), key


def test_fields_that_are_copied_as_a_block_are_in_the_order_of_an_operation() -> None:
    identity = semconv.SLOTS[: semconv.SLOTS.index("workflow") + 1]
    first = Operation._fields.index("service")
    assert Operation._fields[first : first + len(identity)] == identity


def test_no_alias_is_content() -> None:
    for keys in (*semconv.TEXT_ALIASES.values(), *semconv.NUMBER_ALIASES.values()):
        for key in keys:
            assert not is_text(key) or semconv.place(key).slot >= 0, key


def test_kinds_are_kinds_of_operations() -> None:
    tables = (
        semconv.KIND_OF_SPAN,
        semconv.KIND_OF_OPERATION,
        semconv.KIND_OF_HINT,
        semconv.KIND_OF_MCP_METHOD,
    )
    assert {kind for table in tables for kind in table.values()} <= set(KINDS)
    assert all(hint == hint.lower() for hint in semconv.KIND_OF_HINT)


@pytest.mark.parametrize(
    "key",
    [
        "gen_ai.input.messages",
        "gen_ai.output.messages",
        "gen_ai.prompt",
        "gen_ai.prompt.0.content",
        "gen_ai.completion.12.content",
        "gen_ai.system_instructions",
        "gen_ai.tool.call.arguments",
        "gen_ai.tool.call.result",
        "input.value",
        "output.value",
        "llm.input_messages.0.message.content",
        "llm.output_messages.3.message.tool_calls.0.tool_call.function.arguments",
        "traceloop.entity.input",
        "retrieval.documents.0.document.content",
        "ai.prompt.messages",
        "user_prompt",
        "trace.input",
    ],
)
def test_what_people_wrote_and_models_answered_is_content(key: str) -> None:
    assert is_text(key)
    assert semconv.place(key).slot == semconv.CONTENT


@pytest.mark.parametrize(
    "key",
    [
        "gen_ai.usage.prompt_tokens",
        "gen_ai.usage.completion_tokens",
        "gen_ai.prompt.name",
        "prompt.id",
        "gen_ai.request.temperature",
        "gen_ai.response.finish_reasons",
        "server.address",
        "gen_ai.tool.call.id",
        "gen_ai.output.type",
    ],
)
def test_counts_names_and_ids_are_not_content(key: str) -> None:
    assert not is_text(key)


@pytest.mark.parametrize(
    ("name", "host", "provider"),
    [
        ("openai", None, "openai"),
        ("OpenAI", None, "openai"),
        ("aws.bedrock", None, "aws"),
        ("az.ai.openai", None, "azure"),
        ("gcp.vertex_ai", None, "google"),
        ("mistral_ai", None, "mistral"),
        ("x_ai", None, "x-ai"),
        ("a new one", None, "a new one"),
        ("openai", "openrouter.ai", "openrouter"),
        ("openai", "my-team.openai.azure.com", "azure"),
        ("openai", "localhost", "openai"),
        (None, "api.anthropic.com", "anthropic"),
        (None, "notapi.anthropic.com.evil.example", None),
        (None, None, None),
        ("", None, None),
    ],
)
def test_the_provider_is_who_was_called_else_who_was_named(
    name: str | None, host: str | None, provider: str | None
) -> None:
    assert semconv.provider_of(name, host) == provider


def test_attribute_names_that_clients_invent_do_not_fill_the_memory() -> None:
    for number in range(semconv.MAX_REMEMBERED_KEYS + 100):
        assert semconv.place(f"invented.{number}").slot == semconv.UNMAPPED
    assert len(semconv.PLACES) <= semconv.MAX_REMEMBERED_KEYS
    for number in range(semconv.MAX_REMEMBERED_KEYS + 100):
        semconv.PLACES.pop(f"invented.{number}", None)
