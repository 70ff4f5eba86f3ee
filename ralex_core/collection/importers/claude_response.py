"""One response of Claude Code, put together from the transcript lines it is spread over.

A response is written once per content block, each line with the usage known so far. Which line counts is ccusage's
rule: one outside a sidechain before one inside, then the larger token total, then the one that names its speed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import Any, NamedTuple

from ralex_core.collection.importers import fields
from ralex_core.collection.llm_usage import anthropic_tokens
from ralex_core.model.money import decimal_text
from ralex_core.model.operation import Operation, derived_id

SOURCE = "claude-code"
PROVIDERS = {"msg_bdrk_": "aws", "msg_vrtx_": "google"}
"""Who served a Claude model, by the beginning of the message id; everybody else's begin with `msg_`."""

MAX_REVISION_TOTAL = 2**38 - 1
MAX_REVISION_LINES = 2**11 - 1


class Usage(NamedTuple):
    """What one line says of tokens, normalised: totals include their parts. None is unknown."""

    input_tokens: int | None
    output_tokens: int | None
    cache_read_tokens: int | None
    cache_write_tokens: int | None
    cache_write_1h_tokens: int | None
    service_tier: str | None
    speed: str | None
    web_searches: int | None

    @property
    def total(self) -> int:
        return (self.input_tokens or 0) + (self.output_tokens or 0)


def read_usage(message: Mapping[str, Any]) -> Usage:
    """Anthropic's usage object; its input_tokens leave the cache out, ours include it.

    Raises:
        InvalidOperation: a count is not a whole number.
    """
    usage = fields.nested(message, "usage")
    plain = fields.count(usage, "input_tokens")
    read = fields.count(usage, "cache_read_input_tokens")
    written = fields.count(usage, "cache_creation_input_tokens")
    kinds = fields.nested(usage, "cache_creation")
    written_5m = fields.count(kinds, "ephemeral_5m_input_tokens")
    written_1h = fields.count(kinds, "ephemeral_1h_input_tokens")
    all_input, written = anthropic_tokens(plain, read, written, written_5m, written_1h)
    return Usage(
        input_tokens=all_input,
        output_tokens=fields.count(usage, "output_tokens"),
        cache_read_tokens=read,
        cache_write_tokens=written,
        cache_write_1h_tokens=written_1h,
        service_tier=fields.text(usage, "service_tier"),
        speed=fields.text(usage, "speed"),
        web_searches=fields.count(fields.nested(usage, "server_tool_use"), "web_search_requests"),
    )


@dataclass(slots=True)
class Line:
    """What one assistant line says, checked."""

    message_id: str | None
    request_id: str | None
    line_id: str
    """Names the line itself, for responses without a message id."""
    at: int
    sidechain: bool
    model: str | None
    usage: Usage
    cost: Decimal | None
    stop_reason: str | None
    context: Context


class Context(NamedTuple):
    """Where a line was written."""

    session: str | None
    project: str | None
    cwd: str | None
    version: str | None
    branch: str | None
    agent: str | None
    trace: str

    def attributes(self) -> dict[str, Any]:
        return {
            "cwd": self.cwd,
            "git_branch": self.branch,
            "client_version": self.version,
            "agent_id": self.agent,
        }


@dataclass(slots=True)
class Response:
    """The lines of one response seen so far, merged."""

    operation_id: str
    started_at: int
    parent_known: bool
    """Whether `started_at` is the line the response answers, or only the first line of the response itself."""
    last_at: int
    best: dict[str, Any]
    """The line that counts, as `asdict(Line)` with the cost as text."""
    lines: int = 1
    dirty: bool = True
    """Whether there is something that has not been given out."""

    @staticmethod
    def begun(line: Line, operation_id: str, started_at: int, parent_known: bool) -> Response:
        return Response(operation_id, started_at, parent_known, line.at, _packed(line))

    def add(self, line: Line) -> None:
        self.lines += 1
        self.last_at = max(self.last_at, line.at)
        self.dirty = True
        if _rank(line.sidechain, line.usage) > _rank(self.best["sidechain"], Usage(*self.best["usage"])):
            stop_reason = self.best["stop_reason"]
            self.best = _packed(line)
            self.best["stop_reason"] = line.stop_reason or stop_reason
        elif line.stop_reason is not None:
            self.best["stop_reason"] = line.stop_reason

    def save(self) -> dict[str, Any]:
        return asdict(self)

    def operation(self) -> Operation:
        """The response as it stands; a fuller one of the same id has a higher revision."""
        best = self.best
        usage = Usage(*best["usage"])
        context = Context(*best["context"])
        cost = None if best["cost"] is None else Decimal(best["cost"])
        duration = fields.span_ms(self.started_at, self.last_at) if self.parent_known else None
        model: str | None = best["model"]
        return Operation(
            operation_id=self.operation_id,
            kind="llm",
            name="llm_request",
            started_at=self.started_at,
            duration_ms=duration,
            trace_id=context.trace,
            span_id=self.operation_id[:16],
            service=SOURCE,
            project=context.project,
            client="terminal",
            session_id=context.session,
            feature="subagent" if best["sidechain"] else "main",
            provider=provider_of(best["message_id"], model),
            requested_model=model,
            model=model,
            service_tier=usage.service_tier,
            input_tokens=usage.input_tokens,
            cache_read_tokens=usage.cache_read_tokens,
            cache_write_tokens=usage.cache_write_tokens,
            cache_write_1h_tokens=usage.cache_write_1h_tokens,
            output_tokens=usage.output_tokens,
            reported_usd=cost or None,  # 0 is what it wrote when it knew no price
            door="importer",
            source=SOURCE,
            provider_request_id=best["request_id"],
            revision=_revision(best["sidechain"], usage, self.lines),
            attributes=fields.attributes(
                message_id=best["message_id"],
                stop_reason=best["stop_reason"],
                speed=usage.speed,
                web_searches=usage.web_searches or None,
                duration_source="previous line to last line of the response" if duration is not None else None,
                **context.attributes(),
            ),
        )


def provider_of(message_id: str | None, model: str | None) -> str | None:
    """Who answered; None when it is not a Claude model and so came through somebody's gateway."""
    if model is None or not model.startswith("claude"):
        return None
    for beginning, provider in PROVIDERS.items():
        if (message_id or "").startswith(beginning):
            return provider
    return "anthropic"


def response_id(message_id: str, request_id: str | None) -> str:
    return derived_id(SOURCE, message_id, request_id or "")


def _rank(sidechain: bool, usage: Usage) -> tuple[bool, int, bool]:
    return (not sidechain, usage.total, usage.speed is not None)


def _revision(sidechain: bool, usage: Usage, lines: int) -> int:
    """The merge rule as one number below 2^53, so that it also holds between files; more lines know the end better."""
    main, total, speed = _rank(sidechain, usage)
    total = min(total, MAX_REVISION_TOTAL)
    return (((main << 38 | total) << 1 | speed) << 11) | min(lines, MAX_REVISION_LINES)


def _packed(line: Line) -> dict[str, Any]:
    packed = {name: getattr(line, name) for name in Line.__slots__}
    packed["usage"] = list(line.usage)
    packed["context"] = list(line.context)
    packed["cost"] = decimal_text(line.cost)
    return packed
