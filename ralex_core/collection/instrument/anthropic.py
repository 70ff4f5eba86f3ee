"""Anthropic's Python SDK: messages, whole or streamed, sync and async. Counting tokens calls no model: it is free."""

from __future__ import annotations

from collections.abc import Mapping

from ralex_core.collection.instrument.stainless import Library, Watch, base_of, watch
from ralex_core.collection.instrument.switch import Switch
from ralex_core.collection.llm_answer import MessagesAnswer

LIBRARY = Library(
    name="anthropic",
    calls={"/v1/messages": ("messages", MessagesAnswer)},
    platforms={
        "BaseBedrockClient": "aws",
        "BaseMantleClient": "aws",
        "BaseVertexClient": "google",
        "BaseGoogleCloudClient": "google",
        "BaseFoundryClient": "azure",
    },
)


def install(switch: Switch, providers: Mapping[str, str]) -> None:
    """Record every call to a model through the SDK. Raises ImportError without it."""
    from anthropic import Anthropic, AsyncAnthropic

    watch(switch, Watch(LIBRARY, switch, providers, False), base_of(Anthropic), base_of(AsyncAnthropic))
