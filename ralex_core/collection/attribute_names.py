"""What the name of an attribute says about its value: a credential, text that people or models wrote, a known short
text, or nothing.

Names drift, so a new one is a new line in a table here. The tables hold for every source.
"""

from __future__ import annotations

import re
from enum import Enum

from ralex_core.collection.credentials import MAX_KEY, holds_credential, names_credential, words_of


class Holds(Enum):
    """What an attribute of some name holds."""

    CREDENTIAL = "credential"
    TEXT = "text"
    """What people wrote, models answered, or tools were given and gave back."""
    KNOWN = "known"
    """A short text that is harmless by convention: the name of an agent, a route, a reason to stop."""
    ANYTHING = "anything"
    FINGERPRINT = "fingerprint"
    UNNAMED = "unnamed"
    """The name itself is no identifier: it may hold anything, too."""


TEXT_KEYS = frozenset(
    {
        *("llm.invocation_parameters", "gen_ai.request.available_tools", "gen_ai.tool.definitions"),
        *("llm.prompts", "llm.completions", "llm.tools", "embedding.embeddings", "reranker.query"),
        *("new_context", "system_prompt_preview", "all_messages_events", "pydantic_ai.all_messages"),
        *("lk.chat_ctx", "lk.user_transcript", "mlflow.spanInputs", "mlflow.spanOutputs", "events"),
        *("request_data", "response_data", "response", "assistant_response", "metadata", "otel.events"),
        *("ai.response.object", "ai.response.reasoning", "ai.response.toolCalls", "gen_ai.response.tool_calls"),
        *("exception.stacktrace", "code.stacktrace", "db.query.text", "db.statement", "process.command_line"),
        *("process.command_args", "url.full", "url.query", "http.url", "http.target", "logfire.msg"),
    }
)
"""Attributes that hold text although their words do not say so, or are as well-known as that."""

TEXT_PREFIXES = (
    "gen_ai.prompt.",
    "gen_ai.completion.",
    "gen_ai.content.",
    "gen_ai.input.messages.",
    "gen_ai.output.messages.",
    "gen_ai.tool.definitions.",
    "llm.prompts.",
    "llm.completions.",
    "llm.input_messages.",
    "llm.output_messages.",
    "llm.tools.",
    "llm.request.functions.",
    "llm.prompt_template.",
    "retrieval.documents.",
    "embedding.embeddings.",
    "reranker.input_documents.",
    "reranker.output_documents.",
    "ai.prompt.",
)

NOT_TEXT = frozenset({"gen_ai.prompt.name", "gen_ai.prompt.version", "llm.prompt_template.version", "ai.prompt.format"})
"""Names of prompts, not prompts."""

_TEXT_WORDS = frozenset(
    [
        *("prompt", "prompts", "completion", "completions", "message", "messages", "msg", "content", "contents"),
        *("input", "inputs", "output", "outputs", "instruction", "instructions", "argument", "arguments", "args"),
        *("parameter", "parameters", "params", "transcript", "transcription", "text", "query", "queries"),
        *("question", "questions", "answer", "answers", "body", "stacktrace", "traceback", "stack", "reasoning"),
        *("thinking", "thought", "thoughts", "template", "variables", "document", "documents", "snippet", "diff"),
        *("patch", "description", "explanation", "comment", "comments", "command", "cmd", "stdin", "stdout"),
        *("stderr", "ctx", "chat", "history", "result", "results", "payload", "statement", "sql", "note", "notes"),
        *("response", "responses", "summary", "title", "subject", "raw", "preview", "excerpt", "quote", "dump"),
    ]
)
_FACT_WORDS = frozenset(
    [
        *("tokens", "token", "count", "counts", "id", "ids", "uuid", "name", "names", "length", "len", "size"),
        *("bytes", "chars", "characters", "version", "type", "types", "format", "kind", "role", "index", "ms"),
        *("us", "ns", "seconds", "duration", "ratio", "cost", "usd", "hash", "model", "mode", "provider"),
        *("status", "code", "reason", "reasons", "level", "rows", "encoding", "language", "effort", "source"),
        *("at", "time", "timestamp", "limit", "max", "min", "total", "hit", "enabled", "details", "cached"),
    ]
)
"""Last words of names that hold a fact about a text."""

KNOWN_KEYS = frozenset(
    {
        # OpenTelemetry: generative AI, HTTP, databases, errors, code
        *("gen_ai.agent.name", "gen_ai.agent.id", "gen_ai.workflow.name", "gen_ai.tool.name", "gen_ai.tool.type"),
        *("gen_ai.response.finish_reasons", "gen_ai.request.encoding_formats", "gen_ai.operation.name"),
        *("gen_ai.request.model", "gen_ai.response.model", "gen_ai.provider.name", "gen_ai.system"),
        *("gen_ai.output.type", "gen_ai.conversation.id", "gen_ai.data_source.id"),
        *("http.route", "url.template", "http.request.method", "http.method", "user_agent.original"),
        *("server.address", "net.peer.name", "network.peer.address", "client.address"),
        *("db.query.summary", "db.query.sample", "db.namespace", "db.name", "db.collection.name", "db.system"),
        *("db.operation.name", "db.system.name", "error.type", "exception.type", "error.code", "event.name"),
        *("code.function", "code.function.name", "code.filepath", "code.file.path", "code.namespace"),
        *("thread.name", "rpc.system", "rpc.system.name", "rpc.service", "rpc.method", "mcp.method.name"),
        *("messaging.destination.name", "peer.service", "otel.scope.name", "otel.library.name"),
        # Who and where
        *("service.name", "service.namespace", "service.version", "host.name", "deployment.environment"),
        *("deployment.environment.name", "user.id", "user.email", "user.name", "enduser.id", "session.id"),
        *("project", "project.name", "ralex.project", "vcs.repository.name", "vcs.ref.head.name", "terminal.type"),
        *("app.entrypoint", "app.version", "cwd", "git_branch", "client_version", "originator"),
        # Frameworks
        *("agent.name", "tool.name", "tool_name", "openinference.project.name", "openinference.span.kind"),
        *("graph.node.id", "graph.node.name", "graph.node.parent_id", "tag.tags", "tags", "request_tags"),
        *("traceloop.workflow.name", "traceloop.entity.name", "traceloop.entity.path", "traceloop.span.kind"),
        *("langfuse.trace.name", "langfuse.trace.tags", "langfuse.environment", "langfuse.release"),
        *("langfuse.version", "langfuse.observation.type", "langfuse.observation.model.name", "ai.operationId"),
        *("ai.telemetry.functionId", "ai.model.id", "ai.model.provider", "ai.toolCall.name", "litellm.key_alias"),
        # Assistants' events
        *("skill.name", "plugin.name", "marketplace.name", "hook_name", "command_name", "extension_name"),
        *("mcp_server_name", "server_name", "agent_type", "sandbox_policy", "approval_policy", "query_source"),
        # Our own
        *("ralex.client", "ralex.feature", "ralex.workflow", "duration_source", "reason", "decision", "counted.not"),
        *("stop_reason", "finish_reason", "finish_reasons", "upstream", "weak_model", "editor_model", "model"),
        *("feature", "workflow", "gateway_key"),
    }
)
"""Attributes whose text is stored although it may hold spaces, at most `MAX_KNOWN` characters of it."""

ARGUMENTS = frozenset(
    {
        *("gen_ai.tool.call.arguments", "gen_ai.tool.input", "ai.toolCall.args", "tool_call.function.arguments"),
        *("tool.parameters", "tool_arguments", "tool_input", "tool_parameters", "function_args", "arguments"),
        *("tool.arguments", "tool.input"),
    }
)
"""Attributes that hold what a tool was given."""
RESULTS = frozenset(
    {
        *("gen_ai.tool.call.result", "gen_ai.tool.output", "ai.toolCall.result", "tool_response", "tool_result"),
        *("tool.result", "tool.output"),
    }
)
"""Attributes that hold what a tool gave back."""
EDITED_LINES = frozenset({"tool.edited_lines"})
"""Attributes that hold the lines a tool wrote: a list of texts, or one text."""

FINGERPRINT_OF_ARGUMENTS = "fingerprint.arguments"
FINGERPRINT_OF_RESULT = "fingerprint.result"
FINGERPRINTS_OF_LINES = "fingerprint.lines"
FINGERPRINTS = frozenset((FINGERPRINT_OF_ARGUMENTS, FINGERPRINT_OF_RESULT, FINGERPRINTS_OF_LINES))
"""Attributes that stand for text that was dropped, see `fingerprints`."""
FINGERPRINTED = ARGUMENTS | RESULTS | EDITED_LINES

MAX_REMEMBERED = 20_000
_NAME = re.compile(r"[A-Za-z0-9_$][A-Za-z0-9_$.:/@\[\]+-]*")
_RESOURCE = "resource."
_remembered: dict[str, Holds] = {}


def holds(key: str) -> Holds:
    """What an attribute of this name holds. The same few dozen names come in nearly every operation: remembered."""
    found = _remembered.get(key)
    if found is None:
        found = _holds(key)
        if len(key) <= MAX_KEY and len(_remembered) < MAX_REMEMBERED:
            _remembered[key] = found
    return found


def _holds(key: str) -> Holds:
    name = key.removeprefix(_RESOURCE)
    if name in FINGERPRINTS:
        return Holds.FINGERPRINT
    if name in KNOWN_KEYS:
        return Holds.KNOWN
    if not name or len(name) > MAX_KEY or _NAME.fullmatch(name) is None or holds_credential(name):
        return Holds.UNNAMED
    if names_credential(name):
        return Holds.CREDENTIAL
    return Holds.TEXT if is_text(name) else Holds.ANYTHING


def is_text(key: str) -> bool:
    """Whether an attribute of this name holds what people wrote, models answered, or tools were given or gave back;
    not how many tokens it has, or its id."""
    if key in NOT_TEXT:
        return False
    if key in TEXT_KEYS or key in FINGERPRINTED or key.startswith(TEXT_PREFIXES):
        return True
    words = words_of(key)
    return bool(words) and words[-1] not in _FACT_WORDS and not _TEXT_WORDS.isdisjoint(words)
