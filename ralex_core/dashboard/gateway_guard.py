"""Who may use the gateway: the rules of `security.Guard`, with the monitor's token in a header of its own."""

from __future__ import annotations

from collections.abc import Mapping

from ralex_core.clock import Clock
from ralex_core.collection.gateway.answers import Refusal
from ralex_core.config import Settings
from ralex_core.dashboard.security import LOOPBACK_NAMES, Sessions, hostname, is_loopback, same_origin


class GatewayGuard:
    """Checks one request from its headers. On loopback without a token it costs about a microsecond.

    `Authorization` and `X-Api-Key` carry the provider's key, so the token comes as `X-Ralex-Token`; or in place of the
    key, when the key is to be the one that the settings hold.
    """

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._sessions = Sessions(settings.token, clock) if settings.token else None
        self._hosts = LOOPBACK_NAMES | {settings.host} if is_loopback(settings.host) else None

    def __call__(self, method: str, own: Mapping[bytes, bytes]) -> bool:
        """Whether the token came in place of a provider's key. Raises `Refusal`."""
        host = own.get(b"host", b"").decode("latin-1")
        if self._hosts is not None and hostname(host) not in self._hosts:
            raise Refusal(
                421, "wrong_host", "This monitor answers to localhost only: use http://127.0.0.1 with its port."
            )
        if (b"origin" in own or b"sec-fetch-site" in own) and not same_origin(own, host):
            raise Refusal(403, "cross_origin", "Another site asked for this. The gateway is for programs.")
        sessions = self._sessions
        if sessions is None:
            return False
        scheme, _, bearer = own.get(b"authorization", b"").decode("latin-1").partition(" ")
        keys = (bearer.strip() if scheme.lower() == "bearer" else "", own.get(b"x-api-key", b"").decode("latin-1"))
        if any(key and sessions.is_token(key) for key in keys):
            return True
        if not sessions.is_token(own.get(b"x-ralex-token", b"").decode("latin-1")):
            raise Refusal(401, "monitor_token", "Send the monitor's token as X-Ralex-Token, beside the provider's key.")
        return False
