"""What the events of coding assistants mean, as data: event name → operation, attribute names → fields.

Assistants report calls, tools and prompts as OTLP log records ("events"). Names drift, so a new one is a new line
here, never a branch elsewhere. `docs/otlp.md` explains the choices; its tables are checked against these.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Literal, NamedTuple

from ralex_core.collection import semconv

UsageStyle = Literal["none", "anthropic", "openai", "gemini"]


class EventRule(NamedTuple):
    """One event that becomes an operation."""

    kind: str
    name: str
    """What the operation is called …"""
    named_by: tuple[str, ...] = ()
    """… unless one of these attributes says it."""
    identity: tuple[str, ...] = ()
    """Attributes of which the first present one names what happened, for good: a call's or a tool use's own id."""
    usage: UsageStyle = "none"
    provider: str | None = None
    """Who was asked, when the event does not say …"""
    models: str = ""
    """… and the model's name begins like this; any other came through somebody's gateway."""
    failed: bool = False
    """The event itself says that it went wrong."""
    kind_when_failed: str | None = None
    needs: tuple[str, ...] = ()
    """Taken only when one of these attributes is there …"""
    only: tuple[tuple[str, frozenset[str]], ...] = ()
    """… and each of these attributes has one of its values."""
    duration: tuple[str, ...] = ("duration_ms",)
    unseen_by_span: bool = False
    """Taken only outside a span: inside one, the span says the same."""


class Assistant(NamedTuple):
    """A program that reports events."""

    service: str
    """Its `service` when the resource has no service.name."""
    client: str = "terminal"


REFUSALS = frozenset({"reject", "rejected", "denied", "deny", "abort", "cancel"})
"""Decisions, in lower case, that mean a person did not let a tool run."""

FAILED_STATES = frozenset({"failed", "error", "failure"})
"""Values of `status`, in lower case, that mean that something went wrong."""

PREFIX_OF_SCOPE = MappingProxyType({"com.anthropic.claude_code.events": "claude_code."})
"""Scope → what to put before an event name that comes without it."""

ASSISTANTS: dict[str, Assistant] = {
    "claude_code.": Assistant("claude-code"),
    "codex.": Assistant("codex"),
    "gemini_cli.": Assistant("gemini-cli"),
    "gen_ai.": Assistant("gen_ai", client="sdk"),
}
"""Event name prefix → who sends it."""

_COMPLETED = frozenset({"response.completed"})
_FAILED = frozenset({"response.failed", "response.incomplete"})

EVENTS: dict[str, tuple[EventRule, ...]] = {
    # Claude Code
    "claude_code.api_request": (
        EventRule(
            "llm",
            "llm_request",
            identity=("request_id", "client_request_id"),
            usage="anthropic",
            provider="anthropic",
            models="claude",
        ),
    ),
    "claude_code.api_error": (
        EventRule(
            "llm",
            "llm_request",
            identity=("request_id", "client_request_id"),
            provider="anthropic",
            models="claude",
            failed=True,
        ),
    ),
    "claude_code.tool_result": (EventRule("tool", "tool", named_by=("tool_name",), identity=("tool_use_id",)),),
    "claude_code.tool_decision": (
        EventRule("tool", "tool", named_by=("tool_name",), identity=("tool_use_id",), only=(("decision", REFUSALS),)),
    ),
    "claude_code.user_prompt": (EventRule("task", "user_prompt", identity=("prompt.id",)),),
    "claude_code.compaction": (EventRule("task", "compaction"),),
    "claude_code.internal_error": (EventRule("task", "internal_error", failed=True),),
    "claude_code.mcp_server_connection": (EventRule("task", "mcp_server_connection"),),
    "claude_code.hook_execution_complete": (
        EventRule("task", "hook", named_by=("hook_name", "hook_event"), duration=("total_duration_ms", "duration_ms")),
    ),
    "claude_code.subagent_completed": (EventRule("task", "subagent", named_by=("agent_type", "agent.name")),),
    # Codex
    "codex.sse_event": (
        EventRule(
            "llm",
            "responses",
            usage="openai",
            provider="openai",
            needs=("input_token_count", "output_token_count", "error.message"),
            only=(("event.kind", _COMPLETED),),
        ),
        EventRule("llm", "responses", provider="openai", failed=True, only=(("event.kind", _FAILED),)),
    ),
    "codex.websocket_event": (
        EventRule("llm", "responses", provider="openai", failed=True, only=(("event.kind", _FAILED),)),
    ),
    "codex.api_request": (
        EventRule("api", "POST responses", provider="openai", kind_when_failed="llm", identity=("auth.request_id",)),
    ),
    "codex.websocket_request": (EventRule("api", "websocket request", provider="openai", kind_when_failed="llm"),),
    "codex.websocket_connect": (EventRule("api", "websocket connect", identity=("auth.request_id",)),),
    "codex.tool_result": (EventRule("tool", "tool", named_by=("tool_name",), identity=("call_id",)),),
    "codex.user_prompt": (EventRule("task", "user_prompt"),),
    # Gemini CLI
    "gemini_cli.api_response": (EventRule("llm", "generate_content", usage="gemini", provider="google"),),
    "gemini_cli.api_error": (EventRule("llm", "generate_content", provider="google", failed=True),),
    "gemini_cli.tool_call": (EventRule("tool", "tool", named_by=("function_name",)),),
    "gemini_cli.user_prompt": (EventRule("task", "user_prompt", identity=("prompt_id",)),),
    "gemini_cli.agent.finish": (EventRule("task", "agent", named_by=("agent_name",), identity=("agent_id",)),),
    "gemini_cli.model_routing": (EventRule("task", "model_routing", duration=("routing_latency_ms",)),),
    "gemini_cli.chat_compression": (EventRule("task", "compaction"),),
    "gemini_cli.flash_fallback": (EventRule("task", "flash_fallback"),),
    "gemini_cli.conversation_finished": (EventRule("task", "conversation"),),
    # The GenAI conventions: a call that has no span of its own
    "gen_ai.client.inference.operation.details": (
        EventRule(
            "llm",
            "chat",
            named_by=("gen_ai.operation.name",),
            identity=("gen_ai.response.id",),
            usage="openai",
            needs=("gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens"),
            unseen_by_span=True,
        ),
    ),
}
"""Event name → what it becomes: the first rule whose conditions hold. Other events are counted and not used."""

SAYS_THE_SAME: dict[str, tuple[str, ...]] = {"gen_ai.client.inference.operation.details": ("gemini-cli", "gemini_cli")}
"""Event → services whose own events describe the same call, so that it is not used from them."""

FIELDS: dict[str, tuple[str, ...]] = {
    "session_id": ("session.id", "conversation.id", "gen_ai.conversation.id"),
    "user_id": (*semconv.TEXT_ALIASES["user_id"], "user.account_id", "installation.id"),
    "project": semconv.TEXT_ALIASES["project"],
    "feature": (*semconv.TEXT_ALIASES["feature"], "query_source"),
    "workflow": (*semconv.TEXT_ALIASES["workflow"], "agent_name"),
    "provider": (*semconv.TEXT_ALIASES["provider"], "provider_name"),
    "model": ("gen_ai.response.model", "gen_ai.request.model", "model", "slug"),
    "provider_request_id": ("request_id", "auth.request_id", "gen_ai.response.id"),
    "prompt": ("prompt.id", "prompt_id", "turn.id", "turn_id"),
    "error_type": ("error_type", "error.type", "error_name", "final_error_type"),
    "error_text": ("error", "error.message", "error_message"),
    "http_status": ("status_code", "http.response.status_code"),
    "attempt": ("attempt", "attempt_number"),
    "cost_usd": ("cost_usd",),
    "ttft_ms": ("ttft_ms",),
    "succeeded": ("success",),
    "failed": ("failed",),
    "state": ("status",),
    "decision": ("decision", "decision_type"),
    "time": ("event.timestamp", "timestamp"),
}
"""Field or signal → the attributes of an event (or of its resource) that say it, best first."""

USAGE: dict[UsageStyle, tuple[tuple[str, ...], ...]] = {
    "none": ((),) * 9,
    "anthropic": (
        ("input_tokens",),
        ("output_tokens",),
        (),
        ("cache_read_tokens", "cache_read_input_tokens"),
        ("cache_creation_tokens", "cache_creation_input_tokens"),
        ("cache_creation_1h_tokens",),
        (),
        (),
        (),
    ),
    "openai": (
        ("input_token_count", "gen_ai.usage.input_tokens"),
        ("output_token_count", "gen_ai.usage.output_tokens"),
        (),
        ("cached_token_count", "gen_ai.usage.cache_read.input_tokens"),
        ("cache_write_token_count", "gen_ai.usage.cache_creation.input_tokens"),
        (),
        ("reasoning_token_count", "gen_ai.usage.reasoning.output_tokens"),
        (),
        (),
    ),
    "gemini": (
        ("input_token_count",),
        ("output_token_count",),
        ("total_token_count",),
        ("cached_content_token_count",),
        (),
        (),
        (),
        ("thoughts_token_count",),
        ("tool_token_count",),
    ),
}
"""How an assistant counts → the attributes in the order of `otlp_usage.usage_of`: input, output, total, cache read,
cache write, cache write for an hour, reasoning, thoughts, tool-use tokens. Codex' `tool_token_count` is its total."""
CACHE_APART = frozenset({"anthropic"})
"""Ways of counting whose input leaves the cached tokens out."""

CLIENTS: dict[str, str] = {
    "cli": "terminal",
    "codex_cli_rs": "terminal",
    "codex-tui": "terminal",
    "codex_exec": "script",
    "sdk-cli": "script",
    "sdk-ts": "sdk",
    "sdk-py": "sdk",
    "mcp": "sdk",
    "claude-vscode": "vscode",
    "codex_vscode": "vscode",
    "claude-desktop": "desktop",
    "codex_app": "desktop",
    "remote": "web",
    "claude-code-github-action": "ci",
}
"""`app.entrypoint` or `originator` → client."""
EDITORS = ("vscode", "cursor", "windsurf", "zed", "jetbrains", "pycharm", "intellij", "goland", "webstorm", "xcode")
"""Beginnings of `terminal.type`, in lower case, of terminals inside an editor; every other one is `terminal`."""

SERVICE_TIERS = MappingProxyType({"fast": "fast"})
"""`speed` → service tier of the price book. Any other speed is the usual price."""

KEPT = frozenset(
    {
        *("app.version", "app.entrypoint", "terminal.type", "effort", "speed", "stop_reason", "finish_reasons"),
        *("query_source", "query_depth", "agent.name", "agent_id", "agent_type", "skill.name", "plugin.name"),
        *("marketplace.name", "prompt_length", "prompt.id", "prompt_id", "event.sequence", "message.uuid"),
        *("tool_name", "tool_use_id", "call_id", "tool_type", "decision", "decision_type", "decision_source"),
        *("source", "tool_input_size_bytes", "tool_result_size_bytes", "mcp_server_scope", "mcp_server"),
        *("mcp_server_name", "server_name", "transport_type", "content_length", "extension_name", "auth_type"),
        *("auth_mode", "originator", "approval_policy", "sandbox_policy", "reasoning_effort", "endpoint"),
        *("event.kind", "trigger", "pre_tokens", "post_tokens", "tokens_before", "tokens_after", "turn_count"),
        *("terminate_reason", "decision_model", "hook_event"),
        *("hook_name", "num_hooks", "num_success", "num_blocking", "num_non_blocking_error", "num_cancelled"),
        *("command_name", "command_source", "total_tokens", "total_tool_uses", "final_model", "model_swapped"),
        *("client_request_id", "organization.id", "user.id", "user.email", "user.account_uuid", "user.account_id"),
        *("installation.id", "active_approval_mode", "status", "turnCount", "approvalMode"),
    }
)
"""Attributes of events that stay: short words, counts and ids. Whatever else an event carries (tool input and output,
texts, commands) is not stored unless content is."""
