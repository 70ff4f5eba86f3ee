"""Every source there is an importer for. A new source adds its line here; nothing else names sources."""

from __future__ import annotations

from collections.abc import Callable

from ralex_core.collection.importers.aider import AiderImporter
from ralex_core.collection.importers.base import Importer, ImportOptions
from ralex_core.collection.importers.claude_code import ClaudeCodeImporter
from ralex_core.collection.importers.ralex import RalexImporter
from ralex_core.collection.importers.tabular import TabularImporter
from ralex_core.errors import ConfigError

_IMPORTERS: tuple[Callable[[ImportOptions], Importer], ...] = (
    ClaudeCodeImporter,
    AiderImporter,
    RalexImporter,
    TabularImporter,
)


def all_importers(options: ImportOptions | None = None) -> list[Importer]:
    """One importer per source, in the order they are shown."""
    options = options or ImportOptions()
    return [make(options) for make in _IMPORTERS]


def importer_for(name: str, options: ImportOptions | None = None) -> Importer:
    """The importer of a source; `claude_code` means `claude-code`.

    Raises:
        ConfigError: there is none of that name; the message lists those there are.
    """
    importers = all_importers(options)
    wanted = name.strip().lower().replace("_", "-")
    for importer in importers:
        if importer.name == wanted:
            return importer
    known = ", ".join(importer.name for importer in importers)
    raise ConfigError(f"There is no importer called {name!r}. There are: {known}.")
