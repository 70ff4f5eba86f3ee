"""What a model reference means: who serves it, and by which names it may be on a price list. Tables and rules.

Clients write the same model in many ways: `openrouter/anthropic/claude-3.7-sonnet:nitro`, `claude-sonnet-4-5[1m]`,
`us.anthropic.claude-3-5-haiku-20241022-v1:0`, `fireworks_ai/accounts/fireworks/models/deepseek-v3`. `read_reference`
turns one into an ordered list of (provider, name) to look up, each with what was assumed on the way, or into the
reason why no price list can answer.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

PROVIDERS: dict[str, str] = {
    # what clients, LiteLLM and OpenTelemetry's gen_ai.provider.name write → the price list's own id
    "anthropic": "anthropic",
    "claude": "anthropic",
    "openai": "openai",
    "text-completion-openai": "openai",
    "codex": "openai",
    "google": "google",
    "gemini": "google",
    "gcp.gemini": "google",
    "gcp.gen_ai": "google",
    "gcp.vertex_ai": "google",
    "google_genai": "google",
    "google-vertex": "google",
    "google-vertex-anthropic": "google",
    "vertex": "google",
    "vertex_ai": "google",
    "vertex_ai_beta": "google",
    "vertexai": "google",
    "aws": "aws",
    "aws.bedrock": "aws",
    "amazon-bedrock": "aws",
    "bedrock": "aws",
    "bedrock_converse": "aws",
    "sagemaker": "aws",
    "azure": "azure",
    "azure_ai": "azure",
    "azure.ai.openai": "azure",
    "azure.ai.inference": "azure",
    "az.ai.openai": "azure",
    "az.ai.inference": "azure",
    "cerebras": "cerebras",
    "cloudflare": "cloudflare",
    "codestral": "mistral",
    "cohere": "cohere",
    "cohere_chat": "cohere",
    "databricks": "databricks",
    "deepseek": "deepseek",
    "fireworks": "fireworks",
    "fireworks_ai": "fireworks",
    "fireworks-ai": "fireworks",
    "github_copilot": "github-copilot",
    "github-copilot": "github-copilot",
    "copilot": "github-copilot",
    "groq": "groq",
    "minimax": "minimax",
    "mistral": "mistral",
    "mistral_ai": "mistral",
    "mistralai": "mistral",
    "moonshot": "moonshotai",
    "moonshotai": "moonshotai",
    "novita": "novita",
    "openrouter": "openrouter",
    "perplexity": "perplexity",
    "together": "together",
    "together_ai": "together",
    "togetherai": "together",
    "voyage": "voyageai",
    "x_ai": "x-ai",
    "x-ai": "x-ai",
    "xai": "x-ai",
    "z-ai": "zai",
    "zai": "zai",
    "zhipuai": "zhipuai",
}

GATEWAYS = frozenset(
    ("litellm", "litellm_proxy", "portkey", "helicone", "kong", "ralex", "opencode", "aider", "ai-gateway", "vercel")
)
"""Names that say through what a call went, not who billed it: the model's own name decides."""

LOCAL = frozenset((
        "docker_model_runner", "gpt4all", "huggingface_local", "jan", "koboldcpp", "llama.cpp", "llama_cpp",
        "llamacpp", "llamafile", "lm_studio", "lm-studio", "lmstudio", "local", "localai", "mlx", "hosted_vllm",
        "ollama", "ollama_chat", "ollama-chat", "text-generation-webui", "vllm",
))  # fmt: skip
"""Servers that run on the user's own machines. Nobody bills per token; what power and hardware cost is unknown."""

CLOSED_VENDORS = frozenset(("anthropic", "openai", "google", "x-ai", "cohere", "perplexity"))
"""Vendors whose models cost their list price wherever they are bought. Open-weight models cost what each host asks."""

ROUTERS = frozenset((
        "auto", "openrouter/auto", "auto-beta", "openrouter/auto-beta", "openrouter/free", "openrouter/fusion",
        "openrouter/bodybuilder", "model-router", "router", "not-diamond", "notdiamond",
))  # fmt: skip
"""Names that stand for whichever model a router picks."""

SAME_PRICE = {
    # The same host's list has the model under another name only.
    (
        "google",
        "gemini-1.5-flash-8b",
    ): "gemini-flash-1.5-8b",  # its pattern for gemini-1.5-flash would catch it, at twice the price
    ("google", "gemini-1.5-flash-8b-001"): "gemini-flash-1.5-8b",
    ("google", "gemini-1.5-flash-8b-latest"): "gemini-flash-1.5-8b",
    ("fireworks", "accounts/fireworks/models/deepseek-v3"): "accounts/fireworks/models/deepseek-v3-0324",
}
"""(provider, name) → the name its price is listed under. Only where the host asked the same price for both."""

_EXPERIMENTAL = re.compile(r"^gemini-(?!.*(?:tts|image|live)).*\bexp\b")
"""Google's experimental models (`gemini-2.5-pro-exp-03-25`) had no price: they were free of charge."""

_SUFFIXES = {
    ":nitro": "routed to the fastest host, which may ask more than the list price",
    ":floor": "routed to the cheapest host",
    ":online": "the web search is charged on top of the tokens",
    ":beta": "same price as the model without it",
    ":thinking": "same price as the model without it",
    ":extended": "same price as the model without it",
    ":exacto": "routed to hosts with reliable tool calls",
    "[1m]": "the long-context variant of the same model",
}
"""Variant marks and what they mean for the price of the model before them."""

_OWN_SERVER = "it ran on a server of your own, for which no bill exists; an override can give it a price, 0 included"

_NAMELESS = frozenset(("", "none", "null", "unknown", "<synthetic>"))
"""What clients write when no model answered or they do not know which."""

_OPENROUTER_MARKS = (":nitro", ":floor", ":online", ":beta", ":thinking", ":extended", ":exacto", ":free")

_EFFORT = re.compile(r"^((?:gpt-|o\d|codex|grok-).*)[-:]\(?(minimal|low|medium|high|xhigh)\)?$")
_DATED = re.compile(r"^(.+?)[-@](20\d{2}-?[01]\d-?[0-3]\d)$")
_VERTEX_VERSION = re.compile(r"^(.+)@(?:default|latest|\d{3})$")
_BEDROCK = re.compile(
    r"^(?:(?:us|eu|apac|global|jp|au|in|ca|sa|us-gov|regional)\.)?([a-z0-9]+)\.([a-z].*?)(?:-v\d+(?::\d+k?)*)?$"
)
_BEDROCK_VENDORS = frozenset((
        "ai21", "amazon", "anthropic", "cohere", "deepseek", "google", "luma", "meta", "minimax", "mistral",
        "moonshot", "nvidia", "openai", "qwen", "stability", "twelvelabs", "writer", "zai",
))  # fmt: skip
_OLLAMA_TAG = re.compile(r"^[^/:]+:(?:latest|\d+(?:x\d+)?(?:\.\d+)?[bm](?:-.*)?)$")


@dataclass(frozen=True, slots=True)
class Candidate:
    """A name to look up, and what was assumed to get there (empty: nothing).

    `provider` None is to be told from the model's spelling; `closed_only` then allows only `CLOSED_VENDORS`.
    """

    provider: str | None
    model: str
    notes: tuple[str, ...] = ()
    closed_only: bool = False


@dataclass(frozen=True, slots=True)
class Reference:
    """What a reference means: names to look up in order; or that it is free, or why it cannot have a price."""

    candidates: tuple[Candidate, ...] = ()
    free: str | None = None
    unpriceable: str | None = None


def read_reference(provider: str | None, model: str | None) -> Reference:
    """Read a provider and model as an operation names them. Never fails: what nobody knows matches nothing later."""
    name = model.strip().lower() if model else ""
    if name in _NAMELESS:
        return Reference(unpriceable="the operation does not name its model")
    if "redacted" in name:
        return Reference(unpriceable="the model's name was redacted at its source")
    written = name
    host, name, notes = _host_and_name(_known_provider(provider), name)
    if host in LOCAL or (host in (None, "openai") and _OLLAMA_TAG.match(name)):
        return Reference(unpriceable=_OWN_SERVER)
    if name in ROUTERS or (host == "openrouter" and f"openrouter/{name}" in ROUTERS):
        return Reference(unpriceable=f"{name} is a router, and which model answered was not reported")
    if name.endswith(":free"):
        return Reference(free="':free' models cost nothing")
    if host in (None, "google", "openrouter") and _EXPERIMENTAL.match(name.removeprefix("google/")):
        return Reference(free="Google's experimental models were free of charge")
    found = _candidates(host, name)
    if host is not None and written != name:
        found += _on_list(host, written)  # Groq's own `groq/compound` has its provider's name in its name
    return Reference(
        candidates=tuple(replace(one, notes=(*notes, *one.notes)) for one in found) if notes else tuple(found)
    )


def _known_provider(provider: str | None) -> str | None:
    """The list's id for a provider's name; unknown names stay as they are, gateways mean nothing."""
    name = provider.strip().lower() if provider else ""
    return None if not name or name in GATEWAYS else PROVIDERS.get(name, name)


def _host_and_name(host: str | None, name: str) -> tuple[str | None, str, tuple[str, ...]]:
    """Who served it, the name there, and what was assumed.

    `provider/` in front of a name says who served it when the operation does not. What follows `openrouter/` is
    `vendor/model`, and that vendor is not the host.
    """
    notes: tuple[str, ...] = ()
    if host == "openai" and "/" in name and not name.startswith("openai/"):
        host, notes = None, ("'openai' is the client library here: OpenAI's own names have no '/'",)
    if host is None and name.count("/") == 1 and name.endswith(_OPENROUTER_MARKS):
        return "openrouter", name, ("the mark at its end is OpenRouter's",)
    while "/" in name and host != "openrouter":
        head, rest = name.split("/", 1)
        if head in LOCAL:
            return head, rest, notes
        if head.startswith("arn:aws"):
            return "aws", name.rsplit("/", 1)[1], notes
        if head in GATEWAYS or head == "models":
            name = rest
        elif head in PROVIDERS and (host is None or host == PROVIDERS[head]):
            host, name = PROVIDERS[head], rest
        else:
            break
    if host == "openrouter" and name.count("/") > 1:
        name = name.removeprefix("openrouter/")
    return host, name, notes


def _variants(name: str) -> list[tuple[str, tuple[str, ...]]]:
    """A name as written, then with one mark after another taken off, each with notes on what was left out."""
    found: list[tuple[str, tuple[str, ...]]] = [(name, ())]

    def shorten(to: str, note: str) -> None:
        found.append((to, (*found[-1][1], note)))

    while mark := next((mark for mark in _SUFFIXES if found[-1][0].endswith(mark)), None):
        shorten(found[-1][0].removesuffix(mark), f"without {mark!r}: {_SUFFIXES[mark]}")
    if match := _EFFORT.match(found[-1][0]):
        shorten(match[1], f"without the reasoning effort {match[2]!r}: tokens cost the same")
    if match := _VERTEX_VERSION.match(found[-1][0]):
        shorten(match[1], "without its version")
    if match := _DATED.match(found[-1][0]):
        shorten(match[1], f"without its date {match[2]}")
    if found[-1][0].endswith("-latest"):
        shorten(found[-1][0].removesuffix("-latest"), "without '-latest'")
    return found


def _candidates(host: str | None, name: str) -> list[Candidate]:
    """The host's own list first, by every spelling; then a vendor whose models cost the same anywhere."""
    found: list[Candidate] = _on_list(host, name) if host is not None else []
    bedrock = _BEDROCK.match(name)
    if bedrock and bedrock[1] in _BEDROCK_VENDORS and host in (None, "aws"):
        if host is None:
            found.append(Candidate("aws", name, ("named as Amazon Bedrock names it",)))
        vendor, rest = PROVIDERS.get(bedrock[1]), bedrock[2]
        return found + (_at_list_price(vendor, rest, "aws") if vendor in CLOSED_VENDORS else [])
    vendor, slash, rest = name.partition("/")
    if slash:
        listed = PROVIDERS.get(vendor)
        if listed is not None and (host == "openrouter" or listed in CLOSED_VENDORS):
            found += _at_list_price(listed, rest, host)
    if host is None:
        found += [Candidate(None, variant, notes) for variant, notes in _variants(name)]
    elif not slash and host != "github-copilot":  # its prices are its own, whoever made the model
        note = f"not on the price list of {host}"
        found += [Candidate(None, variant, (*notes, note), closed_only=True) for variant, notes in _variants(name)]
    return found


def _on_list(host: str, name: str) -> list[Candidate]:
    found: list[Candidate] = []
    for variant, notes in _variants(name):
        if host == "fireworks" and "/" not in variant:
            variant = f"accounts/fireworks/models/{variant}"
        same = SAME_PRICE.get((host, variant))
        if same is not None:
            found.append(Candidate(host, same, (*notes, f"listed as {same}, at the same price")))
        found.append(Candidate(host, variant, notes))
    return found


def _at_list_price(vendor: str, name: str, host: str | None) -> list[Candidate]:
    note = f"not on the price list of {host}: list price of {vendor}" if host else f"list price of {vendor}"
    return [
        Candidate(vendor, spelling, (*notes, note))
        for variant, notes in _variants(name)
        for spelling in dict.fromkeys((variant, variant.replace(".", "-")))
    ]
