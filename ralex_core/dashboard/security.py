"""Who may talk to the server, and what browsers may do with its pages. Plain ASGI: ingestion passes through it.

- `Host` must be this machine's own name on loopback, so that no web page can reach the monitor by DNS rebinding.
- A request that changes something, and every WebSocket, must come from the monitor's own pages or from no page at
  all: an `Origin` of another site is refused, and so is `Sec-Fetch-Site: cross-site`.
- With a token (required off loopback) everything but `/healthz`, `/readyz`, static files and the login needs it: as
  `Authorization: Bearer …`, or as the cookie the login sets.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import json
import secrets
import threading
from collections import deque
from collections.abc import Iterable, Mapping
from http.cookies import CookieError, SimpleCookie
from typing import cast
from urllib.parse import quote, urlsplit

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ralex_core.clock import Clock
from ralex_core.config import Settings
from ralex_core.dashboard.problems import RequestProblem
from ralex_core.errors import ConfigError
from ralex_core.render import to_json
from ralex_core.selfmetrics import SelfMetrics
from ralex_core.storage.state import StateStore

CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "font-src 'self'",
        "connect-src 'self'",
        "manifest-src 'self'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    )
)

SECURITY_HEADERS: tuple[tuple[bytes, bytes], ...] = (
    (b"content-security-policy", CONTENT_SECURITY_POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"same-origin"),
    (b"x-frame-options", b"DENY"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=()"),
)

COOKIE = "ralex_monitor_session"
SESSION_US = 30 * 86_400 * 1_000_000
"""A login lasts 30 days, or until the token changes."""

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
OPEN_PATHS = frozenset({"/healthz", "/readyz", "/login"})
OPEN_PREFIXES = ("/static/",)
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
WS_SIGN_IN = 4401
WS_REFUSED = 4403


def is_loopback(host: str) -> bool:
    """Whether an address to bind is reached from this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def require_token_off_loopback(settings: Settings) -> None:
    """Refuse to be reachable from other machines without a token.

    Raises:
        ConfigError: naming both ways out.
    """
    if settings.token is None and not is_loopback(settings.host):
        raise ConfigError(
            f"Listening on {settings.host} would let other machines in: set a token (RALEX_MONITOR_TOKEN, at least 16 "
            "characters), or listen on 127.0.0.1."
        )


class EndedSessions:
    """Cookies that were signed out before they expired, by their signatures: kept in the state store."""

    KEY = "ended_sessions"

    def __init__(self, state: StateStore, clock: Clock) -> None:
        self._state = state
        self._clock = clock
        self._lock = threading.Lock()
        self._ended: dict[str, int] = json.loads(state.get_setting(self.KEY) or "{}")

    def __contains__(self, signature: str) -> bool:
        return signature in self._ended

    def end(self, signature: str, expiry_us: int) -> None:
        """End a session for good. Raises StoreError when that cannot be stored; then it goes on."""
        with self._lock:
            now = self._clock.now_us()
            ended = {known: until for known, until in self._ended.items() if until > now} | {signature: expiry_us}
            self._state.set_setting(self.KEY, json.dumps(ended))
            self._ended = ended


class Sessions:
    """Login cookies: an expiry time, signed with the token. They end when they expire, are signed out (`ended`), or
    the token changes."""

    def __init__(self, token: str, clock: Clock, ended: EndedSessions | None = None) -> None:
        self._ended = ended
        self._token = token.encode()
        self._key = hashlib.sha256(b"ralex-monitor session\0" + self._token).digest()
        self._clock = clock

    def is_token(self, text: str) -> bool:
        """Whether this is the token; takes as long for a near miss as for a far one."""
        return hmac.compare_digest(text.encode(), self._token)

    def new(self) -> str:
        """The value of a fresh cookie."""
        expiry = str(self._clock.now_us() + SESSION_US)
        return f"{expiry}.{self._sign(expiry)}"

    def is_valid(self, cookie: str) -> bool:
        expiry, _, signature = cookie.partition(".")
        if not hmac.compare_digest(signature.encode(), self._sign(expiry).encode()):
            return False
        return int(expiry) > self._clock.now_us() and (self._ended is None or signature not in self._ended)

    def end(self, cookie: str) -> None:
        """Sign a cookie out, wherever copies of it are. One that is not valid stays so."""
        if self._ended is not None and self.is_valid(cookie):
            expiry, _, signature = cookie.partition(".")
            self._ended.end(signature, int(expiry))

    def _sign(self, expiry: str) -> str:
        return hmac.new(self._key, expiry.encode(), hashlib.sha256).hexdigest()


class LoginDesk:
    """Gives a session cookie for the token. After ten wrong tries in a minute it waits for the minute to end."""

    TRIES = 10
    WINDOW_S = 60.0

    def __init__(self, token: str, clock: Clock, ended: EndedSessions | None = None) -> None:
        self._sessions = Sessions(token, clock, ended)
        self._clock = clock
        self._failed: deque[float] = deque(maxlen=self.TRIES)

    def sign_in(self, token: str) -> str | None:
        """A cookie's value, or None when this is not the token.

        Raises:
            RequestProblem: 429, too many wrong tries.
        """
        now = self._clock.monotonic()
        if len(self._failed) == self.TRIES and now - self._failed[0] < self.WINDOW_S:
            raise RequestProblem(429, "too_many_tries", "Too many wrong tokens. Wait a minute and try again.", 60)
        if self._sessions.is_token(token.strip()):
            self._failed.clear()
            return self._sessions.new()
        self._failed.append(now)
        return None

    def sign_out(self, cookie_header: str) -> None:
        """End the session of a `Cookie` header; without one there is nothing to do."""
        cookie = session_cookie(cookie_header)
        if cookie is not None:
            self._sessions.end(cookie)


class Guard:
    """The outermost middleware: checks every request, gives it an id, and adds the security headers to its answer."""

    def __init__(
        self,
        app: ASGIApp,
        settings: Settings,
        clock: Clock,
        metrics: SelfMetrics,
        ended: EndedSessions | None = None,
    ) -> None:
        require_token_off_loopback(settings)
        self._app = app
        self._metrics = metrics
        self._sessions = Sessions(settings.token, clock, ended) if settings.token else None
        self._hosts = LOOPBACK_NAMES | {settings.host} if is_loopback(settings.host) else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        request_id = secrets.token_hex(8)
        state = cast(dict[str, object], scope.setdefault("state", {}))
        state["request_id"] = request_id
        headers = _picked(scope["headers"])
        problem = self._problem(scope, headers, state)
        if problem is not None:
            self._metrics.add("http_refused_total")
            await (
                _close(problem, receive, send)
                if scope["type"] == "websocket"
                else self._refuse(problem, scope, headers, request_id, send)
            )
            return
        if scope["type"] == "websocket":
            await self._app(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *SECURITY_HEADERS, (b"x-request-id", request_id.encode())]
            await send(message)

        await self._app(scope, receive, with_headers)

    def _problem(self, scope: Scope, headers: dict[bytes, bytes], state: dict[str, object]) -> RequestProblem | None:
        host = headers.get(b"host", b"").decode("latin-1")
        if self._hosts is not None and hostname(host) not in self._hosts:
            return RequestProblem(
                421, "wrong_host", "This monitor answers to localhost only. Open it as http://127.0.0.1 with its port."
            )
        changes = scope["type"] == "websocket" or scope["method"] not in SAFE_METHODS
        if changes and not same_origin(headers, host):
            return RequestProblem(
                403,
                "cross_origin",
                "Another site asked for this. Changes are made from the monitor's own pages, or by a program.",
            )
        if self._sessions is None or scope["path"] in OPEN_PATHS or scope["path"].startswith(OPEN_PREFIXES):
            state["signed_in"] = False
            return None
        if not self._knows(self._sessions, headers, state):
            return RequestProblem(401, "sign_in", "Send the token as 'Authorization: Bearer …', or sign in at /login.")
        return None

    def _knows(self, sessions: Sessions, headers: dict[bytes, bytes], state: dict[str, object]) -> bool:
        scheme, _, token = headers.get(b"authorization", b"").decode("latin-1").partition(" ")
        if scheme.lower() == "bearer" and sessions.is_token(token.strip()):
            state["signed_in"] = False
            return True
        cookie = session_cookie(headers.get(b"cookie", b"").decode("latin-1"))
        state["signed_in"] = cookie is not None and sessions.is_valid(cookie)
        return bool(state["signed_in"])

    async def _refuse(
        self, problem: RequestProblem, scope: Scope, headers: dict[bytes, bytes], request_id: str, send: Send
    ) -> None:
        answer_headers = [*SECURITY_HEADERS, (b"x-request-id", request_id.encode()), (b"cache-control", b"no-store")]
        is_page = scope["method"] == "GET" and b"text/html" in headers.get(b"accept", b"")
        if problem.status == 401 and is_page:
            target = scope["path"] + ("?" + scope["query_string"].decode("latin-1") if scope["query_string"] else "")
            answer_headers.append((b"location", b"/login?next=" + quote(target, safe="").encode()))
            await send({"type": "http.response.start", "status": 303, "headers": answer_headers})
            await send({"type": "http.response.body", "body": b""})
            return
        if problem.status == 401:
            answer_headers.append((b"www-authenticate", b'Bearer realm="ralex-monitor"'))
        body = to_json({"error": {"code": problem.code, "message": problem.message, "request_id": request_id}})
        answer_headers += [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": problem.status, "headers": answer_headers})
        await send({"type": "http.response.body", "body": body})


async def _close(problem: RequestProblem, receive: Receive, send: Send) -> None:
    """Refuse a WebSocket. Not signed in: accept first, since browsers hide the reason of a refused handshake."""
    await receive()
    if problem.status == 401:
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.close", "code": WS_SIGN_IN, "reason": "sign in"})
    else:
        await send({"type": "websocket.close", "code": WS_REFUSED, "reason": problem.code})


_WANTED = frozenset({b"host", b"origin", b"authorization", b"cookie", b"sec-fetch-site", b"accept"})


def _picked(headers: Iterable[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    return {name: value for name, value in headers if name in _WANTED}


def hostname(host: str) -> str:
    """`Host` without the port: [::1]:8000 → ::1."""
    if host.startswith("["):
        return host[1:].partition("]")[0].lower()
    return host.partition(":")[0].lower().rstrip(".")


def same_origin(headers: Mapping[bytes, bytes], host: str) -> bool:
    """Whether a request comes from our own page or from no page. Browsers always send `Origin` with a change."""
    origin = headers.get(b"origin")
    if origin is not None:
        try:
            return urlsplit(origin.decode("latin-1")).netloc.lower() == host.lower() and bool(host)
        except ValueError:  # `http://[`
            return False
    return headers.get(b"sec-fetch-site", b"none") in (b"none", b"same-origin")


def session_cookie(header: str) -> str | None:
    """The login cookie in a `Cookie` header."""
    if COOKIE not in header:
        return None
    try:
        morsel = SimpleCookie(header).get(COOKIE)
    except CookieError:
        return None
    return morsel.value if morsel else None


def cookie_header(value: str, *, secure: bool, max_age_s: int) -> str:
    """A `Set-Cookie` header; an age of 0 removes it."""
    parts = [f"{COOKIE}={value}", "Path=/", f"Max-Age={max_age_s}", "HttpOnly", "SameSite=Strict"]
    return "; ".join([*parts, "Secure"] if secure else parts)


def safe_next(target: str) -> str:
    """Where a login leads: a path on this server, else the front page."""
    return target if target.startswith("/") and not target.startswith(("//", "/\\")) and "\n" not in target else "/"
