"""Names the SDK's objects to the compiled half of the instruments."""

from __future__ import annotations

from ralex_core.collection import active
from ralex_core.collection.accelerator import compiled
from ralex_core.collection.guard import guard
from ralex_core.collection.instrument import clients, leaf, queries, routes, statements
from ralex_core.collection.instrument.switch import Switch
from ralex_core.collection.prepared import Prepared
from ralex_core.collection.recorder import Recorder


def _trouble(error: BaseException) -> None:
    try:
        raise error
    except Exception:
        guard.swallow("instrument, compiled")


if compiled is not None:
    compiled.bind(
        {
            "active": vars(active),
            "current": active.current,
            "defaults": active.defaults,
            "trouble": _trouble,
            "place": leaf.place,
            "resumed": queries.Query.resumed,
            "text_of": queries.text_of,
            "client_of": clients.client_of,
            "clients": clients.remembered,
        },
        {
            "ActiveOperation": active.ActiveOperation,
            "Recorder": Recorder,
            "Known": statements.Known,
            "Database": statements.Database,
            "Watch": queries.Watch,
            "Switch": Switch,
            "Prepared": Prepared,
            "Endpoints": routes.Endpoints,
        },
    )

__all__ = ["compiled"]
