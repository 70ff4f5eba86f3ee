"""What span attributes mean, as data: attribute names → fields, providers and kinds.

Names drift, so a new one is a new line in a table here, never a branch elsewhere. `docs/otlp.md` explains the
choices; its tables are checked against these.
"""

from __future__ import annotations

from typing import NamedTuple

from ralex_core.collection.attribute_names import is_text
from ralex_core.collection.credentials import MAX_KEY

TEXT_ALIASES: dict[str, tuple[str, ...]] = {
    # Who and where: the only ones a resource may say for all its spans. In the order of `Operation`.
    "service": ("service.name",),
    "project": (
        "ralex.project",
        "project",
        "project.name",
        "openinference.project.name",
        "vcs.repository.name",
        "trace.metadata.project",
        "service.namespace",
    ),
    "client": ("ralex.client", "terminal.type", "app.entrypoint"),
    "user_id": (
        "user.email",
        "user.account_uuid",
        "user.id",
        "enduser.id",
        "langfuse.user.id",
        "traceloop.association.properties.user_id",
        "metadata.user_api_key_user_id",
    ),
    "session_id": (
        "session.id",
        "gen_ai.conversation.id",
        "langfuse.session.id",
        "traceloop.association.properties.session_id",
    ),
    "feature": ("ralex.feature", "trace.metadata.feature"),
    "workflow": (
        "ralex.workflow",
        "gen_ai.workflow.name",
        "traceloop.workflow.name",
        "gen_ai.agent.name",
        "agent.name",
    ),
    "error_type": ("error.type",),
    "outcome": ("ralex.outcome",),
    # What follows decides kind, name and provider.
    "operation": ("gen_ai.operation.name",),
    "hint": (
        "openinference.span.kind",
        "traceloop.span.kind",
        "llm.request.type",
        "langfuse.observation.type",
        "ai.operationId",
    ),
    "tool": ("gen_ai.tool.name", "tool.name", "tool_name"),
    "database": ("db.system.name", "db.system"),
    "mcp_method": ("mcp.method.name",),
    "rpc": ("rpc.system.name", "rpc.system"),
    "http_method": ("http.request.method", "http.method"),
    "http_route": ("http.route",),
    "server": ("server.address", "net.peer.name"),
    "succeeded": ("success",),
    "broadcast": (),
    "statement": ("db.query.text", "db.statement"),
    # From here to the end, and on to `ttft_ms` below: what only a call to a model has of its own.
    "provider": ("gen_ai.provider.name", "gen_ai.system", "llm.provider", "llm.system", "ai.model.provider"),
    "requested_model": (
        "gen_ai.request.model",
        "llm.request.model",
        "langfuse.observation.model.name",
        "ai.model.id",
        "model",
    ),
    "model": (
        "gen_ai.response.model",
        "llm.response.model",
        "llm.model_name",
        "embedding.model_name",
        "reranker.model_name",
    ),
    "service_tier": (
        "gen_ai.openai.response.service_tier",
        "openai.response.service_tier",
        "gen_ai.openai.request.service_tier",
        "openai.request.service_tier",
        "speed",
    ),
    "provider_request_id": (
        "gen_ai.response.id",
        "llm.response.id",
        "anthropic.request.id",
        "request_id",
    ),
    "first_token_at": ("langfuse.observation.completion_start_time",),
}
"""Field or signal → the attributes that say it, best first. The value is text."""

NUMBER_ALIASES: dict[str, tuple[str, ...]] = {
    "input_tokens": (
        "gen_ai.usage.input_tokens",
        "gen_ai.usage.prompt_tokens",
        "llm.token_count.prompt",
        "llm.usage.prompt_tokens",
        "ai.usage.inputTokens",
        "ai.usage.promptTokens",
        "input_tokens",
        "input_token_count",
    ),
    "output_tokens": (
        "gen_ai.usage.output_tokens",
        "gen_ai.usage.completion_tokens",
        "llm.token_count.completion",
        "llm.usage.completion_tokens",
        "ai.usage.outputTokens",
        "ai.usage.completionTokens",
        "output_tokens",
        "output_token_count",
    ),
    "total_tokens": (
        "gen_ai.usage.total_tokens",
        "llm.token_count.total",
        "llm.usage.total_tokens",
        "ai.usage.totalTokens",
        "total_token_count",
    ),
    "cache_read_tokens": (
        "gen_ai.usage.cache_read.input_tokens",
        "gen_ai.usage.cache_read_input_tokens",
        "gen_ai.usage.input_tokens.cached",
        "gen_ai.usage.cached_tokens",
        "llm.token_count.prompt_details.cache_read",
        "gen_ai.usage.details.cache_read_tokens",
        "gen_ai.usage.details.cache_read_input_tokens",
        "ai.usage.cachedInputTokens",
        "cache_read_tokens",
        "cache_read_input_tokens",
        "cached_content_token_count",
    ),
    "cache_write_tokens": (
        "gen_ai.usage.cache_creation.input_tokens",
        "gen_ai.usage.cache_creation_input_tokens",
        "gen_ai.usage.input_tokens.cache_write",
        "gen_ai.usage.input_tokens.cache_creation",
        "llm.token_count.prompt_details.cache_write",
        "gen_ai.usage.details.cache_write_tokens",
        "gen_ai.usage.details.cache_creation_input_tokens",
        "ai.usage.inputTokenDetails.cacheWriteTokens",
        "cache_creation_tokens",
        "cache_creation_input_tokens",
    ),
    "cache_write_1h_tokens": ("gen_ai.usage.details.ephemeral_1h_input_tokens", "ephemeral_1h_input_tokens"),
    "reasoning_tokens": (
        "gen_ai.usage.reasoning.output_tokens",
        "gen_ai.usage.output_tokens.reasoning",
        "gen_ai.usage.reasoning_tokens",
        "llm.token_count.completion_details.reasoning",
        "gen_ai.usage.details.reasoning_tokens",
        "llm.usage.reasoning_tokens",
        "ai.usage.reasoningTokens",
    ),
    "thoughts_tokens": ("thoughts_token_count",),
    "tool_use_tokens": ("tool_token_count",),
    "cost_usd": (
        "gen_ai.usage.total_cost",
        "gen_ai.usage.cost",
        "operation.cost",
        "llm.cost.total",
        "gen_ai.cost.total_cost",
        "litellm.cost.total",
        "gen_ai.usage.cost_usd",
        "llm.usage.total_cost",
        "cost_usd",
    ),
    "ttft_s": ("gen_ai.response.time_to_first_chunk", "gen_ai.server.time_to_first_token"),
    "ttft_ms": ("ttft_ms", "trace.metadata.openrouter.first_token_ms", "ai.response.msToFirstChunk"),
    # Of any operation.
    "value_usd": ("ralex.value_usd",),
    "http_status": ("http.response.status_code", "http.status_code", "status_code"),
    "attempt": ("ralex.attempt", "attempt"),
}
"""Field or signal → the attributes that say it, best first. The value is a number, or text that spells one."""

ALSO_KEPT = frozenset(
    {
        *("operation", "tool", "database", "mcp_method", "rpc", "http_method", "http_route", "server"),
        "broadcast",
    }
)
"""Signals that decide something and stay readable among the operation's attributes."""

BROADCAST_PREFIX = "trace.metadata.openrouter."
"""Only OpenRouter's Broadcast writes attributes with this prefix: the span is the provider's own statement."""
BROADCAST_PROVIDER = "openrouter"
NOT_A_BROADCAST_CALL = ("provider attempt ",)
"""Names under which Broadcast shows the parts of a call; the call itself is its own span."""

EXCLUSIVE_INPUT_SPANS = ("claude_code.",)
"""Spans whose input tokens never include the cached ones (Anthropic's own counting)."""

KIND_OF_SPAN: dict[str, str] = {
    "claude_code.llm_request": "llm",
    "claude_code.tool": "tool",
    "claude_code.tool.execution": "task",
    "claude_code.tool.blocked_on_user": "task",
    "claude_code.interaction": "task",
    "claude_code.hook": "task",
}
"""Span name → kind, for tools that do not say what their spans are. A tool's phases are tasks: one call is one tool."""

KIND_OF_OPERATION: dict[str, str] = {
    "chat": "llm",
    "text_completion": "llm",
    "generate_content": "llm",
    "embeddings": "llm",
    "execute_tool": "tool",
    "invoke_agent": "task",
    "create_agent": "task",
    "invoke_workflow": "task",
    "plan": "task",
    "retrieval": "db",
}
"""`gen_ai.operation.name` → kind. Retrieval reads a data store: no model is called, and nobody is billed for tokens."""

KIND_OF_HINT: dict[str, str] = {
    # OpenInference (a hint is looked up in lower case). UNKNOWN is left to the other signals.
    "llm": "llm",
    "embedding": "llm",
    "reranker": "llm",
    "tool": "tool",
    "retriever": "db",
    "agent": "task",
    "chain": "task",
    "guardrail": "task",
    "evaluator": "task",
    "prompt": "task",
    # Traceloop / OpenLLMetry
    "workflow": "task",
    "task": "task",
    "chat": "llm",
    "completion": "llm",
    "rerank": "llm",
    "acompletion": "llm",
    # Langfuse
    "generation": "llm",
    "span": "task",
    "event": "task",
    # Vercel AI SDK: the inner span is the call, the outer one adds its calls up.
    "ai.generatetext": "task",
    "ai.generatetext.dogenerate": "llm",
    "ai.streamtext": "task",
    "ai.streamtext.dostream": "llm",
    "ai.generateobject": "task",
    "ai.generateobject.dogenerate": "llm",
    "ai.streamobject": "task",
    "ai.streamobject.dostream": "llm",
    "ai.embed": "task",
    "ai.embed.doembed": "llm",
    "ai.embedmany": "task",
    "ai.embedmany.doembed": "llm",
    "ai.toolcall": "tool",
}

KIND_OF_MCP_METHOD: dict[str, str] = {"tools/call": "tool"}
"""`mcp.method.name` → kind; other methods of the protocol are housekeeping."""

PROVIDERS: dict[str, str] = {
    "aws.bedrock": "aws",
    "bedrock": "aws",
    "amazon-bedrock": "aws",
    "amazon_bedrock": "aws",
    "az.ai.inference": "azure",
    "az.ai.openai": "azure",
    "azure.ai.inference": "azure",
    "azure.ai.openai": "azure",
    "azure_openai": "azure",
    "azure_ai": "azure",
    "gcp.gemini": "google",
    "gcp.gen_ai": "google",
    "gcp.vertex_ai": "google",
    "gemini": "google",
    "google_genai": "google",
    "google-vertex": "google",
    "google.generative-ai": "google",
    "google.vertex": "google",
    "vertex_ai": "google",
    "vertexai": "google",
    "vertex_ai_beta": "google",
    "anthropic.messages": "anthropic",
    "claude": "anthropic",
    "mistral_ai": "mistral",
    "mistralai": "mistral",
    "x_ai": "x-ai",
    "xai": "x-ai",
    "moonshot": "moonshotai",
    "moonshot_ai": "moonshotai",
    "openai.chat": "openai",
    "openai.responses": "openai",
    "fireworks_ai": "fireworks",
    "fireworks-ai": "fireworks",
    "together_ai": "together",
    "togetherai": "together",
    "perplexity-ai": "perplexity",
    "groq.chat": "groq",
    "deepseek.chat": "deepseek",
    "cohere_chat": "cohere",
    "z_ai": "zai",
    "z-ai": "zai",
}
"""Name an instrumentation gives a provider, in lower case → the name the price book knows. Others stay as they are."""

PROVIDER_OF_HOST: tuple[tuple[str, str], ...] = (
    ("openrouter.ai", "openrouter"),
    ("api.openai.com", "openai"),
    ("api.anthropic.com", "anthropic"),
    ("openai.azure.com", "azure"),
    ("services.ai.azure.com", "azure"),
    ("cognitiveservices.azure.com", "azure"),
    ("googleapis.com", "google"),
    ("api.mistral.ai", "mistral"),
    ("api.groq.com", "groq"),
    ("api.deepseek.com", "deepseek"),
    ("api.x.ai", "x-ai"),
    ("api.together.xyz", "together"),
    ("api.fireworks.ai", "fireworks"),
    ("api.perplexity.ai", "perplexity"),
    ("api.cohere.com", "cohere"),
    ("api.cohere.ai", "cohere"),
    ("api.cerebras.ai", "cerebras"),
    ("api.moonshot.ai", "moonshotai"),
    ("api.moonshot.cn", "moonshotai"),
    ("api.z.ai", "zai"),
    ("api.githubcopilot.com", "github-copilot"),
)
"""Host that was called (or its end) → who bills. An OpenAI client pointed at OpenRouter still calls itself `openai`."""

CANCELLED_ERRORS = frozenset({"cancelled", "canceled", "cancellederror", "asyncio.cancellederror", "aborterror"})
"""`error.type`, in lower case, of work that somebody stopped: it is cancelled, it did not fail."""

FIRST_TOKEN_EVENTS = frozenset({"First Token Stream Event", "gen_ai.first_token", "ai.stream.firstChunk"})
"""Span events that mark the arrival of the first token."""

RESOURCE_NOISE = (
    "telemetry.",
    "process.",
    "os.",
    "container.",
    "k8s.",
    "cloud.",
    "faas.",
    "host.",
    "device.",
    "webengine.",
    "browser.",
)
"""Resource attributes with these prefixes describe machine and SDK; the same on every span, they are not stored …"""
RESOURCE_KEPT = frozenset({"host.name"})
"""… but for these."""

SLOTS: tuple[str, ...] = (*TEXT_ALIASES, *NUMBER_ALIASES)
"""Every field and signal, text first: the position of a name is its slot."""
FIRST_NUMBER = len(TEXT_ALIASES)

FIRST_OF_MODEL_CALL = SLOTS.index("provider")
LAST_OF_MODEL_CALL = SLOTS.index("ttft_ms")
"""Slots between these describe a call to a model. On other spans (an agent's sum, say) they stay attributes."""


class Place(NamedTuple):
    """Where an attribute goes."""

    slot: int
    """Position in `SLOTS`, `UNMAPPED` or `CONTENT`."""
    rank: int
    """0 is the best name of its slot."""
    kept: bool
    """Whether it also stays an attribute."""


UNMAPPED = -1
CONTENT = -2

_LEFT = Place(UNMAPPED, 0, True)
_CONTENT = Place(CONTENT, 0, False)
_BROADCAST = Place(SLOTS.index("broadcast"), 0, True)

MAX_REMEMBERED_KEYS = 20_000
"""Attribute names are remembered up to here, so that a client which invents them cannot fill the memory."""


def _table() -> dict[str, Place]:
    places: dict[str, Place] = {}
    for slot, (name, keys) in enumerate({**TEXT_ALIASES, **NUMBER_ALIASES}.items()):
        for rank, key in enumerate(keys):
            if key in places:
                raise ValueError(f"{key} is an alias of two fields")
            places[key] = Place(slot, rank, name in ALSO_KEPT)
    return places


PLACES: dict[str, Place] = _table()
"""Attribute name → place. Starts as the alias table and remembers what `place` finds out about other names."""


def place(key: str) -> Place:
    """Where an attribute goes; look in `PLACES` first, this is the slow path for names met for the first time."""
    known = PLACES.get(key)
    if known is not None:
        return known
    found = _CONTENT if is_text(key) else _LEFT
    if key.startswith(BROADCAST_PREFIX) and found is _LEFT:
        found = _BROADCAST
    if len(key) <= MAX_KEY and len(PLACES) < MAX_REMEMBERED_KEYS:
        PLACES[key] = found
    return found


MAX_REMEMBERED_PROVIDERS = 2000
_providers: dict[tuple[str | None, str | None], str | None] = {}


def provider_of(name: str | None, host: str | None) -> str | None:
    """Who bills a call, as the price book spells it: the owner of the host when known, else the name given."""
    key = (name, host)
    if key in _providers:
        return _providers[key]
    provider = _provider_of_host(host) if host else None
    if provider is None and name:
        lowered = name.strip().lower()
        provider = PROVIDERS.get(lowered, lowered) or None
    if len(_providers) < MAX_REMEMBERED_PROVIDERS:
        _providers[key] = provider
    return provider


def _provider_of_host(host: str) -> str | None:
    lowered = host.strip().lower()
    for known, provider in PROVIDER_OF_HOST:
        if lowered == known or lowered.endswith("." + known):
            return provider
    return None
