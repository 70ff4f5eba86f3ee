"""What `top` shows, kept up to date in a thread: live messages, and rankings asked for now and then."""

from __future__ import annotations

import json
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from ralex_core.cli.remote import RunningServer
from ralex_core.errors import RalexError, ServerUnreachable

RANKINGS_EVERY_S = 4.0
SILENCE_S = 12.0
"""The server says something at least every five seconds."""
RETRY_S = (0.3, 0.6, 1.0, 2.0, 3.0)
"""Waits before connecting again; the last one repeats."""
ASK_TIMEOUT_S = 10.0
RECENT_KEPT = 100
MAX_MESSAGE_BYTES = 8 << 20
SIGN_IN = 4401

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Shown:
    """Everything one frame is made of, as the API told it."""

    url: str
    message: Row | None = None
    """The last live message."""
    names: tuple[Row, ...] = ()
    """Operations by name, of the last 15 minutes."""
    models: tuple[Row, ...] = ()
    recent: tuple[Row, ...] = ()
    """Newest first."""
    told_at: float = field(default_factory=time.monotonic)
    problem: str | None = None
    """Why nothing newer came; None while the server answers."""

    @property
    def age_s(self) -> float:
        return time.monotonic() - self.told_at


class TopFeed:
    """A connection that comes back by itself. A context manager: the thread ends with the block."""

    def __init__(self, url: str, token: str | None) -> None:
        self._server = RunningServer(url, token, ASK_TIMEOUT_S)
        self._token = token
        self._shown = Shown(self._server.url)
        self._recent: OrderedDict[str, Row] = OrderedDict()
        self._first = threading.Event()
        self._stop = threading.Event()
        self._rankings_at = float("-inf")
        self._thread = threading.Thread(target=self._run, name="top", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join(2)

    def wait_for_first(self, timeout_s: float) -> None:
        """Wait until there is something to show.

        Raises:
            ServerUnreachable: the server does not answer, or not in time; the message says why.
        """
        self._first.wait(timeout_s)
        if self._shown.message is None:
            raise ServerUnreachable(self._shown.problem or f"{self._shown.url} did not answer within {timeout_s:g} s.")

    def shown(self) -> Shown:
        """What is known now."""
        return self._shown

    def document(self) -> Row:
        """The same for scripts: the live message without its series, with both rankings."""
        shown = self._shown
        message = dict(shown.message or {})
        metrics = {
            name: {key: value for key, value in part.items() if key != "series"}
            for name, part in message.get("metrics", {}).items()
        }
        return {
            "at": message.get("at"),
            "server": shown.url,
            "metrics": metrics,
            "health": message.get("health"),
            "operations": list(shown.names),
            "models": list(shown.models),
            "recent": list(shown.recent),
        }

    # --- the thread --------------------------------------------------------------------------------------------

    def _run(self) -> None:
        tries = 0
        while not self._stop.is_set():
            connected = self._shown.message
            problem = self._connect()
            if self._stop.is_set():
                return
            tries = 0 if self._shown.message is not connected else tries
            self._shown = replace(self._shown, problem=problem)
            if connected is None and self._shown.message is None:
                self._first.set()  # it was never there: say so instead of waiting
            self._stop.wait(RETRY_S[min(tries, len(RETRY_S) - 1)])
            tries += 1

    def _connect(self) -> str:
        """Listen until the connection ends; returns why it did."""
        from websockets.exceptions import ConnectionClosed, InvalidHandshake, WebSocketException
        from websockets.sync.client import connect

        parts = urlsplit(self._shown.url)
        address = f"{'wss' if parts.scheme == 'https' else 'ws'}://{parts.netloc}/ws/monitoring"
        headers = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        try:
            with connect(
                address, additional_headers=headers, max_size=MAX_MESSAGE_BYTES, open_timeout=ASK_TIMEOUT_S, proxy=None
            ) as socket:
                while not self._stop.is_set():
                    self._take(json.loads(socket.recv(timeout=SILENCE_S)))
                return ""
        except ConnectionClosed as closed:
            if closed.rcvd is not None and closed.rcvd.code == SIGN_IN:
                return f"{self._shown.url} wants its token: set RALEX_MONITOR_TOKEN."
            return f"{self._shown.url} ended the connection."
        except InvalidHandshake as refused:
            return f"{self._shown.url} is no monitor, or an older one ({refused})."
        except (TimeoutError, OSError, ValueError, WebSocketException, RalexError) as error:
            return f"No monitor answers at {self._shown.url} ({error or type(error).__name__})."

    def _take(self, message: Row) -> None:
        if message.get("kind") == "snapshot":
            self._recent.clear()
        for item in reversed(message.get("feed", [])):
            self._recent[str(item["operation_id"])] = item
            self._recent.move_to_end(str(item["operation_id"]))
        while len(self._recent) > RECENT_KEPT:
            self._recent.popitem(last=False)
        names, models = self._shown.names, self._shown.models
        if time.monotonic() - self._rankings_at >= RANKINGS_EVERY_S:
            self._rankings_at = time.monotonic()
            names = tuple(self._server.get("/api/v1/breakdown?range=live&by=name&limit=100"))
            models = tuple(self._server.get("/api/v1/breakdown?range=live&by=model&limit=50"))
        self._shown = Shown(self._shown.url, message, names, models, tuple(reversed(self._recent.values())))
        self._first.set()
