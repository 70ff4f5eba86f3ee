"""Writes down what happens in a simulated session: spans with parents, usage, claims and failures."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from decimal import Decimal

from ralex_core.model.operation import Operation
from ralex_core.model.window import MINUTE_US
from ralex_core.simulate.catalogue import SimulatedModel
from ralex_core.simulate.people import Project
from ralex_core.simulate.team import Team

MAX_ATTEMPTS = 4
MAX_CALL_MS = 180_000.0
CACHE_LIFE_US = 5 * MINUTE_US
COMPACT_AT_TOKENS = 140_000
"""A conversation longer than this is summed up, as assistants do; it stays under the 200k price cliff."""
COMPACTED_TOKENS = 16_000
CANCEL_CHANCE = 0.012
WILD_CLAIM_CHANCE = 1 / 5000
"""A client's own arithmetic goes wrong by orders of magnitude this often (a unit mix-up)."""
_NOTHING = Decimal(0)


@dataclass(frozen=True, slots=True)
class Trace:
    """The ids and dimensions one task's operations share."""

    trace_id: str
    root: str
    feature: str
    workflow: str


@dataclass(slots=True)
class Recording:
    """The operations of one session so far, and the state of its conversation. Times are UTC microseconds."""

    team: Team
    rng: random.Random
    project: Project
    client: str
    user_id: str
    session_id: str
    context_tokens: int
    operations: list[Operation] = field(default_factory=list[Operation])
    _warm_model: SimulatedModel | None = None
    _warm_tokens: int = 0
    _warm_until_us: int = 0

    def begin(self, feature: str, workflow: str) -> Trace:
        bits = self.rng.getrandbits
        return Trace(f"{bits(128):032x}", f"{bits(64):016x}", feature, workflow)

    def request(self, trace: Trace, now_us: int) -> int:
        """The assistant's own API takes the message and loads the session."""
        rng = self.rng
        span = f"{rng.getrandbits(64):016x}"
        load_ms = rng.lognormvariate(1.2, 0.55)
        self._span(trace, "db", "select session", now_us + 900, load_ms, parent=span, service="ralex-api")
        total_ms = load_ms + rng.lognormvariate(2.2, 0.4)
        self._span(
            trace, "api", "POST /api/sessions/{id}/messages", now_us, total_ms,
            span=span, service="ralex-api", http_status=202,
        )  # fmt: skip
        return now_us + round(total_ms * 1000)

    def route(self, trace: Trace, now_us: int, tier: str, model: str, reason: str) -> int:
        """The router decides. Its decision and reason are attributes."""
        duration_ms = self.rng.lognormvariate(2.4, 0.5)
        attributes = f'{{"decision":"{tier}","model":"{model}","reason":"{reason}"}}'
        self._span(trace, "task", "route request", now_us, duration_ms, service="ralex-router", attributes=attributes)
        return now_us + round(duration_ms * 1000)

    def call(self, trace: Trace, now_us: int, model: SimulatedModel, requested: str, outcome: str) -> tuple[int, bool]:
        """Call a model, again after passing failures; returns the end and whether it answered."""
        rng = self.rng
        for attempt in range(1, MAX_ATTEMPTS + 1):
            if rng.random() >= self.team.failure_chance(model.provider, now_us):
                return self._answer(trace, now_us, model, requested, outcome, attempt), True
            now_us = self._failure(trace, now_us, model, requested, attempt)
            now_us += round(rng.uniform(0.5, 1.5) * 1e6 * 2 ** (attempt - 1))
        return now_us, False

    def complete(self, now_us: int, model: SimulatedModel) -> None:
        """One inline completion: a small call of its own, whose fate nobody reports."""
        rng = self.rng
        trace = self.begin("complete", "inline")
        sent, output = rng.randrange(500, 2600), rng.randrange(8, 90)
        slow = self.team.slowness(model.provider, now_us)
        ttft_ms = model.ttft_s * 450 * slow * rng.lognormvariate(0, model.spread)
        charge = model.charge(sent, 0, 0, output)
        self._llm(
            trace, now_us, model, model.name, 1, name="complete", root=True, outcome="unknown", http_status=200,
            duration_ms=ttft_ms + output / model.tokens_per_s * 1000, ttft_ms=ttft_ms, tokens=(sent, 0, 0, output),
            reported=None if model.bills else self._reported(model, charge), billed=charge if model.bills else None,
        )  # fmt: skip

    def read(self, trace: Trace, now_us: int) -> int:
        """Look at files, up to three at once, or search."""
        rng = self.rng
        if rng.random() < 0.3:
            duration_ms = rng.lognormvariate(4.2, 0.6)
            self._span(trace, "tool", "search_code", now_us, duration_ms)
            self.context_tokens += rng.randrange(150, 1800)
            return now_us + round(duration_ms * 1000)
        end_us = now_us
        for lane in range(rng.choice((1, 1, 2, 3))):
            duration_ms = rng.lognormvariate(2.1, 0.6)
            start_us = now_us + lane * 700
            missing = rng.random() < 0.02
            self._span(trace, "tool", "read_file", start_us, duration_ms, error="not_found" if missing else None)
            self.context_tokens += 30 if missing else rng.randrange(300, 3600)
            end_us = max(end_us, start_us + round(duration_ms * 1000))
        return end_us

    def edit(self, trace: Trace, now_us: int) -> int:
        """Change a file; now and then the patch does not apply."""
        rng = self.rng
        duration_ms = rng.lognormvariate(2.6, 0.5)
        self._span(
            trace,
            "tool",
            "edit_file",
            now_us,
            duration_ms,
            error="patch_failed" if rng.random() < 0.05 else None,
        )
        self.context_tokens += rng.randrange(40, 260)
        return now_us + round(duration_ms * 1000)

    def run_tests(self, trace: Trace, now_us: int, median_s: float, failing: float) -> int:
        """Run the project's tests, which use its database."""
        rng = self.rng
        duration_ms = min(median_s * 1000 * rng.lognormvariate(0, 0.45), MAX_CALL_MS)
        span = f"{rng.getrandbits(64):016x}"
        if rng.random() < 0.4:
            query_ms = min(rng.lognormvariate(3.0, 0.9), duration_ms * 0.5)
            self._span(
                trace,
                "db",
                "load fixtures",
                now_us + 60_000,
                query_ms,
                parent=span,
                service=self.project.name,
            )
        error = "tests_failed" if rng.random() < failing else None
        self._span(trace, "tool", "run_tests", now_us, max(duration_ms, 400.0), span=span, error=error)
        self.context_tokens += rng.randrange(200, 2600) if error else rng.randrange(60, 300)
        return now_us + round(max(duration_ms, 400.0) * 1000)

    def commit(self, trace: Trace, now_us: int) -> int:
        """Commit the change and tell the code host."""
        rng = self.rng
        span = f"{rng.getrandbits(64):016x}"
        push_ms = rng.lognormvariate(5.6, 0.4)
        self._span(
            trace, "api", "POST /repos/{repo}/pulls", now_us + 25_000, push_ms,
            parent=span, service="code-host", http_status=201,
        )  # fmt: skip
        duration_ms = push_ms + rng.lognormvariate(4.0, 0.4) + 25
        self._span(trace, "tool", "git", now_us, duration_ms, span=span)
        return now_us + round(duration_ms * 1000)

    def save(self, trace: Trace, now_us: int) -> int:
        """Store the turn."""
        duration_ms = self.rng.lognormvariate(1.6, 0.6)
        self._span(trace, "db", "insert message", now_us, duration_ms, service="ralex-api")
        return now_us + round(duration_ms * 1000)

    def end(
        self, trace: Trace, title: str, start_us: int, end_us: int,
        outcome: str, difficulty: float, follows: str | None, answered: bool,
    ) -> None:  # fmt: skip
        """The task itself, parent of all the above. Its attributes hold the truth about its difficulty."""
        again = f',"follows":"{follows}"' if follows else ""
        self.operations.append(
            Operation(
                trace.trace_id[:16] + trace.root, "task", title, start_us, (end_us - start_us) / 1000,
                "ok" if answered else "error", trace.trace_id, trace.root, None,
                error_type=None if answered else "retries_exhausted",
                service="ralex", project=self.project.name, client=self.client, user_id=self.user_id,
                session_id=self.session_id, feature=trace.feature, workflow=trace.workflow,
                outcome=outcome, door="demo", source="simulator",
                attributes=f'{{"difficulty":{difficulty:.3f}{again}}}',
            )
        )  # fmt: skip

    def _answer(
        self, trace: Trace, now_us: int, model: SimulatedModel, requested: str, outcome: str, attempt: int
    ) -> int:
        """One answered call: usage, claims and times. A stream cut short leaves its usage unknown."""
        rng = self.rng
        slow = self.team.slowness(model.provider, now_us)
        output = min(max(round(rng.lognormvariate(0, 0.75) * model.output_tokens), 12), 8000)
        ttft_ms = min(model.ttft_s * 1000 * slow * rng.lognormvariate(0, model.spread), MAX_CALL_MS / 2)
        stream_ms = output / model.tokens_per_s * 1000 * (0.6 + 0.4 * slow) * rng.lognormvariate(0, 0.18)
        total_ms = min(ttft_ms + stream_ms, MAX_CALL_MS)
        if rng.random() < CANCEL_CHANCE:
            total_ms = ttft_ms + (total_ms - ttft_ms) * rng.random()
            self._llm(
                trace, now_us, model, requested, attempt, duration_ms=total_ms, ttft_ms=ttft_ms,
                status="cancelled", error="aborted", outcome="failed",
            )  # fmt: skip
            return now_us + round(total_ms * 1000)
        cached, written = self._cache(model, now_us)
        sent = self.context_tokens
        charge = model.charge(sent - cached - written, cached, written, output)
        self._llm(
            trace, now_us, model, requested, attempt, duration_ms=total_ms, ttft_ms=ttft_ms,
            http_status=200, outcome=outcome, tokens=(sent, cached, written, output),
            reported=None if model.bills else self._reported(model, charge),
            billed=charge if model.bills else None,
        )  # fmt: skip
        end_us = now_us + round(total_ms * 1000)
        self._warm_model, self._warm_tokens, self._warm_until_us = model, sent, end_us + CACHE_LIFE_US
        self.context_tokens = sent + output
        if self.context_tokens > COMPACT_AT_TOKENS:
            self.context_tokens = self.project.base_context + COMPACTED_TOKENS
        return end_us

    def _failure(self, trace: Trace, now_us: int, model: SimulatedModel, requested: str, attempt: int) -> int:
        """One failed attempt: no usage comes with it; OpenRouter says it charged nothing."""
        rng = self.rng
        roll = rng.random()
        if roll < 0.55:
            error, http_status, duration_ms = "rate_limit", 429, rng.lognormvariate(5.3, 0.5)
        elif roll < 0.88:
            error, http_status, duration_ms = (
                "overloaded",
                529 if model.provider == "anthropic" else 503,
                rng.lognormvariate(7.2, 0.7),
            )
        else:
            error, http_status, duration_ms = "timeout", None, 60_000.0
        duration_ms = min(duration_ms, MAX_CALL_MS)
        self._llm(
            trace, now_us, model, requested, attempt, duration_ms=duration_ms, status="error", error=error,
            http_status=http_status, outcome="failed", billed=_NOTHING if model.bills else None,
        )  # fmt: skip
        return now_us + round(duration_ms * 1000)

    def _cache(self, model: SimulatedModel, now_us: int) -> tuple[int, int]:
        """Tokens read from and written to the provider's prompt cache by the call now made."""
        sent = self.context_tokens
        cached = 0
        if self._warm_model is model and now_us < self._warm_until_us and self._warm_tokens <= sent:
            cached = self._warm_tokens if model.cache_write_rate else self._warm_tokens // 128 * 128
        written = max(sent - cached - 6, 0) if model.cache_write_rate and sent >= 1024 else 0
        return cached, written

    def _reported(self, model: SimulatedModel, charge: Decimal) -> Decimal | None:
        """What the assistant's own arithmetic says; browsers and phones do none. Rarely it is wildly off."""
        if self.client not in ("terminal", "ci"):
            return None
        rng = self.rng
        claim = float(charge) * (1 + model.reported_bias + rng.normalvariate(0, 0.003))
        if rng.random() < WILD_CLAIM_CHANCE:
            claim = claim * rng.uniform(200, 2000) + 1
        return Decimal(f"{max(claim, 0.0):.6f}")

    def _llm(
        self, trace: Trace, now_us: int, model: SimulatedModel, requested: str, attempt: int, *,
        duration_ms: float, outcome: str, name: str = "chat", root: bool = False, ttft_ms: float | None = None,
        status: str = "ok", error: str | None = None, http_status: int | None = None,
        tokens: tuple[int, int, int, int] | None = None,
        reported: Decimal | None = None, billed: Decimal | None = None,
    ) -> None:  # fmt: skip
        sent = cached = written = output = reasoning = request_id = None
        span = trace.root if root else f"{self.rng.getrandbits(64):016x}"
        if tokens is not None:
            sent, cached, written, output = tokens
            reasoning = round(output * model.reasoning_ratio) if model.reasoning_ratio else None
            written = written if model.cache_write_rate else None
            request_id = f"{'gen' if model.bills else 'req'}-{span}"
        self.operations.append(
            Operation(
                trace.trace_id[:16] + span, "llm", name, now_us, duration_ms, status,
                trace.trace_id, span, None if root else trace.root, ttft_ms, error, http_status, attempt,
                "ralex-router",
                self.project.name, self.client, self.user_id, self.session_id, trace.feature, trace.workflow,
                model.provider, requested, model.name, None, sent, cached, written, None,
                output, reasoning, reported, billed,
                outcome=outcome, door="demo", source="simulator", provider_request_id=request_id,
            )
        )  # fmt: skip

    def _span(
        self, trace: Trace, kind: str, name: str, start_us: int, duration_ms: float, *,
        span: str | None = None, parent: str | None = None, service: str = "ralex",
        http_status: int | None = None, error: str | None = None, attributes: str | None = None,
    ) -> None:  # fmt: skip
        span = span or f"{self.rng.getrandbits(64):016x}"
        self.operations.append(
            Operation(
                trace.trace_id[:16] + span, kind, name, start_us, duration_ms, "error" if error else "ok",
                trace.trace_id, span, parent or trace.root, None, error, http_status, 1, service,
                self.project.name, self.client, self.user_id, self.session_id, trace.feature, trace.workflow,
                door="demo", source="simulator", attributes=attributes,
            )
        )  # fmt: skip
