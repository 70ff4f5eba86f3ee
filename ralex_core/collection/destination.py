"""Where this process sends what it records, from `configure` and the environment. Read when the first operation is."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from pathlib import Path

    from ralex_core.collection.sinks import Sink
    from ralex_core.collection.spool import Spool
    from ralex_core.model.operation import Operation

DEFAULT_ENDPOINT = "http://127.0.0.1:8000"
ENV_PREFIX = "RALEX_MONITOR_"
ENV_FIELDS = {
    "service": "SERVICE",
    "project": "PROJECT",
    "client": "CLIENT",
    "user_id": "USER",
    "session_id": "SESSION",
}
"""Fields of every operation of the process, and the variable each may come from."""
OFF = ("off", "0", "false", "no")


class Destination(NamedTuple):
    """A sink, and what is the same for every operation of the process."""

    sink: Sink
    constants: Mapping[str, Any]


class Choice(NamedTuple):
    """What a program said in `configure`; what it did not say comes from the environment."""

    endpoint: str | None = None
    token: str | None = None
    sink: Sink | Callable[[list[Operation]], object] | None = None
    spool_dir: Path | None = None
    spool_mb: float | None = None
    fields: Mapping[str, Any] = MappingProxyType({})

    def open(self) -> Destination | None:
        """Make the sink; None when `RALEX_MONITOR_SDK` turns recording off. Touches no disk and no network.

        Raises:
            ValueError: the endpoint is no http or https URL, or the spool's size no number.
        """
        if _env("SDK").lower() in OFF:
            return None
        constants = {name: _env(variable) for name, variable in ENV_FIELDS.items() if _env(variable)}
        constants.update((name, value) for name, value in self.fields.items() if value is not None)
        return Destination(self._sink(), constants)

    def _sink(self) -> Sink:
        from ralex_core.collection.sinks import HttpSink, InProcessSink

        if self.sink is not None:
            if hasattr(self.sink, "submit") and hasattr(self.sink, "counts"):
                return self.sink  # type: ignore[return-value]
            return InProcessSink(self.sink)  # type: ignore[arg-type]
        endpoint = self.endpoint or _env("ENDPOINT") or DEFAULT_ENDPOINT
        return HttpSink(endpoint, self.token or _env("TOKEN") or None, spool=self._spool(endpoint))

    def _spool(self, endpoint: str) -> Spool:
        from pathlib import Path

        from ralex_core.collection.guard import guard
        from ralex_core.collection.spool import MAX_BYTES, Spool

        megabytes = self.spool_mb if self.spool_mb is not None else float(_env("SPOOL_MB") or MAX_BYTES / 2**20)
        root = self.spool_dir or Path(_env("HOME") or "~/.ralex-monitor").expanduser() / "spool"
        directory = spool_directory(root, endpoint) if megabytes > 0 else None
        return Spool(directory, max_bytes=int(megabytes * 2**20), warn=guard.warn)


def spool_directory(root: Path, endpoint: str) -> Path:
    """The spool of one server below `root`: what was meant for one server is never sent to another."""
    name = "".join(c if c.isalnum() or c in "-." else "_" for c in endpoint.rstrip("/"))
    return root / name


def _env(variable: str) -> str:
    return os.environ.get(ENV_PREFIX + variable, "").strip()
