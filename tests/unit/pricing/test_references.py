"""Names as clients write them, and the price they lead to."""

from __future__ import annotations

import pytest

from ralex_core.pricing.book import PriceBook
from tests.support.prices import book_in, call


@pytest.fixture(scope="module")
def book(tmp_path_factory: pytest.TempPathFactory) -> PriceBook:
    return book_in(tmp_path_factory.mktemp("home"))


@pytest.mark.parametrize(
    ("provider", "model", "expected"),
    [
        # as the vendor writes it
        ("anthropic", "claude-sonnet-4-5", "anthropic/claude-sonnet-4-5"),
        (None, "claude-sonnet-4-5-20250929", "anthropic/claude-sonnet-4-5"),
        ("openai", "gpt-5-mini", "openai/gpt-5-mini"),
        (None, "gpt-4o-mini", "openai/gpt-4o-mini"),
        (None, "models/gemini-2.5-pro", "google/gemini-2.5-pro"),
        # prefixes of LiteLLM and Aider
        (None, "anthropic/claude-3-7-sonnet-20250219", "anthropic/claude-3-7-sonnet-latest"),
        (None, "gemini/gemini-2.5-pro-preview-03-25", "google/gemini-2.5-pro"),
        (None, "vertex_ai/gemini-2.5-pro", "google/gemini-2.5-pro"),
        (None, "vertex_ai/claude-3-5-sonnet-v2@20241022", "google/claude-3-5-sonnet"),
        (None, "xai/grok-3-mini-beta", "x-ai/grok-3-mini"),
        (None, "azure/gpt-4o", "azure/gpt-4o"),
        (None, "mistral/codestral-latest", "mistral/codestral"),
        (None, "litellm/anthropic/claude-sonnet-4-5", "anthropic/claude-sonnet-4-5"),
        (
            None,
            "fireworks_ai/accounts/fireworks/models/deepseek-v3",
            "fireworks/deepseek-v3-0324",
        ),
        ("fireworks", "deepseek-v3p2", "fireworks/deepseek-v3p2"),
        ("groq", "openai/gpt-oss-120b", "groq/openai/gpt-oss-120b"),
        (None, "together/Tev1-4B-experimental", "together/together/Tev1-4B-experimental"),
        # providers as OpenTelemetry writes them
        ("gcp.vertex_ai", "gemini-2.5-pro", "google/gemini-2.5-pro"),
        ("gcp.gemini", "gemini-2.5-pro", "google/gemini-2.5-pro"),
        ("x_ai", "grok-3", "x-ai/grok-3"),
        ("mistral_ai", "codestral-latest", "mistral/codestral"),
        ("azure.ai.openai", "gpt-4o", "azure/gpt-4o"),
        # variants of the same model
        (None, "claude-sonnet-4-5[1m]", "anthropic/claude-sonnet-4-5"),
        (None, "openai/gpt-5-mini:nitro", "openrouter/openai/gpt-5-mini"),
        ("openrouter", "anthropic/claude-sonnet-4:beta", "openrouter/anthropic/claude-sonnet-4"),
        (None, "openrouter/anthropic/claude-3.7-sonnet:thinking:nitro", "openrouter/anthropic/claude-3.7-sonnet"),
        (None, "o3-mini-high", "openai/o3-mini"),
        ("google", "gemini-1.5-flash-8b", "google/gemini-flash-1.5-8b"),
        # Amazon Bedrock
        (
            "aws.bedrock",
            "us.anthropic.claude-3-5-haiku-20241022-v1:0",
            "aws/regional.anthropic.claude-3-5-haiku-20241022-v1:0",
        ),
        (
            None,
            "bedrock/us.anthropic.claude-3-5-haiku-20241022-v1:0",
            "aws/regional.anthropic.claude-3-5-haiku-20241022-v1:0",
        ),
        (
            None,
            "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.anthropic.claude-3-5-haiku-20241022-v1:0",
            "aws/regional.anthropic.claude-3-5-haiku-20241022-v1:0",
        ),
        # OpenRouter first, the vendor's list when OpenRouter's does not have it
        (None, "openrouter/anthropic/claude-3.7-sonnet", "openrouter/anthropic/claude-3.7-sonnet"),
        (None, "openrouter/anthropic/claude-3-5-haiku-20241022", "anthropic/claude-3-5-haiku-latest"),
        # a gateway says nothing about who billed
        ("litellm", "claude-sonnet-4-5", "anthropic/claude-sonnet-4-5"),
        # an OpenAI client that talks to something else
        ("openai", "anthropic/claude-sonnet-4-5", "anthropic/claude-sonnet-4-5"),
        # vendors that cost the same anywhere
        ("my-company-proxy", "claude-sonnet-4-5", "anthropic/claude-sonnet-4-5"),
    ],
)
def test_a_name_leads_to_its_price(book: PriceBook, provider: str | None, model: str, expected: str) -> None:
    found = book.explain(call(model, 1000, 100, provider=provider))
    assert f"{found.matched_provider}/{found.matched_model}" == expected
    assert found.computed_usd is not None


@pytest.mark.parametrize(
    ("provider", "model", "reason"),
    [
        (None, None, "does not name its model"),
        (None, "None", "does not name its model"),
        ("openrouter", "openrouter/REDACTED", "redacted"),
        (None, "openrouter/auto", "router"),
        ("openrouter", "auto", "router"),
        ("ollama", "llama3.3", "server of your own"),
        (None, "ollama_chat/qwen2.5-coder", "server of your own"),
        (None, "lm_studio/anything", "server of your own"),
        ("openai", "qwen2.5-coder:7b", "server of your own"),
        (None, "llama3.2:latest", "server of your own"),
        ("deepinfra", "deepseek-chat", "no price list"),
        (None, "qwen/qwen3-coder", "no price list"),
        (None, "deepseek/deepseek-coder", "no price list"),
        (None, "a-model-nobody-knows", "no price list"),
    ],
)
def test_what_cannot_have_a_price_is_unknown_and_says_why(
    book: PriceBook, provider: str | None, model: str | None, reason: str
) -> None:
    operation = call(model, 1000, 100, provider=provider)
    pricing = book.price(operation)
    assert (pricing.computed_usd, pricing.cost_usd, pricing.cost_basis) == (None, None, "unknown")
    assert pricing.tier is None
    assert reason in (book.explain(operation).unknown_reason or "")


@pytest.mark.parametrize(
    ("provider", "model"),
    [
        ("openrouter", "deepseek/deepseek-chat-v3-0324:free"),
        (None, "openrouter/a-model-nobody-knows:free"),
        (None, "gemini/gemini-2.5-pro-exp-03-25"),
        (None, "gemini/gemini-exp-1206"),
        ("google", "gemini-2.0-flash-thinking-exp"),
    ],
)
def test_what_is_free_costs_a_known_zero(book: PriceBook, provider: str | None, model: str) -> None:
    pricing = book.price(call(model, 1000, 100, provider=provider))
    assert (pricing.computed_usd, pricing.cost_usd, pricing.cost_basis) == (0, 0, "computed")
    assert pricing.tier == "cheap"


def test_what_was_assumed_is_told(book: PriceBook) -> None:
    def told(model: str, provider: str | None = None) -> str:
        return " / ".join(book.explain(call(model, 1, 1, provider=provider)).assumptions)

    assert told("claude-sonnet-4-5") == ""
    assert "long-context variant" in told("openrouter/anthropic/claude-sonnet-4[1m]")
    assert "list price of anthropic" in told("openrouter/anthropic/claude-3-5-haiku-20241022")
    assert "may ask more than the list price" in told("openai/gpt-5-mini:nitro")
    assert "not on the price list of my-proxy" in told("gpt-4o", "my-proxy")
    assert "at the same price" in told("fireworks_ai/accounts/fireworks/models/deepseek-v3")


@pytest.mark.parametrize(
    "model", ["/", "//", "openrouter/", "a/b/c/d/e", ":free:", "@", "-latest", "arn:aws:/", "x" * 5000, "日本"]
)
def test_a_name_that_is_no_name_is_unknown_and_breaks_nothing(book: PriceBook, model: str) -> None:
    assert book.price(call(model, 10, 10)).computed_usd is None
