"""The gateway as an ASGI application: in front of all else of the server, so that it adds little."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from starlette.types import Receive, Scope, Send

from ralex_core.collection import ids
from ralex_core.collection.gateway.answers import Refusal
from ralex_core.collection.gateway.gate import Gate
from ralex_core.collection.gateway.passage import Passage
from ralex_core.collection.gateway.pool import UpstreamPool
from ralex_core.collection.gateway.recorder import GatewayRecorder
from ralex_core.collection.gateway.routes import Routes, Target
from ralex_core.collection.request_body import BodyBudget
from ralex_core.config import Settings
from ralex_core.selfmetrics import SelfMetrics

logger = logging.getLogger(__name__)


BODIES_AT_ONCE = 4
"""Request bodies of the largest size that may be in memory together, each until its answer ends."""


class Admits(Protocol):
    """Whether a request may pass: raises `Refusal`, or tells whether it brought the monitor's token as its key."""

    def __call__(self, method: str, own: Mapping[bytes, bytes]) -> bool: ...


class Gateway:
    """Passes calls on and records them. Belongs to one event loop; `close` ends its connections."""

    def __init__(
        self,
        settings: Settings,
        recorder: GatewayRecorder,
        metrics: SelfMetrics,
        now_us: Callable[[], int],
        admits: Admits,
        gate: Gate | None = None,
        *,
        own_headers: Sequence[tuple[bytes, bytes]] = (),
    ) -> None:
        """`gate` holds calls to budgets; without it there are none. `own_headers` go with what the gateway answers
        itself.
        """
        self.settings = settings
        self.recorder = recorder
        self.metrics = metrics
        self.now_us = now_us
        self.admits = admits
        self.gate = gate
        self.routes = Routes(settings.upstreams)
        self.max_bytes = settings.max_body_mb << 20
        self.bodies = BodyBudget(BODIES_AT_ONCE * self.max_bytes)
        self.own_headers = own_headers
        self.numbers = ids.counter()
        self.never_asked: set[str] = set()
        """Upstreams that turned out not to know how to be asked for usage."""
        self.in_flight = 0
        self._pools: dict[str, UpstreamPool] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.in_flight += 1
        try:
            await Passage(self, scope, receive, send).run()
        finally:
            self.in_flight -= 1

    def pool(self, target: Target) -> UpstreamPool:
        """The connections to an upstream."""
        found = self._pools.get(target.name)
        if found is None:
            found = self._pools[target.name] = UpstreamPool(
                target.host, target.port, secure=target.secure, silence_s=self.settings.gateway.silence_s
            )
        return found

    def target(self, name: str) -> Target:
        """Raises `Refusal` for an upstream that no setting names."""
        found = self.routes.targets.get(name)
        if found is None:
            known = ", ".join(sorted(self.routes.targets))
            raise Refusal(404, "unknown_upstream", f"There is no upstream {name[:60]!r}. Known are {known}.")
        return found

    @property
    def open_connections(self) -> int:
        return sum(pool.open_connections for pool in self._pools.values())

    async def close(self) -> None:
        """Close connections to upstreams, and write down what is not written yet."""
        for pool in self._pools.values():
            pool.close()
        self._pools.clear()
        await asyncio.to_thread(self.recorder.close)
