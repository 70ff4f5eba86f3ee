"""OpenAI's Python SDK: chat completions, completions, responses and embeddings, streaming or not, sync and async."""

from __future__ import annotations

from collections.abc import Mapping

from ralex_core.collection.instrument.stainless import Library, Watch, base_of, watch
from ralex_core.collection.instrument.switch import Switch
from ralex_core.collection.llm_answer import ChatAnswer, ResponsesAnswer

LIBRARY = Library(
    name="openai",
    calls={
        "/chat/completions": ("chat", ChatAnswer),
        "/completions": ("text_completion", ChatAnswer),
        "/responses": ("responses", ResponsesAnswer),
        "/embeddings": ("embeddings", ChatAnswer),
    },
    platforms={"BaseAzureClient": "azure"},
)


def install(switch: Switch, providers: Mapping[str, str], ask_for_usage: bool) -> None:
    """Record every call to a model through the SDK. Raises ImportError without it."""
    from openai import AsyncOpenAI, OpenAI

    watch(switch, Watch(LIBRARY, switch, providers, ask_for_usage), base_of(OpenAI), base_of(AsyncOpenAI))
