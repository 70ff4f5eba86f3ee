"""A local OpenRouter for tests: `/key`, `/generation` and `/activity` in the words of the real one.

Generations become known some time after they were made, by the clock of the test; windows of usage are UTC; a run of
faults (429 with Retry-After, 5xx, nonsense) can be put before the next answers.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from ralex_core.clock import ManualClock

KEY = "sk-or-v1-" + "0" * 60 + "feed"
MANAGEMENT_KEY = "sk-or-v1-" + "1" * 60 + "beef"


@dataclass
class Call:
    """One generation, as OpenRouter's books have it. `fee` is what it charges; with `upstream` it is a BYOK call."""

    generation_id: str
    at_us: int
    model: str = "openai/gpt-4o"
    fee: str = "0.0035"
    upstream: str | None = None
    tokens: tuple[int, int] = (1000, 100)
    reasoning: int = 0
    cached: int = 0
    known_after_s: float = 0
    cancelled: bool = False
    key: str = KEY
    provider_name: str = "OpenAI"

    @property
    def day(self) -> str:
        return datetime.fromtimestamp(self.at_us / 1e6, UTC).date().isoformat()


@dataclass
class Fault:
    """What is answered in place of the truth."""

    status: int
    body: bytes = b'{"error":{"message":"slow down","code":429}}'
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class OpenRouterBooks:
    """What the local OpenRouter knows, and what it was asked."""

    clock: ManualClock
    calls: list[Call] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    asked: list[tuple[str, str]] = field(default_factory=list)
    """(path with its query, key) of every request."""
    url: str = ""

    def answer(self, path: str, key: str) -> tuple[int, Any, dict[str, str]]:
        self.asked.append((path, key))
        if self.faults:
            fault = self.faults.pop(0)
            return fault.status, fault.body, fault.headers
        parts = urlsplit(path)
        if key not in (KEY, MANAGEMENT_KEY):
            return 401, {"error": {"message": f"No auth credentials found {key}", "code": 401}}, {}
        match parts.path:
            case "/api/v1/key":
                return 200, {"data": self._key(key)}, {}
            case "/api/v1/generation":
                return self._generation(parse_qs(parts.query).get("id", [""])[0])
            case "/api/v1/activity" if key == MANAGEMENT_KEY:
                return 200, {"data": self._activity()}, {}
            case "/api/v1/activity":
                return 403, {"error": {"message": "Only management keys can fetch activity", "code": 403}}, {}
            case _:
                return 404, {"error": {"message": "Not Found", "code": 404}}, {}

    def _known(self) -> list[Call]:
        now = self.clock.now_us()
        return [call for call in self.calls if now >= call.at_us + call.known_after_s * 1e6]

    def _key(self, key: str) -> dict[str, Any]:
        now = datetime.fromtimestamp(self.clock.now_us() / 1e6, UTC)
        midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
        starts = {
            "": datetime(1970, 1, 1, tzinfo=UTC),
            "_daily": midnight,
            "_weekly": midnight - timedelta(days=now.weekday()),
            "_monthly": midnight.replace(day=1),
        }
        data: dict[str, Any] = {
            "label": "sk-or-v1-000...eed",
            "limit": None,
            "limit_remaining": None,
            "limit_reset": None,
            "include_byok_in_limit": False,
            "is_free_tier": False,
            "is_management_key": key == MANAGEMENT_KEY,
            "expires_at": None,
            "rate_limit": {"requests": -1, "interval": "10s"},
        }
        for suffix, start in starts.items():
            used = [call for call in self.calls if call.key == key and call.at_us >= start.timestamp() * 1e6]
            data[f"usage{suffix}"] = float(sum((Decimal(call.fee) for call in used), Decimal(0)))
            data[f"byok_usage{suffix}"] = float(sum((Decimal(call.upstream or 0) for call in used), Decimal(0)))
        return data

    def _generation(self, identity: str) -> tuple[int, Any, dict[str, str]]:
        call = next((call for call in self._known() if call.generation_id == identity), None)
        if call is None:
            return 404, {"error": {"message": f"Generation {identity} not found", "code": 404}}, {}
        data = {
            "id": call.generation_id,
            "upstream_id": "chatcmpl-1",
            "total_cost": float(call.fee),
            "usage": float(call.fee),
            "cache_discount": None,
            "upstream_inference_cost": float(call.upstream) if call.upstream is not None else 0,
            "created_at": datetime.fromtimestamp(call.at_us / 1e6, UTC).isoformat(),
            "model": call.model,
            "provider_name": call.provider_name,
            "streamed": True,
            "cancelled": call.cancelled,
            "latency": 420,
            "moderation_latency": None,
            "generation_time": 1311,
            "finish_reason": None if call.cancelled else "stop",
            "native_finish_reason": None if call.cancelled else "stop",
            "tokens_prompt": call.tokens[0] - 7,
            "tokens_completion": call.tokens[1] - 3,
            "native_tokens_prompt": call.tokens[0],
            "native_tokens_completion": call.tokens[1],
            "native_tokens_reasoning": call.reasoning,
            "native_tokens_cached": call.cached,
            "native_tokens_completion_images": 0,
            "num_search_results": None,
            "is_byok": call.upstream is not None,
            "router": None,
            "session_id": None,
            "request_id": "req-1",
            "external_user": None,
            "api_type": "completions",
            "preset_id": None,
            "service_tier": None,
            "data_region": "global",
            "provider_responses": [],
        }
        return 200, {"data": data}, {}

    def _activity(self) -> list[dict[str, Any]]:
        today = datetime.fromtimestamp(self.clock.now_us() / 1e6, UTC).date().isoformat()
        rows: dict[tuple[str, str, str], dict[str, Any]] = {}
        for call in self.calls:
            if call.day >= today:  # only completed UTC days
                continue
            model = call.model.removesuffix(":nitro")
            row = rows.setdefault(
                (call.day, model, call.provider_name),
                {
                    "date": call.day,
                    "model": model,
                    "model_permaslug": f"{model}-2024-11-20",
                    "endpoint_id": "550e8400-e29b-41d4-a716-446655440000",
                    "provider_name": call.provider_name,
                    "usage": 0.0,
                    "byok_usage_inference": 0.0,
                    "requests": 0,
                    "prompt_tokens": 0,
                    "completion_tokens": 0,
                    "reasoning_tokens": 0,
                },
            )
            row["usage"] = float(Decimal(str(row["usage"])) + Decimal(call.fee))
            row["byok_usage_inference"] = float(Decimal(str(row["byok_usage_inference"])) + Decimal(call.upstream or 0))
            row["requests"] += 1
            row["prompt_tokens"] += call.tokens[0]
            row["completion_tokens"] += call.tokens[1]
            row["reasoning_tokens"] += call.reasoning
        return list(rows.values())


@contextmanager
def local_openrouter(clock: ManualClock) -> Iterator[OpenRouterBooks]:
    """A server on loopback until the end of the block; `url` is its base."""
    books = OpenRouterBooks(clock)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            key = self.headers.get("Authorization", "").removeprefix("Bearer ")
            status, body, headers = books.answer(self.path, key)
            content = body if isinstance(body, bytes) else json.dumps(body).encode()
            self.send_response(status)
            for name, value in {"Content-Type": "application/json", **headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *arguments: object) -> None:
            """Tests look at `asked`."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    books.url = f"http://127.0.0.1:{server.server_address[1]}/api/v1"
    try:
        yield books
    finally:
        server.shutdown()
        server.server_close()
        thread.join(timeout=10)
