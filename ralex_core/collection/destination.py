"""Where this process sends what it records, from `configure` and the environment. Read when the first operation is."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from pathlib import Path

    from ralex_core.collection.sinks import Sink
    from ralex_core.model.operation import Operation

DEFAULT_ENDPOINT = "http://127.0.0.1:8000"
SERVER_FILE = "server.json"
"""Where a running server says its address, in its data directory (see `runtime.server_file`)."""
MAX_SERVER_FILE_BYTES = 4096
LOCAL = "local"
"""The spool of a program that was not told an address."""
UNADDRESSED = "unaddressed"
"""The spool of a program whose address cannot be used. Whatever is told a right one takes it over."""
ENV_FIELDS = {
    "service": "SERVICE",
    "project": "PROJECT",
    "client": "CLIENT",
    "user_id": "USER",
    "session_id": "SESSION",
}
"""Fields of every operation of the process, and the variable each may come from."""


class Destination(NamedTuple):
    """A sink, and what is the same for every operation of the process."""

    sink: Sink
    constants: Mapping[str, Any]


class Choice(NamedTuple):
    """What a program said in `configure`; what it did not say comes from the environment."""

    endpoint: str | None = None
    token: str | None = None
    sink: Sink | Callable[[list[Operation]], object] | None = None
    spool_dir: Path | str | None = None
    spool_mb: float | None = None
    fields: Mapping[str, Any] = MappingProxyType({})

    def open(self) -> Destination | None:
        """Make the sink; None when `RALEX_MONITOR_SDK` turns recording off. Touches no network, writes no file.

        Settings that are wrong are said on stderr and replaced (see `sdk_settings`).
        """
        from ralex_core.collection.sdk_settings import ENV_PREFIX, env, say_unknown_names, switch_of

        say_unknown_names(os.environ)
        if not switch_of(env("SDK"), ENV_PREFIX + "SDK", default=True):
            return None
        constants = {name: env(variable) for name, variable in ENV_FIELDS.items() if env(variable)}
        constants.update((name, value) for name, value in self.fields.items() if value is not None)
        return Destination(self._sink(), constants)

    def _sink(self) -> Sink:
        from ralex_core.collection.sinks import InProcessSink

        sink = self.sink
        if sink is None:
            return self._http_sink()
        if hasattr(sink, "submit") and hasattr(sink, "counts"):
            return sink  # type: ignore[return-value]
        if callable(sink):
            return InProcessSink(sink)
        from ralex_core.collection.sdk_settings import say, shown

        say("sink", f"is {shown(sink)}, neither a Sink nor callable. Operations go to the monitor. Correct or drop it.")
        return self._http_sink()

    def _http_sink(self) -> Sink:
        from ralex_core.collection import sdk_settings as settings
        from ralex_core.collection.guard import guard
        from ralex_core.collection.sinks import HttpSink
        from ralex_core.collection.spool import MAX_BYTES, Spool

        home = settings.home_of()
        given, name = _first(self.endpoint, "endpoint", "ENDPOINT")
        endpoint = None if given is None else settings.endpoint_of(given, name)
        token, name = _first(self.token, "token", "TOKEN")
        token = None if token is None else settings.token_of(token, name)
        size, name = _first(self.spool_mb, "spool_mb", "SPOOL_MB")
        usual = MAX_BYTES / 2**20
        megabytes = (
            usual if size is None else settings.number_of(size, name, usual, least=0, most=settings.MAX_SPOOL_MB)
        )
        root = home / "spool"
        if self.spool_dir is not None:
            root = settings.directory_of(self.spool_dir, "spool_dir", root)
        if given is None:
            names = (LOCAL, UNADDRESSED, _file_name(DEFAULT_ENDPOINT))
        elif endpoint is None:
            names = (UNADDRESSED,)
        else:
            names = (_file_name(endpoint), UNADDRESSED, *((LOCAL,) if settings.is_loopback(endpoint) else ()))
        spool = Spool(
            root / names[0] if megabytes > 0 else None,
            others=tuple(root / other for other in names[1:]),
            max_bytes=int(megabytes * 2**20),
            warn=guard.say,
        )
        if given is None:
            return HttpSink(lambda: running_server(home) or DEFAULT_ENDPOINT, token, spool=spool)
        return HttpSink(endpoint or _nowhere, token, spool=spool)


def running_server(home: Path) -> str | None:
    """The address in the home's `server.json`; None without one, or when the process that wrote it is gone."""
    import json

    from ralex_core.collection.sdk_settings import endpoint_of

    try:
        with (home / SERVER_FILE).open("rb") as file:
            found = json.loads(file.read(MAX_SERVER_FILE_BYTES))
        pid, url = int(found["pid"]), found["url"]
    except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return None
    return endpoint_of(url, str(home / SERVER_FILE)) if _lives(pid) else None


def _lives(pid: int) -> bool:
    if pid <= 0:
        return False
    if os.name != "posix":
        return True  # asking would end it there; whoever connects finds out
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except (OSError, OverflowError):
        return False
    return True


def _nowhere() -> None:
    """There is no address."""


def _first(argument: Any, name: str, variable: str) -> tuple[Any, str]:
    """A setting and what it is called where it was set: the argument, else the variable, else None."""
    from ralex_core.collection.sdk_settings import ENV_PREFIX, env

    if argument is not None and not (isinstance(argument, str) and not argument.strip()):
        return argument, name
    return env(variable) or None, ENV_PREFIX + variable


def _file_name(endpoint: str) -> str:
    """The spool of one server: what was meant for one server is never sent to another."""
    return "".join(c if c.isalnum() or c in "-." else "_" for c in endpoint)
