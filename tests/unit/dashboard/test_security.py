"""Who is let in: hosts, origins, tokens and cookies."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ralex_core.clock import ManualClock
from ralex_core.config import Settings, load_settings
from ralex_core.dashboard.problems import RequestProblem
from ralex_core.dashboard.security import (
    SESSION_US,
    Guard,
    LoginDesk,
    Sessions,
    require_token_off_loopback,
    safe_next,
    session_cookie,
)
from ralex_core.errors import ConfigError
from ralex_core.selfmetrics import SelfMetrics

TOKEN = "correct-horse-battery"


class Recorder:
    """An ASGI application that says it was reached, and what was sent back."""

    def __init__(self) -> None:
        self.reached: list[dict[str, Any]] = []
        self.sent: list[dict[str, Any]] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.reached.append(scope)
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"ok"})

    @property
    def status(self) -> int:
        return next(message["status"] for message in self.sent if message["type"] == "http.response.start")

    @property
    def headers(self) -> dict[str, str]:
        start = next(message for message in self.sent if message["type"] == "http.response.start")
        return {name.decode(): value.decode() for name, value in start["headers"]}


async def ask(
    path: str = "/",
    method: str = "GET",
    *,
    kind: str = "http",
    token: str | None = None,
    host: str = "127.0.0.1",
    clock: ManualClock | None = None,
    **headers: str,
) -> Recorder:
    app = Recorder()
    settings = Settings(home=Path("/nowhere"), token=token, host=host)
    guard = Guard(app, settings, clock or ManualClock(), SelfMetrics())
    given = {"host": "127.0.0.1:8000", **{name.replace("_", "-"): value for name, value in headers.items()}}
    scope = {
        "type": kind,
        "path": path,
        "query_string": b"",
        "headers": [(name.encode(), value.encode()) for name, value in given.items()],
    }
    if kind == "http":
        scope["method"] = method

    async def receive() -> dict[str, Any]:
        return {"type": "websocket.connect"}

    async def send(message: dict[str, Any]) -> None:
        app.sent.append(message)

    await guard(scope, receive, send)
    return app


@pytest.mark.parametrize("name", ["127.0.0.1:8000", "localhost", "LOCALHOST:1", "[::1]:8000", "localhost.:8000"])
async def test_this_machines_own_names_are_answered(name: str) -> None:
    assert (await ask_with_host(name)).status == 200


@pytest.mark.parametrize("name", ["evil.example:8000", "127.0.0.1.evil.example", "", "localhost.evil.example"])
async def test_another_name_for_loopback_is_refused_since_dns_can_be_rebound(name: str) -> None:
    app = await ask_with_host(name)
    assert app.status == 421
    assert not app.reached


async def ask_with_host(name: str) -> Recorder:
    app = Recorder()
    guard = Guard(app, Settings(home=Path("/nowhere")), ManualClock(), SelfMetrics())
    scope = {"type": "http", "method": "GET", "path": "/", "query_string": b"", "headers": [(b"host", name.encode())]}

    async def send(message: dict[str, Any]) -> None:
        app.sent.append(message)

    await guard(scope, lambda: None, send)  # type: ignore[arg-type, return-value]
    return app


@pytest.mark.parametrize("origin", ["https://evil.example", "http://localhost:8000", "http://127.0.0.1:9000", "null"])
async def test_a_change_asked_for_by_another_site_is_refused(origin: str) -> None:
    app = await ask(method="POST", origin=origin)
    assert app.status == 403
    assert not app.reached


async def test_a_change_from_our_own_page_or_from_a_program_is_let_through() -> None:
    assert (await ask(method="POST", origin="http://127.0.0.1:8000")).status == 200
    assert (await ask(method="DELETE")).status == 200


async def test_a_cross_site_change_without_an_origin_is_refused() -> None:
    assert (await ask(method="POST", sec_fetch_site="cross-site")).status == 403
    assert (await ask(method="GET", sec_fetch_site="cross-site")).status == 200


async def test_a_websocket_from_another_site_is_refused() -> None:
    app = await ask("/ws/monitoring", kind="websocket", origin="https://evil.example")
    assert not app.reached
    assert app.sent == [{"type": "websocket.close", "code": 4403, "reason": "cross_origin"}]


async def test_with_a_token_nothing_but_probes_static_files_and_the_login_is_open() -> None:
    for path in ("/healthz", "/readyz", "/login", "/static/x/css/base.css"):
        assert (await ask(path, token=TOKEN)).status == 200
    for path in ("/", "/metrics", "/api/v1/status", "/v1/traces", "/docs", "/openapi.json"):
        app = await ask(path, token=TOKEN)
        assert app.status == 401, path
        assert not app.reached


async def test_a_bearer_token_opens_every_door() -> None:
    assert (await ask("/v1/traces", "POST", token=TOKEN, authorization=f"Bearer {TOKEN}")).status == 200
    assert (await ask("/v1/traces", "POST", token=TOKEN, authorization=f"bearer {TOKEN}")).status == 200
    for wrong in (f"Bearer {TOKEN}x", "Bearer", "", f"Basic {TOKEN}", "Bearer ünïcode"):
        assert (await ask("/v1/traces", "POST", token=TOKEN, authorization=wrong)).status == 401


async def test_a_browser_without_a_session_is_led_to_the_login_and_back() -> None:
    app = await ask("/operations", token=TOKEN, accept="text/html")
    assert (app.status, app.headers["location"]) == (303, "/login?next=%2Foperations")


async def test_a_websocket_without_a_session_is_told_to_sign_in() -> None:
    app = await ask("/ws/monitoring", kind="websocket", token=TOKEN)
    assert [message["type"] for message in app.sent] == ["websocket.accept", "websocket.close"]
    assert app.sent[1]["code"] == 4401


async def test_a_session_cookie_lasts_a_month_and_cannot_be_altered() -> None:
    clock = ManualClock()
    cookie = Sessions(TOKEN, clock).new()
    header = f"other=1; ralex_monitor_session={cookie}"
    assert (await ask(token=TOKEN, clock=clock, cookie=header)).status == 200
    forged = str(int(cookie.split(".")[0]) + 1) + "." + cookie.split(".")[1]
    for wrong in (forged, cookie[:-1], "", "x.y", "."):
        assert (await ask(token=TOKEN, clock=clock, cookie=f"ralex_monitor_session={wrong}")).status == 401
    clock.advance(SESSION_US / 1e6)
    assert (await ask(token=TOKEN, clock=clock, cookie=header)).status == 401


def test_a_new_token_ends_all_sessions() -> None:
    clock = ManualClock()
    assert not Sessions("another-token-of-16", clock).is_valid(Sessions(TOKEN, clock).new())


def test_the_cookie_does_not_hold_the_token() -> None:
    assert TOKEN not in Sessions(TOKEN, ManualClock()).new()


def test_after_ten_wrong_tokens_the_desk_waits_a_minute() -> None:
    clock = ManualClock()
    desk = LoginDesk(TOKEN, clock)
    assert [desk.sign_in("wrong") for _ in range(10)] == [None] * 10
    with pytest.raises(RequestProblem) as caught:
        desk.sign_in(TOKEN)
    assert caught.value.status == 429
    clock.advance(61)
    assert desk.sign_in(TOKEN) is not None


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.5", "::", "example.org"])
def test_other_machines_are_not_let_in_without_a_token(host: str) -> None:
    with pytest.raises(ConfigError, match="RALEX_MONITOR_TOKEN"):
        require_token_off_loopback(Settings(home=Path("/nowhere"), host=host))
    require_token_off_loopback(Settings(home=Path("/nowhere"), host=host, token=TOKEN))


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.53", "::1", "localhost"])
def test_loopback_needs_no_token(host: str) -> None:
    require_token_off_loopback(Settings(home=Path("/nowhere"), host=host))


async def test_every_answer_carries_the_security_headers_and_a_request_id() -> None:
    headers = (await ask()).headers
    assert "default-src 'none'" in headers["content-security-policy"]
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert len(headers["x-request-id"]) == 16


@pytest.mark.parametrize(
    ("target", "led_to"),
    [
        ("/operations?x=1", "/operations?x=1"),
        ("//evil.example", "/"),
        ("/\\evil", "/"),
        ("https://evil.example", "/"),
        ("", "/"),
    ],
)
def test_a_login_leads_to_this_server_only(target: str, led_to: str) -> None:
    assert safe_next(target) == led_to


def test_other_cookies_are_no_session() -> None:
    assert session_cookie("a=b") is None
    assert session_cookie("ralex_monitor_session=abc.def") == "abc.def"


@pytest.mark.parametrize(
    "token", [" " * 20, "\t" * 20, "a" * 40, "abababababababab", "correct horse battery", "pässwörter-lang-1"]
)
def test_a_token_that_can_be_guessed_or_not_be_sent_is_refused(token: str) -> None:
    with pytest.raises(ConfigError, match="token") as caught:
        load_settings(home=Path("/nowhere"), token=token)
    assert token.strip() == "" or token not in str(caught.value)
