"""Database spans in the convention of our own instruments: named by their statement, without its literals."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from ralex_core.collection.instrument.statements import Database, sample

SLOW_MS = 100.0
"""From here on a sample of the statement is kept, as the instruments do."""
NOT_SQL = frozenset(
    ("redis", "memcached", "mongodb", "elasticsearch", "opensearch", "couchdb", "couchbase", "dynamodb", "aws.dynamodb")
)
"""Systems whose statements are no SQL. Their spans keep the names they were given."""


def statement_name(name: str, system: str | None, duration_ms: float, text: str, kept: dict[str, Any]) -> str:
    """The name of a database span. What is known of its statement without the literals is put into `kept`.

    A span with an empty statement, or of a system that does not speak SQL, is left as it is.
    """
    if not text.strip() or (system or "").lower() in NOT_SQL:
        return name
    namespace = kept.get("db.namespace") or kept.get("db.name")
    database = _database(system or "other_sql", namespace if isinstance(namespace, str) else None)
    known = database.statement(text)
    kept |= known.attributes
    if duration_ms >= SLOW_MS:
        kept["db.query.sample"] = sample(text, backslash=database.backslash)
    return known.name


@lru_cache(maxsize=32)
def _database(system: str, namespace: str | None) -> Database:
    return Database(system[:80], namespace[:200] if namespace else None)
