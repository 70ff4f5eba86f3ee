"""Where the budget commands ask and change: the running server, or the stores opened here. The answers are the same."""

from __future__ import annotations

import json
from collections.abc import Generator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import quote

if TYPE_CHECKING:
    from ralex_core.cli.remote import RunningServer
    from ralex_core.dashboard.budgets import Budgets
    from ralex_core.runtime.direct import DirectBudgets

PATH = "/api/v1/budgets"


def no_budget(name: str) -> str:
    """What is said of a name that no budget has."""
    return f"There is no budget {name[:80]!r}. `ralex-monitor budget list` shows them."


class Desk(Protocol):
    """Documents go in and come out as the API writes them; every method raises RalexError with what to do."""

    def budgets(self) -> list[dict[str, Any]]:
        """All, as `GET /api/v1/budgets` lists them."""
        ...

    def detail(self, budget_id: str) -> dict[str, Any]: ...

    def add(self, document: dict[str, Any]) -> dict[str, Any]: ...

    def change(self, budget_id: str, document: dict[str, Any]) -> dict[str, Any]: ...

    def delete(self, budget_id: str) -> None: ...

    def restore(self, budget_id: str) -> dict[str, Any]: ...


class ServerDesk:
    """Through the running server."""

    def __init__(self, server: RunningServer) -> None:
        self._server = server

    def budgets(self) -> list[dict[str, Any]]:
        return self._server.get(PATH)["budgets"]

    def detail(self, budget_id: str) -> dict[str, Any]:
        return self._server.get(f"{PATH}/{quote(budget_id, safe='')}")

    def add(self, document: dict[str, Any]) -> dict[str, Any]:
        return self._server.post(PATH, document)

    def change(self, budget_id: str, document: dict[str, Any]) -> dict[str, Any]:
        return self._server.put(f"{PATH}/{quote(budget_id, safe='')}", document)

    def delete(self, budget_id: str) -> None:
        self._server.delete(f"{PATH}/{quote(budget_id, safe='')}")

    def restore(self, budget_id: str) -> dict[str, Any]:
        return self._server.post(f"{PATH}/{quote(budget_id, safe='')}/restore")


class DirectDesk:
    """On the stores, which this process owns."""

    def __init__(self, host: DirectBudgets, answers: Budgets) -> None:
        self._host = host
        self._answers = answers

    def budgets(self) -> list[dict[str, Any]]:
        return _plain(self._answers.view())["budgets"]

    def detail(self, budget_id: str) -> dict[str, Any]:
        self._answers.forget()
        return _plain(self._answers.detail(budget_id))

    def add(self, document: dict[str, Any]) -> dict[str, Any]:
        return self.detail(self._host.budgets.add(_read(document)).id)

    def change(self, budget_id: str, document: dict[str, Any]) -> dict[str, Any]:
        _there(self._host.budgets.change(_read(document, budget_id)), no_budget(budget_id))
        return self.detail(budget_id)

    def delete(self, budget_id: str) -> None:
        _there(self._host.budgets.delete(budget_id), no_budget(budget_id))

    def restore(self, budget_id: str) -> dict[str, Any]:
        _there(self._host.budgets.restore(budget_id), f"No deleted budget {budget_id[:40]!r} is kept.")
        return self.detail(budget_id)


@contextmanager
def open_desk() -> Generator[Desk]:
    """The way to the budgets of the data directory.

    Raises:
        StoreError, ConfigError: no server runs, and the stores cannot be opened.
    """
    from ralex_core.cli.remote import running_server
    from ralex_core.config import load_settings

    settings = load_settings()
    server = running_server(settings)
    if server is not None:
        with closing(server):
            yield ServerDesk(server)
        return
    from ralex_core.dashboard.budgets import Budgets
    from ralex_core.dashboard.questions import Pool
    from ralex_core.runtime.direct import DirectBudgets, open_stores

    with open_stores(settings) as stores, closing(Pool()) as pool:
        host = DirectBudgets(settings, stores)
        yield DirectDesk(host, Budgets(host, pool, host.budgets.zone))


def _read(document: dict[str, Any], budget_id: str = "") -> Any:
    """The budget of a document, as the API reads it."""
    from pydantic import ValidationError

    from ralex_core.dashboard.api.budgets import BudgetRequest
    from ralex_core.errors import ConfigError

    try:
        return BudgetRequest(**document).budget(budget_id)
    except ValidationError as error:
        found = [
            f"{'.'.join(str(part) for part in item['loc'])}: {item['msg'].removeprefix('Value error, ')}"
            for item in error.errors()
        ]
        raise ConfigError(f"Please correct: {'; '.join(found)}.") from error


def _there(found: object, said: str) -> None:
    from ralex_core.errors import ConfigError

    if found is None:
        raise ConfigError(said)


def _plain(document: object) -> Any:
    from ralex_core.render import to_json

    return json.loads(to_json(document))
