"""The user's own prices: a TOML file of dated entries that come before the price list. See docs/prices.md.

[[price]]
model = "deepseek/deepseek-coder"   # a name or a * pattern
input = 0.14                        # USD per million tokens
output = 0.28
until = 2025-02-08T16:00:00Z        # optional, as are from, provider, cache_read, cache_write, cache_write_1h
"""

from __future__ import annotations

import hashlib
import tomllib
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, cast

from ralex_core.errors import ConfigError
from ralex_core.pricing.rates import Rates

_RATES = ("input", "output", "cache_read", "cache_write", "cache_write_1h")
_KEYS = frozenset(("model", "provider", "from", "until", "note", *_RATES))
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MAX_USD_PER_MTOK = Decimal(1_000_000)
"""A dollar per token: beyond it somebody wrote a price per token, or per thousand, into the wrong unit's field."""


@dataclass(frozen=True, slots=True)
class Override:
    """One entry: a price for a model during `[from_us, until_us)` (UTC microseconds; None is open)."""

    model: str
    provider: str | None
    from_us: int | None
    until_us: int | None
    rates: Rates
    version: str
    note: str | None

    def is_for(self, provider: str | None, model: str) -> bool:
        """Whether it names this model, written with or without its provider. Both in lower case."""
        if self.provider is not None and provider != self.provider:
            return False
        return fnmatchcase(model, self.model) or (
            provider is not None and fnmatchcase(f"{provider}/{model}", self.model)
        )

    def is_active(self, at_us: int) -> bool:
        return (self.from_us is None or at_us >= self.from_us) and (self.until_us is None or at_us < self.until_us)


def load_overrides(path: Path) -> tuple[Override, ...]:
    """The entries of the file in its order; none when there is no file.

    Raises:
        ConfigError: the file cannot be read, is not TOML, or an entry is wrong; names the entry and the field.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"The price overrides {path} cannot be read: {error}. Correct or remove the file.") from error
    try:
        document: dict[str, Any] = tomllib.loads(text, parse_float=Decimal)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(
            f"The price overrides {path} are not valid TOML: {error}. Correct or remove the file."
        ) from error
    unknown = sorted(document.keys() - {"price"})
    entries = document.get("price", [])
    if unknown or not isinstance(entries, list):
        raise ConfigError(f"The price overrides {path} may hold [[price]] entries only{_found(unknown)}.")
    found: list[Override] = []
    for number, entry in enumerate(cast("list[Any]", entries), start=1):
        try:
            found.append(_override(entry))
        except ValueError as error:
            raise ConfigError(f"Price override {number} in {path}: {error}.") from None
    return tuple(found)


def _found(names: list[str]) -> str:
    return f", not {', '.join(names)}" if names else ""


def _override(entry: object) -> Override:
    if not isinstance(entry, dict):
        raise ValueError("an entry is a table: write [[price]] above it")
    fields = cast("dict[str, Any]", entry)
    unknown = sorted(fields.keys() - _KEYS)
    if unknown:
        raise ValueError(f"unknown field {unknown[0]!r}; known are {', '.join(sorted(_KEYS))}")
    model = _text(fields, "model")
    if model is None:
        raise ValueError("model is missing: the model's name, or a pattern with *")
    prices = {part: _price(fields[part], part) for part in _RATES if part in fields}
    missing = [part for part in ("input", "output") if part not in prices]
    if missing:
        raise ValueError(f"{missing[0]} is missing: USD per million tokens, 0 if it costs nothing")
    from_us, until_us = _moment(fields, "from"), _moment(fields, "until")
    if from_us is not None and until_us is not None and until_us <= from_us:
        raise ValueError("until must be after from")
    provider, note = _text(fields, "provider"), _text(fields, "note")
    canonical = repr(
        (model.lower(), provider, from_us, until_us, sorted((part, str(usd)) for part, usd in prices.items()))
    )
    version = f"override {hashlib.blake2b(canonical.encode(), digest_size=4).hexdigest()}"
    return Override(
        model.lower(), provider.lower() if provider else None, from_us, until_us, Rates([(-1, prices)]), version, note
    )


def _text(fields: dict[str, Any], key: str) -> str | None:
    value = fields.get(key)
    if value is None:
        return None
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"{key} must be text, got {value!r}")
    return value.strip()


def _price(value: object, part: str) -> Decimal:
    """An exact price. TOML's floats arrive as decimals already, so 0.1 is a tenth."""
    if isinstance(value, bool) or not isinstance(value, int | str | Decimal):
        raise ValueError(f"{part} must be a number of USD per million tokens, got {value!r}")
    try:
        usd = Decimal(value)
    except InvalidOperation:
        raise ValueError(f"{part} must be a number of USD per million tokens, got {value!r}") from None
    if not usd.is_finite() or usd < 0:
        raise ValueError(f"{part} must not be negative or infinite, got {value}")
    if usd > _MAX_USD_PER_MTOK:
        raise ValueError(f"{part} = {value} is more than a dollar per token; prices are USD per million tokens")
    exponent = usd.as_tuple().exponent
    if isinstance(exponent, int) and exponent < -18:
        raise ValueError(f"{part} has more than 18 decimals")
    return usd


def _moment(fields: dict[str, Any], key: str) -> int | None:
    """A TOML date (its midnight, UTC) or date-time with an offset, in UTC microseconds."""
    value = fields.get(key)
    if value is None:
        return None
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise ValueError(f"{key} needs a time zone: write {value.isoformat()}Z for UTC")
    elif isinstance(value, date):
        value = datetime(value.year, value.month, value.day, tzinfo=UTC)
    else:
        raise ValueError(f"{key} must be a date such as 2025-02-08, without quotes, got {value!r}")
    return (value - _EPOCH) // timedelta(microseconds=1)
